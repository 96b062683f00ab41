"""python benchmarks/joint_status.py --json joint_status.json

What the fit says about its joints, against the truth. Synthetic subjects walk with random parts of the markers; each
trial is fitted alone on the open body, and each joint in each kept frame is compared with the ground truth:

 * ``observed_within_30_mm``: fraction of the joints said to be observed whose error is at most 30 mm;
 * ``held_said_observed``: of the joints that markers truly hold, the fraction said to be observed. Held are joints with
   an error of at most 15 mm and visible markers on both segments that meet at the joint;
 * ``observed``, ``inferred``, ``not_observed``: fractions of all joints and frames.

``by_scenario`` and ``by_joint`` list the same. ``captures`` has reduced sets of the markers of recorded trials,
compared with the fit of all markers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import BodyArguments, run
from numpy.typing import NDArray
from recorded_trials import CAPTURES, captures_available, is_walking_trial, recorded_subjects
from synthetic_subjects import NOT_OF_35, TYPICAL_ERRORS, drop_markers, subject_names

from gait.body.body import Body
from gait.body.joint_status import JointStatus
from gait.body.marker_layout import MarkerLayout
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.segments import MEETING_SEGMENTS, SEGMENTS, segment_weights
from gait.body.skeleton import BODY_JOINTS, NUM_BODY_JOINTS
from gait.capture.read_recording import read_recording
from gait.capture.recording import Recording
from gait.cli.arguments import argument
from gait.errors import GaitError
from gait.fitting.observed_joints import markers_on_segments
from gait.fitting.reduced_body import reduce_body
from gait.fitting.subject_fit import TrialFit, fit_shape_and_poses
from gait.marker_sets.marker_set import MarkerKind
from gait.synthetic import make_subject, make_trial, parse_subject_name, record_markers

SECONDS = 2.0
MAX_ERROR_M = 0.03
"""A joint that is said to be observed has at most this error."""
MAX_HELD_ERROR_M = 0.015
CLUSTER_SIZE = 4

LEGS = ("thigh", "shank", "foot")
ARMS = ("upper arm", "forearm", "hand")


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    seed: int = argument(3, "of the subjects and their markers; the rule was calibrated with other seeds")
    repeats: int = argument(6, "trials per scenario, each of another subject")
    scenarios: tuple[str, ...] | None = argument(None, "by name; all if None")
    threads: int = argument(1, "threads of torch")
    captures: Path = argument(CAPTURES, "folder of real recordings; without them, their metrics are skipped")


QUICK = {"repeats": 1, "scenarios": ("39 markers", "amputee", "clusters")}

Labels = Sequence[str]
Scenario = Callable[["Markers", np.random.Generator, Recording], Recording]


@dataclass(frozen=True)
class Markers:
    """The markers of a layout by segment."""

    layout: MarkerLayout
    segments: dict[str, frozenset[str]]  # segment -> labels

    @classmethod
    def of_layout(cls, body: Body, layout: MarkerLayout) -> Markers:
        """Assign each marker to the segments that move it."""
        lies_on = markers_on_segments(reduce_body(body, layout).skinning_weights.cpu().numpy())
        labels = np.array(layout.labels)
        return cls(layout, {segment: frozenset(labels[lies_on[:, s]]) for s, segment in enumerate(SEGMENTS)})

    def on(self, *segments: str) -> frozenset[str]:
        """Return the markers on some segments; without a side, a name means both sides."""
        names = [name for name in self.segments if name in segments or name.partition(" ")[2] in segments]
        return frozenset().union(*(self.segments[name] for name in names))


@dataclass(frozen=True)
class Comparison:
    """The fit of a trial and the error of each joint, in the kept frames."""

    scenario: str
    trial_fit: TrialFit
    status: NDArray[np.uint8]  # (T', 22)
    error_m: NDArray[np.float64]  # (T', 22)
    held: NDArray[np.bool_]  # (T', 22)
    kept: NDArray[np.int64]  # (T',) frames


# --- scenarios -------------------------------------------------------------------------------------------------------


def _without(*segments: str, but: Labels = ()) -> Scenario:
    return lambda markers, _, recording: drop_markers(recording, markers.on(*segments) - frozenset(but))


def _only(*segments: str) -> Scenario:
    def keep(markers: Markers, _: np.random.Generator, recording: Recording) -> Recording:
        return drop_markers(recording, frozenset(recording.labels) - markers.on(*segments))

    return keep


def _random_segments(markers: Markers, random: np.random.Generator, recording: Recording) -> Recording:
    lost = [segment for segment in markers.segments if random.random() < 0.3]
    return drop_markers(recording, markers.on(*lost)) if lost else recording


def _random_markers(markers: Markers, random: np.random.Generator, recording: Recording) -> Recording:
    count = int(random.integers(8, 26))
    kept = random.permutation(len(recording.labels))[:count]
    return drop_markers(recording, frozenset(recording.labels) - {recording.labels[m] for m in kept})


def _long_gaps(markers: Markers, random: np.random.Generator, recording: Recording) -> Recording:
    """Hide the markers of random segments for 0.1 to 1 s."""
    hidden = np.zeros(recording.visible.shape, dtype=bool)
    for labels in markers.segments.values():
        if random.random() < 0.6:
            start, length = random.integers(0, recording.num_frames), round(random.uniform(0.1, 1) * recording.rate_hz)
            hidden[start : start + length, [m for m, label in enumerate(recording.labels) if label in labels]] = True
    return hide(recording, hidden)


def _edges(markers: Markers, random: np.random.Generator, recording: Recording) -> Recording:
    """Let each marker come and go within 0.6 s of the ends."""
    T, M = recording.visible.shape
    come, go = (random.uniform(0, 0.6 * recording.rate_hz, M) for _ in range(2))
    at = np.arange(T)[:, None]
    return hide(recording, (at < come) | (at >= T - go))


def hide(recording: Recording, hidden: NDArray[np.bool_]) -> Recording:
    """Return the recording with some further samples (T, M) not visible."""
    visible = recording.visible & ~hidden
    return replace(recording, visible=visible, positions_m=np.where(visible[..., None], recording.positions_m, np.nan))


SCENARIOS: dict[str, Scenario] = {
    "39 markers": lambda _, __, recording: recording,
    "35 markers": lambda _, __, recording: drop_markers(recording, NOT_OF_35),
    "lower body": _only("pelvis", *LEGS),
    "legs, thorax": _only("pelvis", "trunk", *LEGS),
    "no arms": _without(*ARMS),
    "no left arm": _without(*(f"left {segment}" for segment in ARMS)),
    "no head": _without("head"),
    "no trunk": _without("trunk"),
    "no pelvis": _without("pelvis"),
    "no thighs": _without("thigh"),
    "no thighs but knee markers": _without("thigh", but=("LKNE", "RKNE")),
    "no shanks": _without("shank"),
    "no shanks but knee and ankle markers": _without("shank", but=("LKNE", "RKNE", "LANK", "RANK")),
    "no shanks and feet": _without("shank", "foot"),
    "no feet": _without("foot"),
    "no right leg": _without(*(f"right {segment}" for segment in LEGS)),
    "amputee": _without("left shank", "left foot", but=("LKNE",)),
    "random segments": _random_segments,
    "random markers": _random_markers,
    "long gaps": _long_gaps,
    "edges": _edges,
}
CLUSTER_SCENARIOS: dict[str, Scenario] = {
    "clusters": lambda _, __, recording: recording,
    "clusters, random segments": _random_segments,
    "clusters, random markers": _random_markers,
}


def clusters(body: Body, layout: MarkerLayout, random: np.random.Generator) -> MarkerLayout:
    """Return a layout of the pelvic markers and of random technical markers on each other segment."""
    weights = segment_weights(body.face_weights.cpu().numpy())
    vertices = body.v_template.cpu().numpy()[body.faces.cpu().numpy()].mean(axis=1)
    labels, faces = [], []
    for s, segment in enumerate(SEGMENTS):
        if segment == "pelvis":
            continue
        on = np.flatnonzero(weights[:, s] > 0.9)
        centre = vertices[random.choice(on)]
        near = on[np.linalg.norm(vertices[on] - centre, axis=1) < 0.08]
        for k, face in enumerate(random.choice(near, CLUSTER_SIZE)):
            labels.append(f"{segment}_{k + 1}")
            faces.append(face)
    pelvis = layout.select(["LASI", "RASI", "LPSI", "RPSI"])
    count = len(labels)
    technical: list[MarkerKind] = ["technical"] * count
    return MarkerLayout(
        labels=(*pelvis.labels, *labels),
        face=np.concatenate([pelvis.face, faces]),
        barycentric=np.concatenate([pelvis.barycentric, np.full((count, 3), 1 / 3)]),
        height_above_skin_m=np.concatenate([pelvis.height_above_skin_m, np.full(count, 0.015)]),
        kinds=(*pelvis.kinds, *technical),
        source="clusters",
    )


# --- comparisons -----------------------------------------------------------------------------------------------------


def compare_synthetic(body: Body, seed: int, repeats: int, scenarios: Collection[str]) -> Iterator[Comparison]:
    """Fit each scenario to some subjects and compare it with the ground truth."""
    layout = plug_in_gait_layout(body)
    names = subject_names(repeats, repeats)
    for number, (scenario, select) in enumerate((SCENARIOS | CLUSTER_SCENARIOS).items()):
        if scenario not in scenarios:
            continue
        print(scenario, file=sys.stderr)
        for repeat in range(repeats):
            random = np.random.default_rng([seed, number, repeat])
            spec = parse_subject_name(names[repeat + repeats * (repeat % 2)])
            subject_seed = int(random.integers(1_000_000))
            trial = make_trial(
                body, make_subject(body, subject_seed), spec.pathology, seconds=SECONDS, seed=int(random.integers(1000))
            )
            used, recorded, errors = layout, layout, TYPICAL_ERRORS
            if scenario in CLUSTER_SCENARIOS:
                used = recorded = clusters(body, layout, random)
                errors = replace(errors, technical_along_m=0.04)
            else:
                recorded = layout.select([label for label in layout.labels if label[1:] not in ("KNM", "MED")])
            tracks = record_markers(
                body, trial.ground_truth, recorded, errors, subject_seed=subject_seed, trial_seed=repeat
            )
            visible = np.asarray(np.isfinite(tracks.positions_m).all(axis=-1))
            recording = Recording(Path("walk.c3d"), tracks.labels, tracks.positions_m, visible, 100.0)
            markers = Markers.of_layout(body, used)
            try:
                fit = fit_shape_and_poses([select(markers, random, recording)], body, used)
            except GaitError as error:
                print(f"{scenario}: {error}", file=sys.stderr)
                continue
            yield compare(scenario, fit.trials[0], trial.ground_truth.joints_m, markers)


def compare_captures(body: Body, captures: Path, seed: int, scenarios: Collection[str]) -> Iterator[Comparison]:
    """Fit reduced sets of the markers of recorded trials and compare them with the fit of all markers."""
    layout = plug_in_gait_layout(body)
    markers = Markers.of_layout(body, layout)
    for number, subject in enumerate(recorded_subjects(captures)):
        path = next(path for path in subject.paths if is_walking_trial(path))
        recording = read_recording(path)
        full = fit_shape_and_poses([recording], body, layout).trials[0]
        print(path.name, file=sys.stderr)
        for scenario in [scenario for scenario in SCENARIOS if scenario in scenarios]:
            select = SCENARIOS[scenario]
            random = np.random.default_rng([seed, number])
            reduced = select(markers, random, drop_markers(recording, frozenset(recording.labels) - set(full.labels)))
            try:
                fit = fit_shape_and_poses([reduced], body, layout)
            except GaitError as error:
                print(f"{path.name}, {scenario}: {error}", file=sys.stderr)
                continue
            yield compare(scenario, fit.trials[0], full.joints_m, markers, full)


def compare(
    scenario: str, fit: TrialFit, joints_m: NDArray[np.floating], markers: Markers, full: TrialFit | None = None
) -> Comparison:
    """Compare a fit with true joints (T, J, 3); of a full fit as truth, only joints that it observes count."""
    kept = np.concatenate([np.arange(segment.start, segment.stop) for segment in fit.valid_frames.segments])
    error = np.linalg.norm(fit.joints_m - joints_m[:, : fit.joints_m.shape[1]], axis=-1)[kept, :NUM_BODY_JOINTS]
    if full is not None:
        unknown = full.joint_status < JointStatus.OBSERVED
        error = np.where(unknown[kept], np.nan, error)
    visible = np.asarray(np.isfinite(fit.observed_m).all(axis=-1))[kept]
    seen = {label: visible[:, m] for m, label in enumerate(fit.labels)}
    none = np.zeros(len(kept), dtype=bool)
    on = np.stack([np.any([none, *(seen[x] for x in markers.on(s) if x in seen)], axis=0) for s in SEGMENTS], axis=1)
    proximal, distal = (on[:, [SEGMENTS.index(pair[side]) for pair in MEETING_SEGMENTS]] for side in range(2))
    held = proximal & distal & (error <= MAX_HELD_ERROR_M)
    return Comparison(scenario, fit, fit.joint_status[kept], error, held, kept)


# --- metrics ---------------------------------------------------------------------------------------------------------


def status_metrics(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Return the metrics of some comparisons, over all and by scenario and joint."""
    scenarios = dict.fromkeys(comparison.scenario for comparison in comparisons)
    return {
        **_metrics(comparisons),
        "by_scenario": {name: _metrics([c for c in comparisons if c.scenario == name]) for name in scenarios},
        "by_joint": {joint.name.lower(): _metrics(comparisons, int(joint)) for joint in BODY_JOINTS},
        "trials": len(comparisons),
    }


