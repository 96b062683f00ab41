"""``WindowDataset``: the same windows as from a slow loop, in a defined order."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from gait.body.skeleton import MIRROR_PAIRS, Joint
from gait.errors import GaitError
from gait.kinematics.walking import Activity
from gait.motion.window_placement import observed_fraction
from gait.motion.windows import WindowDataset
from tests.helpers.motion_cases import (
    align_window_slowly,
    make_trial,
    normalize_window_slowly,
    rot_y,
    status_without,
    stick_figure,
)

LENGTH = 16


def trials():
    """Return trials of 30, 16, 9 and 21 frames, one of them far from the origin."""
    first = make_trial(stick_figure(30) @ rot_y(0.4), "P01", "walk1")
    second = make_trial(stick_figure(16, speed=0) @ rot_y(3.1) + [400.0, 0, -900.0], "P01", "walk2")
    third = make_trial(stick_figure(9), "P02", "short", sick=True)
    fourth = make_trial(stick_figure(21, turn_deg=50) @ rot_y(np.pi), "P02", "walk1", sick=True)
    return [first, second, third, fourth]


def compute_window_slowly(trial, first, length):
    return normalize_window_slowly(align_window_slowly(trial.joints_m[first : first + length].astype(np.float64)))


def mirror_image(window):
    window = window * [1, 1, -1]
    for left, right in MIRROR_PAIRS:
        window[:, [left, right]] = window[:, [right, left]]
    return window


def all_windows(windows):
    return windows.batch(torch.arange(len(windows)))


@pytest.mark.parametrize(("stride", "counts"), [(1, (15, 1, 0, 6)), (4, (4, 1, 0, 2)), (100, (1, 1, 0, 1))])
def test_window_dataset_has_every_window_in_order(stride, counts):
    windows = WindowDataset(trials(), LENGTH, stride)
    assert len(windows) == sum(counts)
    assert windows.trial_index.tolist() == [k for k, count in enumerate(counts) for _ in range(count)]
    assert windows.first_frame.tolist() == [stride * k for count in counts for k in range(count)]
    assert windows.sick.tolist() == [windows.trials[k].sick for k in windows.trial_index]
    assert not windows.is_mirrored.any()
    assert windows.trial_index.dtype == windows.first_frame.dtype == torch.int64
    assert windows.sick.dtype == windows.is_mirrored.dtype == torch.bool
    batch = all_windows(windows)
    assert batch.shape == (len(windows), LENGTH, 22, 3)
    assert batch.dtype == torch.float32
    assert batch.is_contiguous()
    for window, k, first in zip(batch, windows.trial_index, windows.first_frame, strict=True):
        np.testing.assert_allclose(
            window, compute_window_slowly(windows.trials[k], first, LENGTH), atol=1e-3 if k == 1 else 2e-5
        )


def test_window_dataset_appends_mirror_images():
    plain, both = WindowDataset(trials(), LENGTH, 3), WindowDataset(trials(), LENGTH, 3, mirror=True)
    n = len(plain)
    assert len(both) == 2 * n
    assert both.is_mirrored.tolist() == [False] * n + [True] * n
    for name in ("trial_index", "first_frame", "sick"):
        values = getattr(both, name)
        torch.testing.assert_close(values[:n], getattr(plain, name))
        torch.testing.assert_close(values[n:], getattr(plain, name))
    batch = all_windows(both)
    torch.testing.assert_close(batch[:n], all_windows(plain), rtol=0, atol=0)
    for window, image in zip(batch[:n], batch[n:], strict=True):
        np.testing.assert_allclose(image, mirror_image(window.numpy()), atol=2e-6)


def test_batch_takes_any_indices():
    windows = WindowDataset([make_trial(stick_figure(200))], LENGTH, mirror=True)
    everything = all_windows(windows)
    assert len(everything) == 370
    order = torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(windows.batch(order), everything[order], rtol=0, atol=0)
    torch.testing.assert_close(windows.batch(torch.tensor([7, 7, -1])), everything[[7, 7, -1]], rtol=0, atol=0)
    assert windows.batch(torch.tensor([], dtype=torch.int64)).shape == (0, LENGTH, 22, 3)
    with pytest.raises(IndexError):
        windows.batch(torch.tensor([len(windows)]))


def test_batch_is_reproducible():
    """Also if a window's transform is cached from an earlier batch."""
    windows = WindowDataset([make_trial(stick_figure(150, turn_deg=80))], LENGTH, mirror=True)
    first = all_windows(windows)
    some = torch.tensor([3, 140, 200, 3])
    torch.testing.assert_close(windows.batch(some), first[some], rtol=0, atol=0)
    torch.testing.assert_close(all_windows(windows), first, rtol=0, atol=0)
    fresh = WindowDataset(windows.trials, LENGTH, mirror=True)
    torch.testing.assert_close(fresh.batch(some), first[some], rtol=0, atol=0)
    torch.testing.assert_close(all_windows(fresh), first, rtol=0, atol=0)


