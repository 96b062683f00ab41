"""Window inputs: equal to slow loops, mirror images commute, and windows are compared with the controls' mean."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gait.body.skeleton import BODY_PARENTS, MIRROR_ORDER, Joint
from gait.errors import GaitError
from gait.motion.dataset import dataset_hash
from gait.motion.inputs import INPUTS
from gait.motion.read_dataset import read_dataset
from gait.motion.rotation_samples import continuous_quaternions, mean_rotations
from gait.motion.walking_frame import walking_frames
from gait.motion.window_input import InputReference
from gait.motion.windows import WindowDataset, fit_reference
from tests.helpers.motion_cases import make_trial, rot_y, stick_figure, swinging_rotations, write_trial

LENGTH = 64
NEW = ("rotations", "bones")


def walk(frames=400, subject="P01", *, sick=False, turn_deg=0.0, **figure):
    return make_trial(
        stick_figure(frames, turn_deg=turn_deg, **figure),
        subject,
        sick=sick,
        axis_angle=swinging_rotations(frames, turn_deg=turn_deg, phase=figure.get("phase", 0.3)),
    )


def mirrored_walk(frames=400):
    """Return the mirror image of ``walk``: across the plane in which it walks."""
    joints = stick_figure(frames)[:, MIRROR_ORDER] * [1, 1, -1]
    # Reflection at the plane of x and y; the pelvis of a body that faces x is turned by 90° in the mirror as well.
    rotations = swinging_rotations(frames)[:, MIRROR_ORDER] * [1, -1, -1]
    rotations[:, 0] = [0, np.pi / 2, 0]
    return make_trial(joints, axis_angle=rotations)


def datasets(kind, trials, **options):
    reference = fit_reference(trials, LENGTH, input=kind, factor=0.0, **options)
    return WindowDataset(trials, LENGTH, input=kind, reference=reference, **options)


@pytest.mark.parametrize("kind", NEW)
@pytest.mark.parametrize("windows", ["frames", "cycles"])
def test_mirror_image_of_a_walk_has_mirrored_windows(kind, windows):
    """Windows of a walk that begin with one foot are those of its mirror image that begin with the other foot."""
    trials = [walk(), mirrored_walk()]
    found = datasets(kind, trials, windows=windows, mirror=windows == "frames")
    values = found.batch(torch.arange(len(found)))
    of_walk = [values[(found.trial_index == k) & found.is_mirrored.eq(m)] for k, m in ((0, False), (1, True))]
    assert len(of_walk[0]) > 1
    torch.testing.assert_close(*of_walk, rtol=0, atol=1e-5)
    assert (of_walk[0] - of_walk[0].flip(2)).abs().max() > 0.1


@pytest.mark.parametrize("kind", NEW)
def test_input_does_not_depend_on_where_and_in_which_direction_a_subject_walks(kind):
    plain = walk()
    turn = rot_y(0.7)
    rotations = swinging_rotations(400)
    rotations[:, 0] = (Rotation.from_matrix(turn) * Rotation.from_rotvec(rotations[:, 0])).as_rotvec()
    elsewhere = make_trial(stick_figure(400) @ turn.T + [3.0, 0, -40.0], axis_angle=rotations)
    found = datasets(kind, [plain, elsewhere])
    values = found.batch(torch.arange(len(found)))
    torch.testing.assert_close(*values.chunk(2), rtol=0, atol=2e-4)  # single precision, 40 m from the origin


def test_rotations_equal_a_slow_loop():
    trial = walk(150, turn_deg=30)
    axis_angle = swinging_rotations(150, turn_deg=30)
    found = datasets("rotations", [trial])
    window = found.batch(torch.tensor([5]))[0].numpy()
    means = Rotation.from_quat(found.reference.rotations.numpy())
    for frame in (0, LENGTH - 1):
        own = [Rotation.from_rotvec(vector) for vector in axis_angle[5 + frame]]
        own[Joint.SPINE2] = own[Joint.SPINE1] * own[Joint.SPINE2]
        own[Joint.SPINE3] = own[Joint.SPINE2] * own[Joint.SPINE3]
        for joint in range(1, 22):
            expected = (own[joint] * means[joint].inv()).as_rotvec()
            np.testing.assert_allclose(window[frame, joint], expected, atol=1e-5)
    # The pelvis faces the direction of walking, which is a mean over a stride: little rotation is left.
    assert np.abs((Rotation.from_rotvec(window[:, 0]) * means[0]).as_rotvec()).max() < 0.25


def test_bones_equal_a_slow_loop():
    trial = walk(150)
    window = datasets("bones", [trial]).batch(torch.tensor([5]))[0].numpy()
    for joint, parent in enumerate(BODY_PARENTS):
        bone = np.zeros(3) if parent < 0 else trial.joints_m[5, joint] - trial.joints_m[5, parent]
        expected = bone / max(np.linalg.norm(bone), 1e-4)
        np.testing.assert_allclose(window[0, joint], [-expected[2], expected[1], expected[0]], atol=1e-5)


def test_bones_of_a_mirror_image_are_those_of_the_subject():
    """Joints in axes of the other handedness; the published input is reflected back as well."""
    plain = walk()
    reflected = make_trial(plain.joints_m * [1, 1, -1])
    found = datasets("bones", [plain, reflected])
    values = found.batch(torch.arange(len(found)))
    torch.testing.assert_close(*values.chunk(2), rtol=0, atol=1e-5)


def test_a_subject_who_walks_backwards_faces_ahead():
    forwards = walk()
    backwards = make_trial(forwards.joints_m - 2 * (forwards.joints_m[:, :1] - forwards.joints_m[:1, :1]) * [1, 0, 0])
    frames = [walking_frames(trial.joints_m, 100.0) for trial in (forwards, backwards)]
    np.testing.assert_allclose(frames[0], frames[1], atol=1e-6)
    np.testing.assert_allclose(frames[0][0], [[0, 0, 1], [0, 1, 0], [-1, 0, 0]], atol=1e-6)


def test_cycles_are_sampled_at_a_hundred_samples_per_stride():
    """The same walk recorded at two frame rates has the same windows."""
    _, fast = trials = [
        make_trial(
            stick_figure(frames, rate_hz=rate), rate_hz=rate, axis_angle=swinging_rotations(frames, rate_hz=rate)
        )
        for frames, rate in ((1000, 200.0), (500, 100.0))
    ]
    for kind in (*NEW, "published"):
        reference = fit_reference([fast], LENGTH, input=kind, factor=0)
        one, other = (
            WindowDataset([trial], LENGTH, input=kind, windows="cycles", reference=reference) for trial in trials
        )
        assert len(one) == len(other) > 3
        torch.testing.assert_close(*(each.batch(torch.arange(len(each))) for each in (one, other)), rtol=0, atol=1e-5)


def test_rotations_are_continuous_over_180_degrees():
    angle = np.linspace(0, 3 * np.pi, 90)
    axis_angle = np.zeros((90, 1, 3))
    axis_angle[:, 0, 2] = angle
    wrapped = Rotation.from_rotvec(axis_angle[:, 0]).as_rotvec()  # within 180°
    values = continuous_quaternions(Rotation.from_rotvec(wrapped).as_quat()[:, None])
    assert np.linalg.norm(np.diff(values, axis=0), axis=2).max() < 0.06


def test_mean_rotation_is_between_the_rotations():
    two = Rotation.from_rotvec([[0.2, 0, 0], [0.6, 0, 0]]).as_quat()
    mean = mean_rotations([two[:1, None], -two[1:, None]])
    np.testing.assert_allclose(Rotation.from_quat(mean[0]).as_rotvec(), [0.4, 0, 0], atol=1e-9)


def test_deviation_is_a_multiple_of_the_difference_from_the_controls():
    trials = [walk(subject="H1"), walk(subject="H2", phase=1.0), walk(subject="S1", sick=True, lean_deg=20)]
    options = {"input": "bones", "windows": "cycles", "left_out": [Joint.HEAD]}
    reference = fit_reference(trials, LENGTH, factor=3.0, **options)
    windows = WindowDataset(trials, LENGTH, reference=reference, **options)
    everything = torch.arange(len(windows))
    values, seen = windows.values(everything), windows.batch(everything)
    mean = values[~windows.sick].mean(0)
    expected = 3 * (values - mean)
    expected[:, :, Joint.HEAD] = 0
    torch.testing.assert_close(seen, expected, rtol=0, atol=1e-4)
    assert seen[~windows.sick].mean(0).abs().max() < 1e-4
    back = InputReference.from_dict(reference.as_dict(), LENGTH)
    torch.testing.assert_close(back.deviation(values), reference.deviation(values))
    with pytest.raises(GaitError, match="mean_window"):
        InputReference.from_dict(reference.as_dict(), LENGTH + 1)


@pytest.mark.parametrize("kind", NEW)
def test_pace_scales_the_excursion_of_the_hips_about_their_mean(kind):
    windows = datasets(kind, [walk()])
    values = windows.values(torch.arange(3))
    random = torch.rand(3, 22, generator=torch.Generator().manual_seed(0))
    pace = INPUTS[kind].pace
    torch.testing.assert_close(pace(values, torch.ones(3), random), values, rtol=0, atol=1e-6)
    half = pace(values, torch.full((3,), 0.5), random)

    def excursion(of):
        if kind == "rotations":
            curve = of[:, :, Joint.LEFT_HIP, 0]
        else:
            curve = torch.atan2(of[:, :, Joint.LEFT_KNEE, 2], -of[:, :, Joint.LEFT_KNEE, 1])
        return curve.amax(1) - curve.amin(1)

    torch.testing.assert_close(excursion(half), 0.5 * excursion(values), rtol=1e-4, atol=1e-5)
    if kind == "bones":
        limbs = [Joint.LEFT_KNEE, Joint.RIGHT_ANKLE, Joint.LEFT_WRIST]
        torch.testing.assert_close(half[:, :, limbs].norm(dim=3), values[:, :, limbs].norm(dim=3))


def test_axes_are_named():
    rotations = INPUTS["rotations"].axis_names
    assert rotations[Joint.LEFT_KNEE][0] == "left knee flexion"
    assert rotations[Joint.PELVIS][0] == "pelvic tilt"
    assert INPUTS["bones"].axis_names[Joint.RIGHT_KNEE][2] == "right thigh ahead"
    for kind in NEW:
        assert np.shape(INPUTS[kind].axis_names) == (22, 3)


def test_trials_without_rotations_are_named(tmp_path):
    folder = write_trial(tmp_path, "healthy/H1/walk1", stick_figure(200), axis_angle=swinging_rotations(200))
    write_trial(tmp_path, "sick/S1/walk1", stick_figure(200))
    lacking = write_trial(tmp_path, "sick/S1/walk2", stick_figure(200))
    data = dict(np.load(lacking / "poses.npz"))
    np.savez(lacking / "poses.npz", **(data | {"constrained": np.bool_(True)}))
    dataset = read_dataset(tmp_path, min_frames=LENGTH, input="rotations")
    assert [trial.trial_name for trial in dataset.trials] == ["walk1", "walk1"]
    (line,) = [line for line in dataset.problems if "walk2" in line]
    assert "no joint rotations" in line
    assert "--input bones" in line
    plain = read_dataset(tmp_path, min_frames=LENGTH)
    assert [trial.rotations for trial in plain.trials] == [None, None, None]
    first = dataset_hash(dataset)
    data = dict(np.load(folder / "poses.npz"))
    np.savez(folder / "poses.npz", **(data | {"poses": data["poses"] * 0.5}))
    assert dataset_hash(read_dataset(tmp_path, min_frames=LENGTH, input="rotations")) != first
    assert dataset_hash(read_dataset(tmp_path, min_frames=LENGTH)) == dataset_hash(plain)
