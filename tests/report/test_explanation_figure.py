"""Attribution figures: colours in the right cells, grey for unexplained frames, any trial and any name."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from numpy.typing import NDArray
from PIL import Image

from gait.body.skeleton import HEAD_TO_FEET, NUM_BODY_JOINTS, Joint
from gait.explaining.attribution import TrialAttribution
from gait.explaining.explain_cohort import CohortAttribution
from gait.explaining.group_attribution import SubjectAttribution, compare_groups
from gait.kinematics.gait_events import nearest_frames
from gait.kinematics.walking import Activity
from gait.report import cohort_figure
from gait.report.cohort_figure import draw_cohort_figure, write_cohort_figure
from gait.report.explanation_figure import (
    AttributionFigureData,
    PhaseRenders,
    body_row_size,
    draw_explanation_figure,
    draw_methods_figure,
    prediction_text,
)
from gait.report.heatmaps import FOR_HEALTHY, FOR_SICK
from gait.viewing.body_row import ColouredBody, draw_bodies
from gait.viewing.colours import UNEXPLAINED, UNOBSERVED, DivergingScale, SequentialScale, attribution_scale
from gait.viewing.downsample import downsample_mean
from gait.viewing.offscreen_renderer import OffscreenRenderer, shared_renderer
from tests.helpers.explanation_cases import WINDOW, random_attribution
from tests.helpers.motion_cases import rot_y, status_without, stick_figure

FRAMES = 400
NO_BODIES = "No body is here."


@cache
def walking_joints() -> NDArray[np.float64]:
    return stick_figure(FRAMES)


def pixels(page: bytes) -> NDArray[np.int64]:
    return np.asarray(Image.open(io.BytesIO(page)).convert("RGB")).astype(np.int64)


def drawn(attribution: TrialAttribution, joints: NDArray[np.floating] | None = None) -> NDArray[np.int64]:
    data = AttributionFigureData(attribution, walking_joints() if joints is None else joints, "Relevance (LRP)")
    return pixels(draw_explanation_figure(data, "sick/P02/walk1", ["one line", "another"], None, NO_BODIES))


def rows_of(image: NDArray[np.int64], colour: object, min_pixels: int) -> NDArray[np.int64]:
    """Return the rows with at least ``min_pixels`` pixels of a colour."""
    return np.flatnonzero((image == np.asarray(colour)).all(axis=-1).sum(axis=1) >= min_pixels)


def one_joint(joint: Joint, size: float) -> TrialAttribution:
    values = np.zeros((FRAMES, NUM_BODY_JOINTS), np.float32)
    values[:, joint] = size
    return random_attribution(FRAMES, values=values, probability=np.full(FRAMES, 0.9, np.float32))


def test_heatmap_row_of_a_joint_has_the_colour_of_its_sign() -> None:
    ends = DivergingScale(1.0).colours([-1.0, 1.0])
    head, foot = (drawn(one_joint(joint, 0.01)) for joint in (Joint.HEAD, Joint.RIGHT_FOOT))
    top = slice(0, 670)  # the map over time; below it are those of the cycles
    of_head, of_foot = rows_of(head[top], ends[1], 1000), rows_of(foot[top], ends[1], 1000)
    assert 10 <= len(of_head) <= 18
    assert 10 <= len(of_foot) <= 18
    row = (of_foot.mean() - of_head.mean()) / (len(HEAD_TO_FEET) - 1)
    assert row == pytest.approx(len(of_head), abs=1.5), "the first and the last of 22 rows of equal height"
    healthy = drawn(one_joint(Joint.HEAD, -0.01))
    np.testing.assert_array_equal(rows_of(healthy[top], ends[0], 1000), of_head)


def test_cycle_heatmaps_are_of_each_side() -> None:
    values = np.zeros((FRAMES, NUM_BODY_JOINTS), np.float32)
    data = AttributionFigureData(random_attribution(FRAMES, values=values), walking_joints(), "LRP")
    strikes = nearest_frames(data.events.initial_contacts["left"])
    for strike in strikes:  # the first fifth of each left stride
        values[strike : strike + 20, Joint.HEAD] = 0.01
    image = drawn(random_attribution(FRAMES, values=values))[700:]
    strong = (np.abs(image - DivergingScale(1.0).colours(1.0)).max(axis=-1) < 40).sum(axis=0)
    left, right = np.flatnonzero(strong[184:500] > 8), np.flatnonzero(strong[535:860] > 8)
    assert left.min() < 6, "at the very beginning of the left cycle"
    assert 40 < left.max() < 90
    assert 90 < right.mean() < 230, "half a cycle later in the right one"


def test_heatmap_of_unexplained_frames_is_grey() -> None:
    attribution = random_attribution(FRAMES)
    attribution.values[: FRAMES // 4] = np.nan
    attribution.probability[: FRAMES // 4] = np.nan
    image = drawn(attribution)
    grey = (image[300:670] == np.asarray(UNEXPLAINED)).all(axis=-1)
    columns = np.flatnonzero(grey.sum(axis=0) > 200)
    assert columns.min() == pytest.approx(0.108 * 1700, abs=4)
    assert len(columns) == pytest.approx(0.754 * 1700 / 4, rel=0.02)


def column_of(frame: int) -> int:
    """Return the pixel column at which a frame begins on the time axis."""
    return round((0.108 + 0.754 * frame / FRAMES) * 1700)


def test_heatmap_fades_frames_that_few_windows_cover() -> None:
    attribution = random_attribution(FRAMES, first_frames=np.arange(FRAMES - WINDOW + 1))
    attribution.values[:] = 1e-3
    image, colour = drawn(attribution), DivergingScale(1.0).colours(1.0).astype(float)
    end = WINDOW // 2 - 1  # covered by fewer than half of the windows
    row = image[320]  # of a joint; dashed lines mark phases
    assert np.abs(np.median(row[column_of(end) + 3 : column_of(FRAMES - end) - 3], axis=0) - colour).max() <= 2
    for part in (row[column_of(0) + 3 : column_of(end) - 3], row[column_of(FRAMES - end) + 3 : column_of(FRAMES) - 3]):
        assert np.abs(part - (255 - 0.4 * (255 - colour))).max() <= 2


def test_figure_shades_the_times_of_standing() -> None:
    activity = np.full(FRAMES, Activity.WALKING, np.uint8)
    activity[: FRAMES // 2] = Activity.STANDING
    attribution = random_attribution(FRAMES)
    changed = (drawn(attribution) != drawn(replace(attribution, activity=activity))).any(axis=-1)
    rows, columns = np.nonzero(changed)
    assert rows.max() < 330, "above the heatmap"
    assert columns.min() == pytest.approx(column_of(0), abs=4)
    assert columns.max() == pytest.approx(column_of(FRAMES // 2), abs=4)


def without_arms(joints: NDArray[np.floating] | None = None) -> TrialAttribution:
    """Return a large attribution of a trial that does not observe the left arm and, in the middle, the head."""
    status = status_without(FRAMES, [Joint.LEFT_ELBOW, Joint.LEFT_WRIST])
    status[150:250, Joint.HEAD] = 0
    attribution = random_attribution(FRAMES, joint_status=status, left_out_joints=(Joint.RIGHT_WRIST,))
    attribution.values[:, Joint.LEFT_ELBOW] = 1.0
    attribution.values[~attribution.explainable] = np.nan
    return attribution


def test_heatmap_hatches_joints_that_are_not_observed_or_used() -> None:
    image = drawn(without_arms())
    plain = drawn(replace(without_arms(), joint_status=None, left_out_joints=()))
    changed = (image != plain).any(axis=-1)
    height = 0.268 * image.shape[0] / NUM_BODY_JOINTS
    top, left, right = (1 - 0.742) * image.shape[0], 0.108 * image.shape[1], 0.862 * image.shape[1]
    for row, joint in enumerate(HEAD_TO_FEET):
        band = slice(int(top + (row + 0.25) * height), int(top + (row + 0.75) * height))
        share = changed[band, int(left) + 2 : int(right) - 2].mean()
        hatched = joint in (Joint.LEFT_ELBOW, Joint.LEFT_WRIST, Joint.RIGHT_WRIST)
        expected = 1.0 if hatched else 0.25 if joint == Joint.HEAD else 0.0
        assert share == pytest.approx(expected, abs=0.1 if expected else 0.03), joint.name
        colours = image[band, int(left) + 2 : int(right) - 2].reshape(-1, 3)
        assert ((colours == UNOBSERVED).all(axis=1).mean() > 0.1) == (expected > 0), joint.name


def test_draw_explanation_figure_of_an_unobserved_foot(recwarn: pytest.WarningsRecorder) -> None:
    status = status_without(FRAMES, [Joint.LEFT_ANKLE, Joint.LEFT_FOOT])
    attribution = random_attribution(FRAMES, joint_status=status)
    attribution.values[~attribution.explainable] = np.nan
    data = AttributionFigureData(attribution, walking_joints(), "Relevance (LRP)")
    assert not len(data.events.initial_contacts["left"])
    assert len(data.events.initial_contacts["right"])
    assert (data.cycles["left"].num_cycles, data.cycles["right"].num_cycles > 0) == (0, True)
    assert np.isnan(data.cycles["right"].values[:, Joint.LEFT_ANKLE]).all()
    assert np.isfinite(data.cycles["right"].values[:, Joint.LEFT_KNEE]).all()
    assert not any(phase.name.startswith("left") for phase in data.phases)
    assert drawn(attribution).shape == (1240, 1700, 3)
    assert not recwarn.list


def test_phase_markers_do_not_overlap_the_title() -> None:
    joints = stick_figure(160)
    image = drawn(random_attribution(160), joints)[134:172, 190:620]  # above the curve, beside its axis
    inked = (image.sum(axis=-1) < 3 * 128).any(axis=1)
    stretches = np.flatnonzero(np.diff(np.concatenate([[False], inked, [False]]).astype(int)) == 1)
    assert len(stretches) >= 2, "the words, a blank row, the marks"
    assert not inked[stretches[1] - 1]


def test_unsigned_attribution_uses_the_sequential_scale() -> None:
    attribution = random_attribution(FRAMES, signed=False)
    image = drawn(attribution)
    lowest, highest = SequentialScale(0.0, 1.0).colours([0.0, 1.0])
    for end in (lowest, highest):
        assert (np.abs(image - end).max(axis=-1) < 8).sum() > 300
    for words in (FOR_HEALTHY, FOR_SICK):
        colour = np.array(list(bytes.fromhex(words[1:])))
        assert (image[300:670] == colour).all(axis=-1).sum() == 0


@pytest.mark.parametrize(
    ("attribution", "joints"),
    [
        (random_attribution(40), stick_figure(40)),
        (random_attribution(5000), stick_figure(5000)),
        (random_attribution(200, unattributed=float("nan")), np.repeat(stick_figure(1), 200, axis=0)),
        (random_attribution(200, values=np.full((200, 22), np.nan, np.float32)), stick_figure(200)),
        (random_attribution(200, values=np.zeros((200, 22), np.float32)), stick_figure(200)),
    ],
    ids=["short", "long", "standing", "unexplained", "all zero"],
)
def test_draw_explanation_figure_of_any_trial_gives_no_warning(
    attribution: TrialAttribution, joints: NDArray[np.floating], recwarn: pytest.WarningsRecorder
) -> None:
    assert drawn(attribution, joints).shape == (1240, 1700, 3)
    assert not recwarn.list


def test_draw_explanation_figure_with_any_characters_gives_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    data = AttributionFigureData(random_attribution(FRAMES), walking_joints(), "LRP")
    assert draw_explanation_figure(data, "sick/$x^2$ 歩行 🚶/walk", ["$\\frac{1}{2}$"], None, "歩行")
    assert not recwarn.list


def test_draw_explanation_figure_places_the_bodies() -> None:
    width, height = body_row_size()
    magenta = np.full((height, width, 3), (255, 0, 255), np.uint8)
    data = AttributionFigureData(random_attribution(FRAMES), walking_joints(), "LRP")
    columns = tuple(int(width * fraction) for fraction in (0.1, 0.4, 0.6, 0.9))
    page = pixels(draw_explanation_figure(data, "x", [], PhaseRenders(magenta, columns), ""))
    there = (page == (255, 0, 255)).all(axis=-1)
    assert there.sum() > 0.9 * width * height
    rows, places = np.nonzero(there)
    assert places.max() - places.min() == pytest.approx(width, abs=3)
    assert rows.max() - rows.min() == pytest.approx(height, abs=3)


def test_draw_methods_figure_has_one_row_per_method() -> None:
    recordings = [
        AttributionFigureData(random_attribution(FRAMES, signed=signed, seed=seed), walking_joints(), title)
        for seed, (title, signed) in enumerate((("Relevance (LRP)", True), ("Attention", False), ("Occlusion", True)))
    ]
    two = pixels(draw_methods_figure(recordings[:2], "x", ["line"]))
    three = pixels(draw_methods_figure(recordings, "x", ["line"]))
    assert three.shape[1] == two.shape[1] == 1700
    assert three.shape[0] - two.shape[0] == 370
    blue, yellow = DivergingScale(1.0).colours(-1.0), SequentialScale(0, 1).colours(1.0)
    rows = [np.flatnonzero((np.abs(three - end).max(axis=-1) < 8).sum(axis=1) > 3) for end in (blue, yellow)]
    assert rows[0].min() < rows[1].min() < rows[1].max() < rows[0].max(), "signed, unsigned, signed"


@pytest.mark.parametrize(
    ("probability", "words"), [(0.5, "predicted sick"), (0.49, "predicted healthy"), (1.0, "P(sick) > 0.99")]
)
def test_prediction_text_uses_the_threshold_of_the_metrics(probability: float, words: str) -> None:
    assert words in prediction_text(probability)


def test_attribution_scale_covers_nearly_all_values() -> None:
    random = np.random.default_rng(0)
    values = [random.normal(size=(100, 22)), 3 * random.normal(size=(50, 22))]
    values[0][:10] = np.nan
    scale = attribution_scale(values, signed=True)
    known = np.abs(np.concatenate([one.ravel() for one in values]))
    known = np.sort(known[~np.isnan(known)])
    assert scale.high == pytest.approx(known[int(0.995 * len(known))], rel=0.01)
    assert scale.low == -scale.high
    unsigned = attribution_scale([np.abs(one) for one in values], signed=False)
    assert (unsigned.low, unsigned.high) == (0.0, scale.high)
    assert tuple(unsigned.colours(np.nan)) == UNEXPLAINED
    for nothing in ([], [np.full((2, 22), np.nan)], [np.zeros((2, 22))]):
        assert attribution_scale(nothing, signed=True).high == 1.0


def test_scale_ignores_frames_covered_by_few_windows() -> None:
    attribution = random_attribution(FRAMES)
    loud = attribution.values.copy()
    loud[~attribution.well_covered] *= 1000
    scales = [
        AttributionFigureData(replace(attribution, values=values), walking_joints(), "LRP").scale.high
        for values in (attribution.values, loud)
    ]
    assert 0 < (~attribution.well_covered).sum() < FRAMES / 2
    assert scales[0] == scales[1]


def test_downsample_mean_averages_equal_intervals() -> None:
    values = np.arange(24.0).reshape(12, 2)
    values[3:6, 1] = np.nan
    values[7, 0] = np.nan
    found = downsample_mean(values, 4)
    slow = [[np.nanmean(values[k : k + 3, j]) if k != 3 or j == 0 else np.nan for j in (0, 1)] for k in range(0, 12, 3)]
    np.testing.assert_allclose(found, slow)
    np.testing.assert_array_equal(downsample_mean(values, 100), values)


@pytest.fixture(scope="module")
def renderer() -> OffscreenRenderer:
    return shared_renderer()


def pillar() -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """A closed box 0.3 m wide, 1.8 m high and 0.2 m deep, cut at half its height; its front is at +z."""
    levels = [0.0, 0.9, 1.8]
    corners = [(-0.15, -0.1), (0.15, -0.1), (0.15, 0.1), (-0.15, 0.1)]
    vertices = np.array([(x, y, z) for y in levels for x, z in corners], np.float32)
    faces = [(0, 1, 2), (0, 2, 3), (10, 9, 8), (11, 10, 8)]
    for level in (0, 4):
        for k in range(4):
            a, b = level + k, level + (k + 1) % 4
            faces += [(a, a + 4, b), (b, a + 4, b + 4)]
    return vertices, np.array(faces, np.int32)


def standing(turn: float, values: NDArray[np.float32] | None = None) -> ColouredBody:
    vertices, _ = pillar()
    if values is None:
        values = np.repeat([-1.0, 0.0, 1.0], 4).astype(np.float32)
    return ColouredBody((vertices @ rot_y(turn).T).astype(np.float32), values, rot_y(turn) @ [0.0, 0.0, 1.0])


def test_draw_bodies_colours_vertices_for_any_heading(renderer: OffscreenRenderer) -> None:
    _, faces = pillar()
    scale = DivergingScale(1.0)
    image, columns = draw_bodies([standing(0.0), standing(2.1)], faces, scale, 600, 400, renderer)
    assert len(columns) == 2
    for column in columns:
        strip = image[:, column].astype(int)
        body = np.flatnonzero((np.abs(strip - 255) > 12).any(axis=1))
        top, bottom = strip[body.min() + 12], strip[body.max() - 25]
        assert top[0] - top[2] > 60, "orange: for sick"
        assert bottom[2] - bottom[0] > 60, "blue: for healthy"
    halves = image[:, :300].astype(int), image[:, 300:].astype(int)
    assert np.abs(halves[0] - halves[1]).max(axis=-1).mean() < 3, "both face the same direction on the page"


def test_draw_bodies_of_unexplained_vertices_is_grey(renderer: OffscreenRenderer) -> None:
    vertices, faces = pillar()
    unknown = standing(0.0, np.full(len(vertices), np.nan, np.float32))
    image, (column,) = draw_bodies([unknown], faces, DivergingScale(1.0), 300, 400, renderer)
    middle = image[200, column].astype(int)
    assert np.ptp(middle) < 14
    assert np.abs(middle - np.asarray(UNEXPLAINED)).max() < 40


def test_draw_bodies_hatches_unobserved_vertices(renderer: OffscreenRenderer) -> None:
    _, faces = pillar()
    scale, observed = DivergingScale(1.0), np.repeat([0.0, 1.0, 1.0], 4).astype(np.float32)
    bodies = [standing(0.0), replace(standing(0.0), observed=observed)]
    image, (left, right) = draw_bodies(bodies, faces, scale, 600, 400, renderer)
    plain, hatched = (image[:, column - 20 : column + 20].astype(int) for column in (left, right))
    different = (plain != hatched).any(axis=(1, 2))
    rows = np.flatnonzero(different)
    body_rows = np.flatnonzero((plain < 200).any(axis=(1, 2)))
    assert rows.min() > body_rows.min() + 0.55 * (body_rows.max() - body_rows.min()), "the lower quarter"
    lower = hatched[rows[5:-5]]
    assert np.ptp(lower, axis=-1).max() < 25, "without the scale's colours"
    assert lower.std(axis=1).mean() > 4, "with lines"


def test_draw_bodies_shows_the_requested_side(renderer: OffscreenRenderer) -> None:
    """The left side of a body that faces +z is at +x."""
    vertices, faces = pillar()
    left_side = np.where(vertices[:, 0] > 0, 1.0, -1.0).astype(np.float32)
    fractions = []
    for from_left in (True, False):
        image, _ = draw_bodies(
            [standing(0.0, left_side)], faces, DivergingScale(1.0), 300, 400, renderer, from_left=from_left
        )
        fractions.append(float((image[..., 0].astype(int) - image[..., 2] > 60).mean()))
    assert fractions[0] > 1.5 * fractions[1]


def subjects(count: int = 6, *, wrong: int = 1) -> list[SubjectAttribution]:
    random = np.random.default_rng(0)
    found = []
    for k in range(count):
        sick = k % 2 == 1
        probability = 0.9 if sick != (k < wrong) else 0.2
        name = f"{'sick' if sick else 'healthy'}/$P_{k}$ 歩行者 with a long name 🚶 {k}"
        found.append(SubjectAttribution(name, sick, probability, k % 2, 4, random.normal(size=(101, NUM_BODY_JOINTS))))
    return found


@pytest.mark.parametrize("wrong", [0, 1, 6])
@pytest.mark.parametrize("signed", [True, False])
def test_draw_cohort_figure_of_any_predictions_gives_no_warning(
    wrong: int, signed: bool, recwarn: pytest.WarningsRecorder
) -> None:
    all_subjects = subjects(wrong=wrong)
    if not signed:
        all_subjects = [replace(one, attribution=np.abs(one.attribution)) for one in all_subjects]
    page = pixels(draw_cohort_figure(compare_groups(all_subjects), signed, "All", ["line"]))
    assert page.shape == (1160, 1700, 3)
    assert not recwarn.list


def test_draw_cohort_figure_of_one_label(recwarn: pytest.WarningsRecorder) -> None:
    alone = [replace(subjects()[0], attribution=np.full((101, NUM_BODY_JOINTS), np.nan), num_cycles=0)]
    assert pixels(draw_cohort_figure(compare_groups(alone), True, "One", [])).shape == (1160, 1700, 3)
    assert not recwarn.list


def test_write_cohort_figure_says_which_joints_fewer_subjects_observe(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    some = subjects()
    for subject in some[:2]:
        subject.attribution[:, [Joint.LEFT_ELBOW, Joint.RIGHT_ELBOW]] = np.nan
    for subject in some:
        subject.attribution[:, Joint.LEFT_WRIST] = np.nan
    texts: list[str] = []
    lines: list[str] = []
    add, draw = Axes.text, cohort_figure.draw_cohort_figure

    def add_text(axes: Axes, x: float, y: float, text: str, *more: object, **settings: object) -> object:
        texts.append(text)
        return add(axes, x, y, text, *more, **settings)  # type: ignore[arg-type]

    def draw_figure(*given: Any) -> bytes:
        lines.extend(given[3])
        return draw(*given)

    monkeypatch.setattr(Axes, "text", add_text)
    monkeypatch.setattr(cohort_figure, "draw_cohort_figure", draw_figure)
    cohort = CohortAttribution("mlp", "lrp", True, compare_groups(some), (), (), (Joint.LEFT_WRIST,))
    write_cohort_figure(cohort, tmp_path / "cohort.png")
    assert lines[-1] == (
        "Not used by this network, as some trials do not observe them: left wrist. Means of elbows are over the n "
        "subjects whose trials observe them."
    )
    assert texts.count("n = 2") == 4, "elbows of controls and patients"
