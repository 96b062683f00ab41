"""The common frame against a slow reference, for any camera axes, heading and movement."""

from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gait.body.skeleton import MIRROR_ORDER, MIRROR_PAIRS, Joint
from gait.motion.common_frame import apply_transforms, window_transforms
from tests.helpers.motion_cases import (
    align_window_slowly,
    align_windows,
    mirror_joints,
    normalize_window_slowly,
    normalize_windows,
    rot_y,
    stick_figure,
    to_common_frame,
)

CAMERAS = [
    np.array(signs)[:, None] * np.eye(3)[list(order)]
    for order in permutations(range(3))
    for signs in product((1, -1), repeat=3)
]
"""All 48 orthogonal coordinate systems along the axes, half of them left-handed."""
MOVEMENTS = {
    "walking": {},
    "walking slowly": {"speed": 0.5},
    "walking backwards": {"speed": -0.9},
    "treadmill": {"speed": 0.0},
    "leaning": {"lean_deg": 40.0},
    "child": {"height": 0.5},
    "turning": {"turn_deg": 100.0},
    "turning around": {"turn_deg": 180.0, "speed": 0.6},
}
PELVIS, HEAD, LEFT_ANKLE, RIGHT_ANKLE = Joint.PELVIS, Joint.HEAD, Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE


def tensor(*windows):
    return torch.from_numpy(np.stack(windows).astype(np.float32))


# --- definition ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("movement", MOVEMENTS)
@pytest.mark.parametrize("camera", [0, 13, 30, 47])
def test_align_windows_and_to_common_frame_match_slow_reference(movement, camera):
    window = (stick_figure(**MOVEMENTS[movement]) @ rot_y(2.5).T + [3, 1, -2]) @ CAMERAS[camera].T
    (found,) = align_windows(tensor(window)).numpy()
    expected = align_window_slowly(window)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    (found,) = to_common_frame(tensor(window)).numpy()
    np.testing.assert_allclose(found, normalize_window_slowly(expected), atol=2e-5)


def test_to_common_frame_treats_windows_independently():
    windows = tensor(*(stick_figure(**joints) @ rot_y(k) for k, joints in enumerate(MOVEMENTS.values())))
    together = to_common_frame(windows)
    assert together.shape == windows.shape
    assert together.is_contiguous()
    for window, one in zip(windows, together, strict=True):
        torch.testing.assert_close(to_common_frame(window[None])[0], one)
    torch.testing.assert_close(normalize_windows(align_windows(windows)), together)


def test_functions_do_not_change_their_input():
    windows = tensor(stick_figure(), stick_figure(speed=0))
    before = windows.clone()
    for function in (align_windows, normalize_windows, to_common_frame, mirror_joints):
        function(windows)
        joints_first = windows.permute(0, 3, 2, 1).contiguous().permute(0, 3, 2, 1)
        torch.testing.assert_close(function(joints_first), function(windows), rtol=0, atol=0)
        torch.testing.assert_close(joints_first, before, rtol=0, atol=0)
    torch.testing.assert_close(windows, before, rtol=0, atol=0)


def test_apply_transforms_matches_to_common_frame():
    windows = tensor(stick_figure(), stick_figure(speed=0), stick_figure(turn_deg=60))
    result, own = torch.empty_like(windows), windows.permute(0, 3, 2, 1).contiguous()
    scratch = torch.full_like(own, torch.nan)
    transforms = window_transforms(own, scratch)
    apply_transforms(own.transpose(1, 2).contiguous(), transforms, scratch.view(3, 22, 3, -1), result)
    torch.testing.assert_close(result, to_common_frame(windows), rtol=0, atol=2e-6)


def test_to_common_frame_keeps_double_precision():
    windows = torch.from_numpy(stick_figure()[None])
    assert to_common_frame(windows).dtype == torch.float64
    np.testing.assert_allclose(align_windows(windows)[0], align_window_slowly(stick_figure()), atol=1e-12)


# --- invariances ----------------------------------------------------------------------------------------------------

