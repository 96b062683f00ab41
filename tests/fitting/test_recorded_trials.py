"""Real walks: what a fit owes the people who wore the markers, and the clinic's own answer for their knees."""

import importlib

import numpy as np
import pytest
import torch

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.skeleton import Joint
from gait.capture import read_recording
from gait.errors import GaitError
from gait.fitting.subject_fit import fit_person
from gait.motion.common_frame import aligned
from gait.motion.resampling import resampled
from tests.helpers.paths import REPOSITORY

pytestmark = [pytest.mark.captures, pytest.mark.slow]


@pytest.fixture(scope="module")
def benchmark():
    """Import a module of the benchmarks by name, as their scripts do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(REPOSITORY / "benchmarks")
        yield importlib.import_module


@pytest.fixture(scope="module")
def body():
    return load_body(REPOSITORY / "data" / "SUPR" / "open_neutral.npz")


@pytest.fixture(scope="module")
def walks(captures, benchmark, body):
    """Everybody's walks, each person fitted with all of that person's recordings."""
    persons = benchmark("real_walks").recorded_persons(captures)
    return benchmark("real_fits").fit_walks(persons, captures, body)


def test_all_walks_are_there(walks):
    assert {walk.name for walk in walks} == {
        "healthy/HC002D/walk06.c3d",
        "healthy/HC030A/walk05.c3d",
        "healthy/HC033A/walk10.c3d",
        "healthy/HC036A/turn23.c3d",
        "healthy/HC036A/walk10.c3d",
        "cerebral_palsy/CP01/walk.c3d",
        "cerebral_palsy/CP02/walk08_pre.C3D",
        "cerebral_palsy/CP02/walk10_pre.C3D",
        "cerebral_palsy/CP02/walk08_post.C3D",
        "formats/pig35_adult_walk.c3d",
    }


def test_the_body_wears_the_markers(walks, benchmark, body):
    """Mean residual at most 6 mm, no frame above 15 mm, anatomical markers placed within 15 mm of the layout."""
    for walk in walks:
        figures = benchmark("real_fits").walk_figures(walk, body)
        assert figures["residual_mm"] <= 6, walk.name
        assert figures["max_frame_mean_mm"] <= 15, walk.name
        assert figures["offset_mm"] <= 15, walk.name


def test_knees_and_elbows_bend_the_human_way_only(walks, benchmark):
    for walk in walks:
        assert benchmark("real_fits").wrong_way_share(walk.gait.rotations) == {"knees": 0, "elbows": 0}, walk.name


def test_no_joint_jumps(walks):
    """Nothing of a walking person moves faster than a foot in swing, 8 m/s at the very most."""
    for walk in walks:
        speed = np.linalg.norm(np.diff(walk.gait.joints_m, axis=0), axis=-1) * walk.gait.recording.rate_hz
        assert speed.max() < 8, walk.name


def test_knees_are_the_clinics(walks, benchmark):
    """Knee angle from hip, knee and ankle centres, Plug-in Gait's against the fitted body's, over all walks."""
    compared = benchmark("clinic_centres").compared_with_the_clinic(walks)
    assert len(compared["sides"]) >= 7
    assert compared["knee_correlation"]["pooled"] >= 0.99
    assert compared["knee_rmse_deg"]["pooled"] <= 5
    assert all(distance < 30 for distance in compared["centres_mm"].values())


def test_a_child_that_was_measured_years_apart_has_a_shape_for_each_visit(walks):
    """CP02 before and after treatment; the static trial belongs to the first visit."""
    person = next(walk.person for walk in walks if "CP02" in walk.name)
    names = [{person.gaits[r].recording.path.stem for r in visit} for visit in person.visits]
    assert {"walk08_post"} in names
    assert {"static", "walk08_pre", "walk10_pre"} in names


@pytest.fixture(scope="module")
def formats(captures, body):
    """A fit of each file of other laboratories, or the line that refuses it."""
    layout = plug_in_gait_layout(body)
    fits = {}
    for path in sorted((captures / "formats").iterdir()):
        try:
            (fits[path.name],) = fit_person([read_recording(path)], body, layout).gaits
        except GaitError as error:
            fits[path.name] = str(error)
    return fits


def test_every_format_is_fitted_or_refused_by_name(formats):
    """Stairs, treadmills, legs alone, half of the samples missing; two files hold no marker of a person's body."""
    refused = {name for name, fit in formats.items() if isinstance(fit, str)}
    assert refused == {"dec_int.c3d", "pc_real.c3d"}
    for name, fit in formats.items():
        if name in refused:
            assert name in fit
            continue
        assert np.isfinite(fit.joints_m).all(), name
        assert np.nanmean(fit.residual_m) < 0.008, name


@pytest.mark.parametrize("length", [64, 128])
def test_all_walks_end_up_in_the_common_frame(walks, formats, length):
    """Upright, facing +x, left on −z, in every window: also a turn, stairs, a treadmill, and static trials."""
    fits = [(walk.name, walk.gait) for walk in walks]
    fits += [(name, fit) for name, fit in formats.items() if not isinstance(fit, str)]
    for name, fit in fits:
        joints = resampled(fit.joints_m[:, :22].astype(np.float32), fit.recording.rate_hz, 100.0)
        if len(joints) < length:
            continue
        for window in aligned(torch.from_numpy(np.stack(sliding(joints, length, step=8)))).numpy():
            head, pelvis = window[:, Joint.HEAD], window[:, Joint.PELVIS]
            left, right = window[:, [Joint.LEFT_ANKLE, Joint.LEFT_HIP]], window[:, [Joint.RIGHT_ANKLE, Joint.RIGHT_HIP]]
            assert (head[:, 1] > np.maximum(left[:, 0, 1], right[:, 0, 1]) + 0.5).all(), name
            np.testing.assert_allclose(pelvis[0], 0, atol=1e-6, err_msg=name)
            way = pelvis[-1, [0, 2]]
            walks_on = np.hypot(*way) > 0.3
            assert not walks_on or (way[0] > 0 and abs(way[1]) < 1e-4), name
            facing = np.cross([0, 1, 0], (right - left)[:, 1].mean(axis=0))
            assert np.degrees(np.abs(np.arctan2(facing[2], facing[0]))) < 25, name
            toes = window[:, [Joint.LEFT_FOOT, Joint.RIGHT_FOOT]] - window[:, [Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE]]
            sides = np.cross(toes.mean(axis=1), [0, 1, 0]) * (right - left)[:, 1]
            assert (sides.sum(axis=1) > 0).all(), f"{name}: a mirror image"
            # In half a stride of a turn the legs cross; the left one is still the left one.
            if "turn" not in name:
                assert left[:, 0, 2].mean() < right[:, 0, 2].mean(), name


def sliding(joints, length, step):
    return [joints[first : first + length] for first in range(0, len(joints) - length + 1, step)]
