"""Test that only displaced markers are accused, and the right one of two that disagree."""

from dataclasses import replace

import numpy as np
import pytest

from gait.capture.read_recording import read_recording
from gait.fitting.fit_recordings import fit_recordings
from gait.fitting.marker_quality.judge_displacements import find_culprit
from gait.fitting.marker_quality.leave_out_prediction import FittedBody
from gait.fitting.marker_quality.marker_error import MarkerError
from gait.fitting.subject_fit import FitOptions

pytestmark = pytest.mark.usefixtures("one_thread")


class Witnesses:
    """Partners of each marker whose distance changed, and those whose did not."""

    def __init__(self, **partners):
        self.by_marker = {name: tuple(map(frozenset, found)) for name, found in partners.items()}

    def partners(self, marker, rows, suspected):
        return self.by_marker[marker]


@pytest.mark.parametrize(
    ("heel", "ankle", "found"),
    [
        (("", ""), ("", ""), ("heel", None)),  # nothing is known of its distances: only the prediction counts
        (("", "toe ankle"), ("", ""), (None, None)),  # its distances do not change
        (("ankle toe", ""), ("", ""), ("heel", None)),
        (("ankle", "toe"), ("heel knee", ""), ("ankle", None)),  # the ankle disagrees with the knee
        (("ankle", "toe"), ("heel", ""), ("ankle", None)),  # the heel agrees with the toe
        (("ankle", ""), ("heel", "knee"), ("heel", None)),  # the ankle agrees with the knee
        (("ankle", ""), ("heel", ""), ("heel", "ankle")),  # no third marker
        (("ankle", "toe"), ("heel", "knee"), ("heel", "ankle")),  # third markers contradict each other
    ],
)
def test_find_culprit_is_decided_by_a_third_marker(heel, ankle, found):
    distances = Witnesses(heel=map(str.split, heel), ankle=map(str.split, ankle))
    assert find_culprit("heel", None, distances, None) == found


def test_prediction_sigma_is_large_only_where_few_markers_remain(recording, open_body, layout):
    trial = fit_recordings([recording], open_body, layout).trials[0]
    body = FittedBody.from_fit(trial, FitOptions())
    used = np.isfinite(trial.observed_m).all(axis=-1)
    ankle, leg = trial.labels.index("LANK"), [trial.labels.index("L" + x) for x in ("KNE", "TIB", "ANK", "HEE", "TOE")]
    used[:80, ankle] = False
    used[80:, leg] = False
    sigma = body.prediction_sigma(trial.observed_m, used, recording.rate_hz)
    assert sigma[:70, ankle].max() < 0.015
    assert sigma[90:, ankle].min() > 0.1
    deviation = np.linalg.norm(
        body.predict(trial.observed_m, used, np.arange(70)).deviation(trial.observed_m[:70]), axis=-1
    )
    assert np.sqrt((deviation[:, ankle] ** 2).mean()) < 2 * sigma[:70, ankle].mean()


def test_fit_recordings_accuses_no_marker_where_few_are_visible(recording, open_body, layout):
    """Six trunk markers, then more and more: what they leave open is no error of the others."""
    rng = np.random.default_rng(0)
    visible = recording.visible.copy()
    trunk = [recording.labels.index(x) for x in ("C7", "CLAV", "LASI", "RASI", "LPSI", "RPSI")]
    for m in range(len(recording.labels)):
        if m not in trunk:
            visible[: rng.integers(10, 50), m] = visible[len(visible) - rng.integers(10, 50) :, m] = False
    positions = np.where(visible[..., None], recording.positions_m, np.nan)
    cut = replace(recording, positions_m=positions, visible=visible)
    assert fit_recordings([cut], open_body, layout).trials[0].marker_errors == ()


def test_marker_error_of_one_of_two_is_reported():
    error = MarkerError("one_of_two", "LHEE", "LTOE", 1, 9, 41.0, "reported")
    assert error.message == (
        "displacement of one of LHEE and LTOE, frames 1 to 9, mean error 41 mm: reported (no other marker shows which)"
    )
    assert MarkerError.from_dict(error.as_dict()) == error


@pytest.mark.captures
@pytest.mark.parametrize("name", ["there_and_back_noT10", "stand_walk_stand"])
def test_fit_recordings_accuses_no_marker_of_unusual_movement(captures, open_body, layout, name):
    recording = read_recording(captures.parent / "inputs" / f"{name}.c3d")
    assert fit_recordings([recording], open_body, layout).trials[0].marker_errors == ()