def _metrics(comparisons: Sequence[Comparison], joint: int | None = None) -> dict[str, float]:
    columns = slice(None) if joint is None else [joint]
    status, error, held = (
        np.concatenate([getattr(comparison, name)[:, columns].ravel() for comparison in comparisons])
        for name in ("status", "error_m", "held")
    )
    observed, known = status == JointStatus.OBSERVED, np.isfinite(error)
    return {
        "observed_within_30_mm": _fraction(error[observed & known] <= MAX_ERROR_M),
        "held_said_observed": _fraction(observed[held]),
        "observed": _fraction(observed),
        "inferred": _fraction(status == JointStatus.INFERRED),
        "not_observed": _fraction(status == JointStatus.NOT_OBSERVED),
    }


def _fraction(mask: NDArray[np.bool_]) -> float:
    return float(mask.mean()) if mask.size else float("nan")


def main(args: Arguments) -> dict[str, Any]:
    body, known = load_body(args.model), (*SCENARIOS, *CLUSTER_SCENARIOS)
    scenarios = args.scenarios or known
    if unknown := [name for name in scenarios if name not in known]:
        raise GaitError(f"no scenario {', '.join(unknown)}; available: {', '.join(known)}.")
    result = {"synthetic": status_metrics(list(compare_synthetic(body, args.seed, args.repeats, scenarios)))}
    if captures_available(args.captures, "reduced sets of recorded trials are skipped"):
        result["captures"] = status_metrics(list(compare_captures(body, args.captures, args.seed, scenarios)))
    return result


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
