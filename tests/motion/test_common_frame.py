"""The common frame against its slow form, from any camera, for any heading, whatever the person does."""

from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gait.body.skeleton import MIRROR_PAIRS, Joint
from gait.motion.common_frame import (
    MIRROR_ORDER,
    aligned,
    common_frame,
    mirrored,
    normalised,
    place,
    placements,
)
from tests.helpers.motion_cases import about_y, slowly_aligned, slowly_normalised, stick_walker

CAMERAS = [
    np.array(signs)[:, None] * np.eye(3)[list(order)]
    for order in permutations(range(3))
    for signs in product((1, -1), repeat=3)
]
"""All 48 ways to name three perpendicular axes, half of them left-handed."""
WALKERS = {
    "walks": {},
    "walks slowly": {"speed": 0.5},
    "walks backwards": {"speed": -0.9},
    "is on a treadmill": {"speed": 0.0},
    "leans far": {"lean_deg": 40.0},
    "is a child": {"height": 0.5},
    "turns": {"turn_deg": 100.0},
    "turns about": {"turn_deg": 180.0, "speed": 0.6},
}
PELVIS, HEAD, LEFT_ANKLE, RIGHT_ANKLE = Joint.PELVIS, Joint.HEAD, Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE


def tensor(*windows):
    return torch.from_numpy(np.stack(windows).astype(np.float32))


# --- what it is ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", WALKERS)
@pytest.mark.parametrize("camera", [0, 13, 30, 47])
def test_it_is_the_slow_one(who, camera):
    window = (stick_walker(**WALKERS[who]) @ about_y(2.5).T + [3, 1, -2]) @ CAMERAS[camera].T
    (found,) = aligned(tensor(window)).numpy()
    expected = slowly_aligned(window)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    (found,) = common_frame(tensor(window)).numpy()
    np.testing.assert_allclose(found, slowly_normalised(expected), atol=2e-5)


def test_a_batch_is_its_windows_one_by_one():
    windows = tensor(*(stick_walker(**walker) @ about_y(k) for k, walker in enumerate(WALKERS.values())))
    together = common_frame(windows)
    assert together.shape == windows.shape
    assert together.is_contiguous()
    for window, one in zip(windows, together, strict=True):
        torch.testing.assert_close(common_frame(window[None])[0], one)
    torch.testing.assert_close(normalised(aligned(windows)), together)


def test_windows_that_are_given_stay_as_they_are():
    windows = tensor(stick_walker(), stick_walker(speed=0))
    before = windows.clone()
    for function in (aligned, normalised, common_frame, mirrored):
        function(windows)
        joints_first = windows.permute(0, 3, 2, 1).contiguous().permute(0, 3, 2, 1)
        torch.testing.assert_close(function(joints_first), function(windows), rtol=0, atol=0)
        torch.testing.assert_close(joints_first, before, rtol=0, atol=0)
    torch.testing.assert_close(windows, before, rtol=0, atol=0)


def test_without_new_memory_it_is_the_same():
    windows = tensor(stick_walker(), stick_walker(speed=0), stick_walker(turn_deg=60))
    result, own = torch.empty_like(windows), windows.permute(0, 3, 2, 1).contiguous()
    scratch = torch.full_like(own, torch.nan)
    placed = placements(own, scratch)
    place(own.transpose(1, 2).contiguous(), placed, scratch.view(3, 22, 3, -1), result)
    torch.testing.assert_close(result, common_frame(windows), rtol=0, atol=2e-6)


def test_double_precision_stays_double():
    windows = torch.from_numpy(stick_walker()[None])
    assert common_frame(windows).dtype == torch.float64
    np.testing.assert_allclose(aligned(windows)[0], slowly_aligned(stick_walker()), atol=1e-12)


# --- what it does not depend on --------------------------------------------------------------------------------------

