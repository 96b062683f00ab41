"""Windows made on demand are the ones that a slow loop would make, in a stated order."""

import pickle

import numpy as np
import pytest
import torch

from gait.body.skeleton import MIRROR_PAIRS
from gait.errors import GaitError
from gait.motion.windows import WindowDataset
from tests.helpers.motion_cases import about_y, recording, slowly_aligned, slowly_normalised, stick_walker

LENGTH = 16


def walkers():
    """Three gaits of 30, 16 and 9 frames, one of them far from the origin."""
    first = recording(stick_walker(30) @ about_y(0.4), "P01", "walk1")
    second = recording(stick_walker(16, speed=0) @ about_y(3.1) + [400.0, 0, -900.0], "P01", "walk2")
    third = recording(stick_walker(9), "P02", "short", sick=True)
    fourth = recording(stick_walker(21, turn_deg=50) @ about_y(np.pi), "P02", "walk1", sick=True)
    return [first, second, third, fourth]


def slow_window(gait, first, length):
    return slowly_normalised(slowly_aligned(gait.joints_m[first : first + length].astype(np.float64)))


def mirror_image(window):
    window = window * [1, 1, -1]
    for left, right in MIRROR_PAIRS:
        window[:, [left, right]] = window[:, [right, left]]
    return window


def all_of(windows):
    return windows.batch(torch.arange(len(windows)))


@pytest.mark.parametrize(("stride", "counts"), [(1, (15, 1, 0, 6)), (4, (4, 1, 0, 2)), (100, (1, 1, 0, 1))])
def test_every_window_in_order(stride, counts):
    windows = WindowDataset(walkers(), LENGTH, stride)
    assert len(windows) == sum(counts)
    assert windows.gait_index.tolist() == [k for k, count in enumerate(counts) for _ in range(count)]
    assert windows.first_frame.tolist() == [stride * k for count in counts for k in range(count)]
    assert windows.sick.tolist() == [windows.gaits[k].sick for k in windows.gait_index]
    assert not windows.mirrored_mask.any()
    assert windows.gait_index.dtype == windows.first_frame.dtype == torch.int64
    assert windows.sick.dtype == windows.mirrored_mask.dtype == torch.bool
    batch = all_of(windows)
    assert batch.shape == (len(windows), LENGTH, 22, 3)
    assert batch.dtype == torch.float32
    assert batch.is_contiguous()
    for window, k, first in zip(batch, windows.gait_index, windows.first_frame, strict=True):
        np.testing.assert_allclose(window, slow_window(windows.gaits[k], first, LENGTH), atol=1e-3 if k == 1 else 2e-5)


def test_mirrored_ones_follow():
    plain, both = WindowDataset(walkers(), LENGTH, 3), WindowDataset(walkers(), LENGTH, 3, mirrored=True)
    n = len(plain)
    assert len(both) == 2 * n
    assert both.mirrored_mask.tolist() == [False] * n + [True] * n
    for name in ("gait_index", "first_frame", "sick"):
        values = getattr(both, name)
        torch.testing.assert_close(values[:n], getattr(plain, name))
        torch.testing.assert_close(values[n:], getattr(plain, name))
    batch = all_of(both)
    torch.testing.assert_close(batch[:n], all_of(plain), rtol=0, atol=0)
    for window, image in zip(batch[:n], batch[n:], strict=True):
        np.testing.assert_allclose(image, mirror_image(window.numpy()), atol=2e-6)


def test_any_order_any_number():
    windows = WindowDataset([recording(stick_walker(200))], LENGTH, mirrored=True)
    everything = all_of(windows)
    assert len(everything) == 370
    order = torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(windows.batch(order), everything[order], rtol=0, atol=0)
    torch.testing.assert_close(windows.batch(torch.tensor([7, 7, -1])), everything[[7, 7, -1]], rtol=0, atol=0)
    assert windows.batch(torch.tensor([], dtype=torch.int64)).shape == (0, LENGTH, 22, 3)
    with pytest.raises(IndexError):
        windows.batch(torch.tensor([len(windows)]))


