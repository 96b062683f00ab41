"""Real walks: what a fit owes the people who wore the markers, and the clinic's own answer for their knees."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from gait.body.model_file import load_body
from gait.body.placement import plug_in_gait_layout
from gait.capture import read_recording
from gait.errors import GaitError
from gait.fitting.person_fit import fit_person

REPOSITORY = Path(__file__).resolve().parents[1]

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


def test_every_format_is_fitted_or_refused_by_name(captures, body):
    """Stairs, treadmills, legs alone, half of the samples missing; two files hold no marker of a person's body."""
    layout = plug_in_gait_layout(body)
    refused = set()
    for path in sorted((captures / "formats").iterdir()):
        try:
            (gait,) = fit_person([read_recording(path)], body, layout).gaits
        except GaitError as error:
            assert path.name in str(error)  # noqa: PT017
            refused.add(path.name)
            continue
        assert np.isfinite(gait.joints_m).all(), path.name
        assert np.nanmean(gait.residual_m) < 0.008, path.name
    assert refused == {"dec_int.c3d", "pc_real.c3d"}