def test_batch_is_a_copy():
    windows = WindowDataset(trials(), LENGTH)
    first = windows.batch(torch.tensor([0, 1]))
    kept = first.clone()
    windows.batch(torch.tensor([5, 6])).fill_(7)
    torch.testing.assert_close(first, kept, rtol=0, atol=0)
    torch.testing.assert_close(windows.batch(torch.tensor([0, 1])), kept, rtol=0, atol=0)


def test_window_dataset_does_not_change_its_trials():
    own = trials()
    before = [trial.joints_m.copy() for trial in own]
    all_windows(WindowDataset(own, LENGTH, mirror=True))
    for trial, joints in zip(own, before, strict=True):
        np.testing.assert_array_equal(trial.joints_m, joints)


def test_window_dataset_reports_short_trials():
    windows = WindowDataset(trials(), LENGTH)
    (line,) = windows.too_short
    assert line.startswith("sick/P02/short: 9 frames at 100 Hz are shorter than a window of 16")
    assert len(windows.trials) == 4
    none = WindowDataset(trials(), 31)
    assert (len(none), len(none.too_short)) == (0, 4)
    assert all_windows(none).shape == (0, 31, 22, 3)
    empty = WindowDataset([], LENGTH)
    assert (len(empty), empty.too_short) == (0, ())
    assert empty.sick.shape == (0,)


def test_window_dataset_with_one_frame_windows():
    windows = WindowDataset(trials()[:1], 1)
    assert len(windows) == 30
    assert all_windows(windows).isfinite().all()


def test_window_dataset_stores_frames_once():
    """The pickled size is that of the frames, plus a few bytes per window."""
    own = [make_trial(stick_figure(400), f"P{k}") for k in range(3)]
    frames = 3 * 400 * 22 * 3 * 4
    per_window = 3 * 8 + 12 * 4 + 3
    for mirror in (False, True):
        windows = WindowDataset(own, 64, mirror=mirror)
        scratch = 2 * 64 * 64 * 22 * 3 * 4
        assert len(pickle.dumps(windows)) < 2 * frames + per_window * len(windows) + scratch + 20_000
        again = pickle.loads(pickle.dumps(windows))
        torch.testing.assert_close(again.batch(torch.tensor([9, -1])), windows.batch(torch.tensor([9, -1])))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_batch_on_another_device():
    windows = WindowDataset(trials(), LENGTH, mirror=True)
    there = windows.batch(torch.arange(len(windows)), device="cuda")
    assert there.is_cuda
    torch.testing.assert_close(there.cpu(), all_windows(windows), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("length", "stride"), [(0, 1), (16, 0), (-3, 1)])
def test_window_dataset_raises_for_invalid_length_or_stride(length, stride):
    with pytest.raises(GaitError, match="1 or more"):
        WindowDataset(trials(), length, stride)


def test_window_dataset_raises_for_different_rates():
    with pytest.raises(GaitError, match="50, 100 Hz; resample them to one rate"):
        WindowDataset([make_trial(stick_figure()), make_trial(stick_figure(), rate_hz=50.0)], LENGTH)


LEFT_OUT = (
    (Joint.LEFT_ELBOW, Joint.RIGHT_ELBOW, Joint.LEFT_WRIST, Joint.RIGHT_WRIST),
    (Joint.NECK, Joint.HEAD, Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER),
    (Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE, Joint.LEFT_FOOT, Joint.RIGHT_FOOT),
)