HEADINGS = st.one_of(
    st.sampled_from([0.0, np.pi, -np.pi, np.pi / 2, -np.pi / 2]),
    st.sampled_from([np.pi - 1e-7, -np.pi + 1e-7, np.pi + 1e-4]),
    st.floats(-np.pi, np.pi),
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(MOVEMENTS)),
    HEADINGS,
    st.tuples(*[st.floats(-20, 20)] * 3),
    st.sampled_from(range(48)),
)
def test_align_windows_is_invariant_to_heading_position_and_camera(movement, heading, start, camera):
    joints = stick_figure(**MOVEMENTS[movement])
    seen = (joints @ rot_y(heading).T + start) @ CAMERAS[camera].T
    np.testing.assert_allclose(align_windows(tensor(seen)), align_windows(tensor(joints)), atol=1e-4)
    np.testing.assert_allclose(to_common_frame(tensor(seen)), to_common_frame(tensor(joints)), atol=1e-4)


@pytest.mark.parametrize("signs", [(-1.0, 0.0), (-1.0, -0.0), (1.0, -0.0)])
def test_align_windows_along_an_axis(signs):
    """The result does not depend on rounding where sine or cosine of the heading is zero."""
    c, s = signs
    joints = stick_figure()
    seen = joints @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T
    np.testing.assert_allclose(align_windows(tensor(seen)), align_windows(tensor(joints)), atol=1e-6)


@pytest.mark.parametrize("movement", MOVEMENTS)
def test_align_windows_has_the_properties_of_the_common_frame(movement):
    window = stick_figure(**MOVEMENTS[movement])
    (found,) = align_windows(tensor(window @ rot_y(-2.0).T)).numpy()
    np.testing.assert_array_equal(found[0, PELVIS], 0)
    np.testing.assert_allclose(found[..., 1], window[..., 1] - window[0, PELVIS, 1], atol=1e-6, err_msg="tilted")
    lengths = np.linalg.norm(window[:, :, None] - window[:, None, :], axis=-1)
    np.testing.assert_allclose(np.linalg.norm(found[:, :, None] - found[:, None, :], axis=-1), lengths, atol=1e-5)
    if "backwards" in movement:
        assert found[-1, PELVIS, 0] < -0.3
    elif "treadmill" not in movement:
        assert found[-1, PELVIS, 0] > 0.1
        assert abs(found[-1, PELVIS, 2]) < 1e-5
    if "around" not in movement:
        assert found[:, LEFT_ANKLE, 2].mean() < found[:, RIGHT_ANKLE, 2].mean()
    assert (found[:, [Joint.LEFT_FOOT, Joint.RIGHT_FOOT], 0] - found[:, [LEFT_ANKLE, RIGHT_ANKLE], 0]).mean() > 0


def test_align_windows_makes_a_standing_subject_face_x():
    (found,) = align_windows(tensor(stick_figure(speed=0, turn_deg=20, lean_deg=0) @ rot_y(0.7))).numpy()
    right = (found[:, Joint.RIGHT_HIP] - found[:, Joint.LEFT_HIP]).mean(axis=0)
    assert right[2] > 0.19
    assert abs(right[0]) < 1e-3


def test_align_windows_does_not_reflect_crossing_legs():
    """By the ankles alone, the window would be a mirror image."""
    joints = stick_figure()
    joints[:, [Joint.LEFT_ANKLE, Joint.LEFT_FOOT], 2] += 0.15
    joints[:, [Joint.RIGHT_ANKLE, Joint.RIGHT_FOOT], 2] -= 0.15
    (found,) = align_windows(tensor(joints @ rot_y(1.0))).numpy()
    assert found[:, LEFT_ANKLE, 2].mean() > found[:, RIGHT_ANKLE, 2].mean()
    assert (found[:, Joint.LEFT_SHOULDER, 2] < found[:, Joint.RIGHT_SHOULDER, 2]).all()


# --- normalization ---------------------------------------------------------------------------------------------------