def test_asked_again_it_is_the_same():
    """Where a window's placement is known from another batch too."""
    windows = WindowDataset([recording(stick_walker(150, turn_deg=80))], LENGTH, mirrored=True)
    first = all_of(windows)
    some = torch.tensor([3, 140, 200, 3])
    torch.testing.assert_close(windows.batch(some), first[some], rtol=0, atol=0)
    torch.testing.assert_close(all_of(windows), first, rtol=0, atol=0)
    fresh = WindowDataset(windows.gaits, LENGTH, mirrored=True)
    torch.testing.assert_close(fresh.batch(some), first[some], rtol=0, atol=0)
    torch.testing.assert_close(all_of(fresh), first, rtol=0, atol=0)


def test_a_batch_is_its_own_memory():
    windows = WindowDataset(walkers(), LENGTH)
    first = windows.batch(torch.tensor([0, 1]))
    kept = first.clone()
    windows.batch(torch.tensor([5, 6])).fill_(7)
    torch.testing.assert_close(first, kept, rtol=0, atol=0)
    torch.testing.assert_close(windows.batch(torch.tensor([0, 1])), kept, rtol=0, atol=0)


def test_recordings_stay_as_they_are():
    gaits = walkers()
    before = [gait.joints_m.copy() for gait in gaits]
    all_of(WindowDataset(gaits, LENGTH, mirrored=True))
    for gait, joints in zip(gaits, before, strict=True):
        np.testing.assert_array_equal(gait.joints_m, joints)


def test_short_gaits_are_a_line_each():
    windows = WindowDataset(walkers(), LENGTH)
    (line,) = windows.too_short
    assert line.startswith("sick/P02/short: has 9 frames at 100 Hz, fewer than a window's 16")
    assert len(windows.gaits) == 4
    none = WindowDataset(walkers(), 31)
    assert (len(none), len(none.too_short)) == (0, 4)
    assert all_of(none).shape == (0, 31, 22, 3)
    nobody = WindowDataset([], LENGTH)
    assert (len(nobody), nobody.too_short) == (0, ())
    assert nobody.sick.shape == (0,)


def test_a_window_of_one_frame():
    windows = WindowDataset(walkers()[:1], 1)
    assert len(windows) == 30
    assert all_of(windows).isfinite().all()


def test_nothing_is_stored_twice():
    """What a process is sent: the frames of the recordings and of the windows, whatever their number."""
    gaits = [recording(stick_walker(400), f"P{k}") for k in range(3)]
    frames = 3 * 400 * 22 * 3 * 4
    per_window = 3 * 8 + 12 * 4 + 3
    for mirrored in (False, True):
        windows = WindowDataset(gaits, 64, mirrored=mirrored)
        scratch = 2 * 64 * 64 * 22 * 3 * 4
        assert len(pickle.dumps(windows)) < 2 * frames + per_window * len(windows) + scratch + 20_000
        again = pickle.loads(pickle.dumps(windows))
        torch.testing.assert_close(again.batch(torch.tensor([9, -1])), windows.batch(torch.tensor([9, -1])))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no graphics card")
def test_on_another_device():
    windows = WindowDataset(walkers(), LENGTH, mirrored=True)
    there = windows.batch(torch.arange(len(windows)), device="cuda")
    assert there.is_cuda
    torch.testing.assert_close(there.cpu(), all_of(windows), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("length", "stride"), [(0, 1), (16, 0), (-3, 1)])
def test_windows_of_nothing_are_refused(length, stride):
    with pytest.raises(GaitError, match="1 or more"):
        WindowDataset(walkers(), length, stride)


def test_gaits_of_different_rates_are_refused():
    with pytest.raises(GaitError, match="50, 100 Hz; bring them to one rate"):
        WindowDataset([recording(stick_walker()), recording(stick_walker(), rate_hz=50.0)], LENGTH)