HEADINGS = st.one_of(
    st.sampled_from([0.0, np.pi, -np.pi, np.pi / 2, -np.pi / 2]),
    st.sampled_from([np.pi - 1e-7, -np.pi + 1e-7, np.pi + 1e-4]),
    st.floats(-np.pi, np.pi),
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(WALKERS)),
    HEADINGS,
    st.tuples(*[st.floats(-20, 20)] * 3),
    st.sampled_from(range(48)),
)
def test_heading_start_and_camera_do_not_matter(who, heading, start, camera):
    walker = stick_walker(**WALKERS[who])
    seen = (walker @ about_y(heading).T + start) @ CAMERAS[camera].T
    np.testing.assert_allclose(aligned(tensor(seen)), aligned(tensor(walker)), atol=1e-4)
    np.testing.assert_allclose(common_frame(tensor(seen)), common_frame(tensor(walker)), atol=1e-4)


@pytest.mark.parametrize("signs", [(-1.0, 0.0), (-1.0, -0.0), (1.0, -0.0)])
def test_walking_exactly_along_an_axis(signs):
    """No rounding decides anything where sine or cosine of the heading is zero."""
    c, s = signs
    walker = stick_walker()
    seen = walker @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T
    np.testing.assert_allclose(aligned(tensor(seen)), aligned(tensor(walker)), atol=1e-6)


@pytest.mark.parametrize("who", WALKERS)
def test_what_the_common_frame_is(who):
    window = stick_walker(**WALKERS[who])
    (found,) = aligned(tensor(window @ about_y(-2.0).T)).numpy()
    np.testing.assert_array_equal(found[0, PELVIS], 0)
    np.testing.assert_allclose(found[..., 1], window[..., 1] - window[0, PELVIS, 1], atol=1e-6, err_msg="tilted")
    lengths = np.linalg.norm(window[:, :, None] - window[:, None, :], axis=-1)
    np.testing.assert_allclose(np.linalg.norm(found[:, :, None] - found[:, None, :], axis=-1), lengths, atol=1e-5)
    if "backwards" in who:
        assert found[-1, PELVIS, 0] < -0.3
    elif "treadmill" not in who:
        assert found[-1, PELVIS, 0] > 0.1
        assert abs(found[-1, PELVIS, 2]) < 1e-5
    if "about" not in who:
        assert found[:, LEFT_ANKLE, 2].mean() < found[:, RIGHT_ANKLE, 2].mean()
    assert (found[:, [Joint.LEFT_FOOT, Joint.RIGHT_FOOT], 0] - found[:, [LEFT_ANKLE, RIGHT_ANKLE], 0]).mean() > 0


def test_who_stands_faces_along_x():
    (found,) = aligned(tensor(stick_walker(speed=0, turn_deg=20, lean_deg=0) @ about_y(0.7))).numpy()
    right = (found[:, Joint.RIGHT_HIP] - found[:, Joint.LEFT_HIP]).mean(axis=0)
    assert right[2] > 0.19
    assert abs(right[0]) < 1e-3


def test_legs_that_cross_are_no_mirror_image():
    """Ankles alone would say so."""
    walker = stick_walker()
    walker[:, [Joint.LEFT_ANKLE, Joint.LEFT_FOOT], 2] += 0.15
    walker[:, [Joint.RIGHT_ANKLE, Joint.RIGHT_FOOT], 2] -= 0.15
    (found,) = aligned(tensor(walker @ about_y(1.0))).numpy()
    assert found[:, LEFT_ANKLE, 2].mean() > found[:, RIGHT_ANKLE, 2].mean()
    assert (found[:, Joint.LEFT_SHOULDER, 2] < found[:, Joint.RIGHT_SHOULDER, 2]).all()


# --- normalisation ---------------------------------------------------------------------------------------------------