@pytest.mark.parametrize("left_out", LEFT_OUT)
def test_window_dataset_does_not_depend_on_joints_that_are_left_out(left_out):
    first, second, _, fourth = trials()
    arms = LEFT_OUT[0]
    invented = stick_figure(30) @ rot_y(0.4)
    invented[:, left_out] += np.random.default_rng(0).normal(0, 0.3, (1, len(left_out), 3)) * [1, left_out == arms, 1]
    if Joint.LEFT_FOOT in left_out:  # feet still point ahead of the ankles
        invented[:, left_out] = first.joints_m[:, left_out] + [0.0, -0.3, 0.0]
    for mirror in (False, True):
        plain = WindowDataset([first, second, fourth], LENGTH, mirror=mirror, left_out=left_out)
        changed = WindowDataset([make_trial(invented), second, fourth], LENGTH, mirror=mirror, left_out=left_out)
        batch = all_windows(plain)
        torch.testing.assert_close(all_windows(changed), batch, rtol=0, atol=1e-6)
        assert plain.left_out == tuple(sorted(left_out))
        assert (batch[:, :, left_out] == 0).all()
        kept = [joint for joint in range(22) if joint not in left_out]
        assert batch[:, :, kept, 1:].amax() == pytest.approx(1, abs=1e-5)
        assert (batch[..., Joint.PELVIS, 0].diff(dim=1) >= -1e-3).all(), "walks along +x"
    everything = all_windows(WindowDataset([first], LENGTH))
    if left_out == arms:  # heading and scale along x come from other joints
        torch.testing.assert_close(
            all_windows(WindowDataset([first], LENGTH, left_out=arms))[:, :, kept, 0], everything[:, :, kept, 0]
        )


def test_observed_fraction_of_each_window_and_joint():
    status = status_without(30, [Joint.LEFT_KNEE], slice(0, 20))
    fraction = observed_fraction(status, np.arange(15), LENGTH)
    expected = np.ones((15, 22))
    expected[:, Joint.LEFT_KNEE] = [max(0, first + LENGTH - 20) / LENGTH for first in range(15)]
    np.testing.assert_allclose(fraction, expected)


@pytest.mark.parametrize("mirror", [False, True])
def test_window_dataset_omits_windows_that_observe_too_little(mirror):
    status = status_without(30, [Joint.LEFT_KNEE], slice(0, 20))
    known, unknown = make_trial(stick_figure(30), joint_status=status), make_trial(stick_figure(LENGTH))
    windows = WindowDataset([known, unknown], LENGTH, mirror=mirror, min_observed=0.5)
    assert windows.first_frame.tolist() == [12, 13, 14, 0] * (1 + mirror)
    assert windows.trial_index.tolist() == [0, 0, 0, 1] * (1 + mirror)
    knees = (Joint.LEFT_KNEE, Joint.RIGHT_KNEE)
    every = WindowDataset([known, unknown], LENGTH, mirror=mirror, left_out=knees, min_observed=0.5)
    assert len(every) == (15 + 1) * (1 + mirror)


@pytest.mark.parametrize("stride", [1, 5])
def test_window_dataset_has_only_windows_within_walks(stride):
    activity = np.full(90, Activity.STANDING, np.uint8)
    walks = (slice(7, 40), slice(44, 44 + LENGTH - 1), slice(60, 90))  # the second is too short
    for walk in walks:
        activity[walk] = Activity.WALKING
    trial = replace(make_trial(stick_figure(90)), activity=activity)
    windows = WindowDataset([trials()[0], trial], LENGTH, stride, mirror=True)
    own = [first for walk in walks for first in range(walk.start, walk.stop - LENGTH + 1, stride)]
    expected = [*range(0, 30 - LENGTH + 1, stride), *own]
    assert windows.first_frame.tolist() == 2 * expected
    assert windows.trial_index.tolist() == 2 * ([0] * (len(expected) - len(own)) + [1] * len(own))
    np.testing.assert_allclose(
        windows.batch(torch.tensor([len(expected) - 1]))[0], compute_window_slowly(trial, own[-1], LENGTH), atol=2e-5
    )
    walk_alone = make_trial(stick_figure(90)[walks[0]])
    alone = WindowDataset([walk_alone], LENGTH, stride)
    begin = len(expected) - len(own)
    np.testing.assert_allclose(windows.batch(torch.arange(begin, begin + len(alone))), all_windows(alone), atol=2e-5)


def test_window_dataset_says_why_a_trial_without_a_walk_has_no_window():
    standing = replace(make_trial(stick_figure(50)), activity=np.full(50, Activity.STANDING, np.uint8))
    short = np.full(50, Activity.TURNING, np.uint8)
    short[:9] = Activity.WALKING
    windows = WindowDataset([standing, replace(standing, activity=short)], LENGTH)
    assert len(windows) == 0
    none, too_short = windows.too_short
    assert "no walking in it (standing 0.5 s)" in none
    assert "longest walk has 9 frames" in too_short
    assert "turning on the spot 0.4 s" in too_short
    assert all("--keep_standing" in line for line in windows.too_short)
