"""Evidence of one synthetic walk by a network with random weights, against controls whose curves are set."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from gait.body.skeleton import BODY_JOINTS, Joint
from gait.explaining.evidence.compute_evidence import compute_evidence
from gait.explaining.evidence.controls import CohortPerson, cohort_of, phase_windows, save_folder_of
from gait.explaining.evidence.evidence_files import COLUMNS, write_evidence
from gait.explaining.evidence.explained_walk import explain_walk
from gait.explaining.evidence.export_evidence import export_evidence
from gait.explaining.evidence.find_findings import find_findings
from gait.explaining.evidence.finding import Verdict
from gait.explaining.evidence.measured_walk import measure_walk
from gait.explaining.evidence.motions import input_curve
from gait.explaining.export_trial import export_trial
from gait.explaining.options import ExplainOptions
from gait.explaining.prepare_trial import prepare_trial
from gait.kinematics.speed_norm import ControlCurves
from gait.motion.window_input import InputReference
from gait.report.evidence.sentences import decision
from gait.report.evidence.terminal_summary import evidence_sentences
from tests.helpers.explanation_cases import write_walk_and_network

LENGTH = 64
OPTIONS = ExplainOptions()


@pytest.fixture(scope="module")
def case(open_body, tmp_path_factory):
    """Return the folder of a walk, a network of rotations, and the walk as the network sees it."""
    folder, truth, trained = write_walk_and_network(tmp_path_factory.mktemp("evidence"), open_body, LENGTH)
    trial = prepare_trial(folder, truth, trained)
    return folder, trained, measure_walk(trained, trial, truth)


@pytest.fixture(scope="module")
def alike(case):
    """Return the evidence against controls who walk alike."""
    folder, trained, _ = case
    return compute_evidence(explain_walk(trained, folder, cohort(case), OPTIONS), OPTIONS)


def cohort(case, shift_deg=0.0, names=("knee_flexion",)):
    """Return controls who walk as the subject but for offsets of 3 degrees, and a shift of some curves."""
    _, trained, walk = case
    random = np.random.default_rng(0)
    windows, speed = phase_windows(trained, trained.windows_of(walk.trial)), walk.dimensionless_speed
    persons = []
    for k in range(14):
        offsets = {name: random.normal(0, 3) for name in sorted({key[0] for key in walk.mean_curves()})}
        curves = {
            key: curve + offsets[key[0]] + (shift_deg if key[0] in names else 0)
            for key, curve in walk.mean_curves().items()
        }
        own = speed + 0.002 * (k - 7)
        control = ControlCurves(f"C{k}", own, curves)
        speeds = np.full(len(windows), own)
        persons.append(CohortPerson(f"healthy/C{k}", False, own, random.normal(), (control,), windows, speeds))
    return cohort_of(trained, persons, "controls")


def test_no_finding_deviates_from_controls_who_walk_alike(alike):
    evidence = alike
    assert evidence.findings
    assert {finding.verdict for finding in evidence.findings} == {Verdict.NO_DEVIATION}
    assert sum(finding.share for finding in evidence.findings) < 1 + 1e-6
    shares = [finding.share for finding in evidence.findings]
    assert shares == sorted(shares, reverse=True)
    assert math.isfinite(evidence.speed_logit)
    assert evidence.norm == "controls"
    assert {concept.name for concept in evidence.concepts} >= {"knee_swing_left", "asymmetry", "speed"}
    assert math.isfinite(evidence.faithfulness.whole_fall)


def test_a_shift_of_the_controls_is_found_on_its_joint_alone(case):
    folder, trained, walk = case
    explained = explain_walk(trained, folder, cohort(case, 60.0), OPTIONS)
    deviating = [each for each in find_findings(explained) if each.verdict in (Verdict.REAL_DEVIATION, Verdict.IGNORED)]
    assert deviating
    for finding in deviating:
        assert finding.joint in (Joint.LEFT_KNEE, Joint.RIGHT_KNEE)
        assert (finding.axis, finding.angle) == (0, "knee_flexion")
        assert finding.value_deg - finding.norm_deg == pytest.approx(-60, abs=3)
        assert finding.outside_fraction == 1
        curve = walk.mean_curves()["knee_flexion", finding.side]
        assert finding.value_deg == pytest.approx(curve[finding.percent])
        assert finding.percents[0] <= finding.percent <= finding.percents[1]
        assert 0 <= finding.frame < len(walk.analysis.activity)


def test_decision_relies_on_the_first_findings_until_it_is_another(alike):
    relied_on = [finding.relied_on for finding in alike.findings]
    assert relied_on == sorted(relied_on, reverse=True)
    assert relied_on[0]
    without = [finding.probability_without for finding in alike.findings if finding.relied_on]
    sick = alike.probability >= 0.5
    assert all((each >= 0.5) == sick for each in without[:-1])
    assert all(relied_on) or (without[-1] >= 0.5) != sick
    assert all(math.isnan(each.probability_without) for each in alike.findings if not each.relied_on)


def test_only_what_is_relied_on_has_the_narrower_bands(case):
    folder, trained, _ = case
    explained = explain_walk(trained, folder, cohort(case), OPTIONS)
    for finding in find_findings(explained):
        wide = explained.controls.critical_value()
        assert finding.band_sds < wide if finding.relied_on else finding.band_sds == wide
        names = [phase.name for phase in explained.phases[finding.side]]
        assert set(finding.phases) <= set(names)
        assert finding.phase in finding.phases


def test_attribution_of_findings_has_the_sign_of_the_decision(alike):
    sign = 1 if alike.probability >= 0.5 else -1
    assert all(finding.attribution * sign > 0 for finding in alike.findings)


def test_files_have_every_finding_and_no_unknown_number_as_zero(alike, tmp_path):
    evidence = replace(alike, speed_logit=math.nan)
    table, plain = write_evidence(tmp_path, evidence)
    lines = table.read_text(encoding="utf-8").splitlines()
    assert lines[0].split(",") == list(COLUMNS)
    assert len(lines) == 1 + len(evidence.findings)
    content = json.loads(plain.read_text(encoding="utf-8"))
    assert content["speed_logit"] is None
    assert content["findings"][0]["verdict"] == "looks where nothing deviates"
    assert content["findings"][0]["joint"] == evidence.findings[0].joint.name.lower()


def test_export_with_few_controls_takes_the_published_norm(case, tmp_path):
    folder, trained, _ = case
    assert save_folder_of(folder) == folder.parents[2]
    exported = export_evidence(export_trial(trained, folder, tmp_path, OPTIONS), OPTIONS)
    (evidence,) = exported.evidence
    assert (tmp_path / "evidence.csv").is_file()
    assert any("another laboratory" in note for note in evidence.notes)
    assert evidence_sentences(evidence)[0].startswith(f"The decision {decision(evidence)} relies on ")
    assert evidence.norm.startswith("Schwartz 2008")
    assert math.isnan(evidence.faithfulness.share)  # there is no control but the subject
    verdicts = {finding.verdict for finding in evidence.findings if finding.angle is None}
    assert verdicts <= {Verdict.NO_NORM}


def test_input_curves_are_the_networks_input(case):
    _, trained, walk = case
    windows = trained.windows_of(walk.trial)
    index = int(torch.nonzero(~windows.is_mirrored)[0])
    values = np.degrees(windows.values(torch.tensor([index]))[0, 0].numpy())  # at its first sample
    frame = int(windows.first_frame[index])
    for joint, axis in ((Joint.LEFT_KNEE, 0), (Joint.SPINE3, 2), (Joint.LEFT_ELBOW, 1)):
        curve = walk.analysis.angles_deg[input_curve(joint, axis), "left"]
        assert curve[frame] == pytest.approx(values[joint, axis], abs=2.5)  # within one sample of time
    assert isinstance(trained.reference, InputReference)
    assert len(BODY_JOINTS) == 22