def test_normalised_range():
    (found,) = common_frame(tensor(stick_walker(height=1.3)))
    low, high = found.amin(dim=(0, 1)), found.amax(dim=(0, 1))
    torch.testing.assert_close(low[1:], torch.tensor([-1.0, -1.0]))
    torch.testing.assert_close(high[1:], torch.tensor([1.0, 1.0]))
    (whole,) = aligned(tensor(stick_walker(height=1.3)))
    stature = (whole[:, HEAD] - (whole[:, LEFT_ANKLE] + whole[:, RIGHT_ANKLE]) / 2).norm(dim=-1).max()
    torch.testing.assert_close(found[..., 0] * stature, whole[..., 0])


def test_a_flat_window_is_zero_along_its_flat_axis():
    windows = aligned(tensor(stick_walker()))
    windows[..., 2] = 0.4
    found = normalised(windows)
    assert (found[..., 2] == 0).all()
    assert found.isfinite().all()


def test_size_does_not_matter():
    small, large = (common_frame(tensor(stick_walker(height=h))) for h in (0.4, 2.0))
    torch.testing.assert_close(small, large, atol=1e-5, rtol=0)


# --- mirror images ---------------------------------------------------------------------------------------------------


def test_every_pair_is_exchanged():
    """Collars too, which the published list forgets."""
    order = np.array(MIRROR_ORDER)
    assert (Joint.LEFT_COLLAR, Joint.RIGHT_COLLAR) in MIRROR_PAIRS
    for left, right in MIRROR_PAIRS:
        assert (order[left], order[right]) == (right, left)
    assert sum(order != np.arange(22)) == 16
    np.testing.assert_array_equal(order[order], np.arange(22))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(WALKERS)), HEADINGS, st.sampled_from(range(48)))
def test_mirroring_before_or_after_is_the_same(who, heading, camera):
    raw = tensor(stick_walker(**WALKERS[who]) @ about_y(heading).T @ CAMERAS[camera].T)
    for function in (aligned, common_frame):
        after = mirrored(function(raw))
        np.testing.assert_allclose(function(mirrored(raw)), after, atol=2e-6)
        np.testing.assert_allclose(function(raw[..., list(MIRROR_ORDER), :]), after, atol=2e-6)
        assert (after - function(raw)).abs().max() > 0.05, "the walker is not symmetric"


def test_mirrored_twice_is_as_before():
    windows = aligned(tensor(stick_walker()))
    once = mirrored(windows)
    torch.testing.assert_close(mirrored(once), windows, rtol=0, atol=0)
    torch.testing.assert_close(once[0, :, Joint.LEFT_KNEE], windows[0, :, Joint.RIGHT_KNEE] * torch.tensor([1, 1, -1]))


# --- whatever the input ----------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 3), st.integers(1, 4), st.just(22), st.just(3)),
        elements=st.one_of(st.just(0.0), st.floats(-1e9, 1e9, width=32), st.sampled_from([1e-30, -1e-40, 1.0])),
    )
)
def test_finite_in_finite_out(windows):
    assert aligned(torch.from_numpy(windows)).isfinite().all()
    assert common_frame(torch.from_numpy(windows)).isfinite().all()


@pytest.mark.parametrize("frames", [1, 2])
def test_few_frames_and_standing_still(frames):
    still = np.repeat(stick_walker(1), frames, axis=0) @ about_y(2.0)
    (found,) = aligned(tensor(still)).numpy()
    np.testing.assert_allclose(found, slowly_aligned(still), atol=1e-6)
    assert (found[:, Joint.RIGHT_HIP, 2] > 0.05).all()


def test_who_turned_all_the_way_round_faces_where_he_began():
    (found,) = aligned(tensor(stick_walker(81, speed=0, turn_deg=360 * 81 / 80) @ about_y(1.1))).numpy()
    assert np.isfinite(found).all()
    assert found[0, Joint.RIGHT_HIP, 2] > 0.09
    assert abs(found[0, Joint.RIGHT_HIP, 0]) < 0.03


def test_no_windows():
    assert common_frame(torch.empty(0, 5, 22, 3)).shape == (0, 5, 22, 3)
