"""A tiny cohort on disk and its fit, made once for the tests of this folder."""

import json
import shutil

import pytest

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.cohort.cohort_file import read_cohort
from gait.cohort.fit_settings import FitSettings
from gait.synthetic import MeasurementErrors, make_subject, make_trial
from tests.helpers.fit_cohort import fit_cohort
from tests.helpers.fitting_cases import OPEN_BODY, model_folder, write_c3d

ERRORS = MeasurementErrors(placement_m=0.005, technical_along_m=0.02, noise_m=0.001, gap_fraction=0.01)
TRIALS = {"anna": 2, "bert": 1, "cleo": 1}


@pytest.fixture(scope="session")
def laboratory(tmp_path_factory):
    """Folder with models, short recordings of three subjects, and their cohort file."""
    folder = tmp_path_factory.mktemp("laboratory")
    model_folder(folder / "data")
    body = load_body(OPEN_BODY)
    layout = plug_in_gait_layout(body)
    entries = {}
    for seed, (name, num_trials) in enumerate(TRIALS.items(), start=21):
        subject = make_subject(body, seed)
        paths = [folder / name / f"walk{k}.c3d" for k in range(1, num_trials + 1)]
        for k, path in enumerate(paths, start=1):
            write_c3d(path, body, layout, make_trial(body, subject, seconds=0.6, seed=k), ERRORS)
        entries[name] = {"trials": [str(path) for path in paths], "healthy": True}
    (folder / "cohort.json").write_text(json.dumps(entries), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def subjects(laboratory):
    """The subjects anna, with two trials, bert and cleo."""
    return read_cohort(laboratory / "cohort.json")


@pytest.fixture(scope="session")
def fitted_cohort(laboratory, subjects):
    """Save folder with the fits of all subjects, made in this process; not to be changed."""
    settings = FitSettings(laboratory / "data", laboratory / "fitted", figures=False)
    assert [outcome.state for outcome in fit_cohort(subjects, settings)] == ["fitted"] * 4
    return settings.save_folder


@pytest.fixture
def settings(laboratory, tmp_path):
    """Settings of a fit into an empty folder."""
    return FitSettings(laboratory / "data", tmp_path / "out", figures=False)


@pytest.fixture
def finished(settings, fitted_cohort):
    """The same settings, with the fits of all subjects in the save folder."""
    shutil.copytree(fitted_cohort, settings.save_folder)
    return settings