def test_to_common_frame_range():
    (found,) = to_common_frame(tensor(stick_figure(height=1.3)))
    low, high = found.amin(dim=(0, 1)), found.amax(dim=(0, 1))
    torch.testing.assert_close(low[1:], torch.tensor([-1.0, -1.0]))
    torch.testing.assert_close(high[1:], torch.tensor([1.0, 1.0]))
    (whole,) = align_windows(tensor(stick_figure(height=1.3)))
    stature = (whole[:, HEAD] - (whole[:, LEFT_ANKLE] + whole[:, RIGHT_ANKLE]) / 2).norm(dim=-1).max()
    torch.testing.assert_close(found[..., 0] * stature, whole[..., 0])


def test_normalize_windows_is_zero_along_an_axis_without_extent():
    windows = align_windows(tensor(stick_figure()))
    windows[..., 2] = 0.4
    found = normalize_windows(windows)
    assert (found[..., 2] == 0).all()
    assert found.isfinite().all()


def test_to_common_frame_is_invariant_to_stature():
    small, large = (to_common_frame(tensor(stick_figure(height=h))) for h in (0.4, 2.0))
    torch.testing.assert_close(small, large, atol=1e-5, rtol=0)


# --- mirror images ---------------------------------------------------------------------------------------------------


def test_mirror_order_exchanges_every_pair():
    """Including the collars (clavicles), which the original implementation omits."""
    order = np.array(MIRROR_ORDER)
    assert (Joint.LEFT_COLLAR, Joint.RIGHT_COLLAR) in MIRROR_PAIRS
    for left, right in MIRROR_PAIRS:
        assert (order[left], order[right]) == (right, left)
    assert sum(order != np.arange(22)) == 16
    np.testing.assert_array_equal(order[order], np.arange(22))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(MOVEMENTS)), HEADINGS, st.sampled_from(range(48)))
def test_mirror_joints_commutes_with_align_windows(movement, heading, camera):
    raw = tensor(stick_figure(**MOVEMENTS[movement]) @ rot_y(heading).T @ CAMERAS[camera].T)
    for function in (align_windows, to_common_frame):
        after = mirror_joints(function(raw))
        np.testing.assert_allclose(function(mirror_joints(raw)), after, atol=2e-6)
        np.testing.assert_allclose(function(raw[..., list(MIRROR_ORDER), :]), after, atol=2e-6)
        assert (after - function(raw)).abs().max() > 0.05, "the stick figure is not symmetric"


def test_mirror_joints_twice_is_identity():
    windows = align_windows(tensor(stick_figure()))
    once = mirror_joints(windows)
    torch.testing.assert_close(mirror_joints(once), windows, rtol=0, atol=0)
    torch.testing.assert_close(once[0, :, Joint.LEFT_KNEE], windows[0, :, Joint.RIGHT_KNEE] * torch.tensor([1, 1, -1]))


# --- unusual input ---------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 3), st.integers(1, 4), st.just(22), st.just(3)),
        elements=st.one_of(st.just(0.0), st.floats(-1e9, 1e9, width=32), st.sampled_from([1e-30, -1e-40, 1.0])),
    )
)
def test_common_frame_of_finite_input_is_finite(windows):
    assert align_windows(torch.from_numpy(windows)).isfinite().all()
    assert to_common_frame(torch.from_numpy(windows)).isfinite().all()


@pytest.mark.parametrize("frames", [1, 2])
def test_align_windows_of_few_frames_in_standing(frames):
    still = np.repeat(stick_figure(1), frames, axis=0) @ rot_y(2.0)
    (found,) = align_windows(tensor(still)).numpy()
    np.testing.assert_allclose(found, align_window_slowly(still), atol=1e-6)
    assert (found[:, Joint.RIGHT_HIP, 2] > 0.05).all()


def test_align_windows_of_a_full_turn_faces_the_initial_direction():
    (found,) = align_windows(tensor(stick_figure(81, speed=0, turn_deg=360 * 81 / 80) @ rot_y(1.1))).numpy()
    assert np.isfinite(found).all()
    assert found[0, Joint.RIGHT_HIP, 2] > 0.09
    assert abs(found[0, Joint.RIGHT_HIP, 0]) < 0.03


def test_to_common_frame_of_no_windows():
    assert to_common_frame(torch.empty(0, 5, 22, 3)).shape == (0, 5, 22, 3)
