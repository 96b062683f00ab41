"""Pictures of explanations: colours where they belong, grey where nothing is explained, any recording and name."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gait.body.skeleton import HEAD_TO_FEET, NUM_BODY_JOINTS, Joint
from gait.explaining.attribution import TrialAttribution
from gait.explaining.group_attribution import SubjectAttribution, cohort_view
from gait.report.cohort_figure import cohort_picture
from gait.report.explanation_figure import (
    AttributionFigureData,
    PhaseRenders,
    bodies_size,
    explanation_picture,
    methods_picture,
    verdict,
)
from gait.report.heatmaps import FOR_HEALTHY, FOR_SICK
from gait.viewing.colours import UNEXPLAINED, DivergingScale, SequentialScale, importance_scale
from gait.viewing.downsample import in_columns
from gait.viewing.offscreen_renderer import OffscreenRenderer, shared_renderer
from gait.viewing.render_bodies import ColouredBody, draw_bodies
from tests.helpers.explanation_cases import importance
from tests.helpers.motion_cases import about_y, stick_walker

FRAMES = 400
NO_BODIES = "No body is here."


@cache
def walker() -> NDArray[np.float64]:
    return stick_walker(FRAMES)


def pixels(page: bytes) -> NDArray[np.int64]:
    return np.asarray(Image.open(io.BytesIO(page)).convert("RGB")).astype(np.int64)


def drawn(said: TrialAttribution, joints: NDArray[np.floating] | None = None) -> NDArray[np.int64]:
    recording = AttributionFigureData(said, walker() if joints is None else joints, "Relevance (LRP)")
    return pixels(explanation_picture(recording, "sick/P02/walk1", ["one line", "another"], None, NO_BODIES))


def rows_of(picture: NDArray[np.int64], colour: object, least: int) -> NDArray[np.int64]:
    """Rows of pixels of which at least so many are of a colour."""
    return np.flatnonzero((picture == np.asarray(colour)).all(axis=-1).sum(axis=1) >= least)


def one_joint(joint: Joint, size: float) -> TrialAttribution:
    values = np.zeros((FRAMES, NUM_BODY_JOINTS), np.float32)
    values[:, joint] = size
    return importance(FRAMES, values=values, probability=np.full(FRAMES, 0.9, np.float32))


def test_a_joint_that_speaks_for_sick_has_its_row_in_the_colour_of_the_scales_end() -> None:
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


def test_the_cycles_maps_show_either_foots_own() -> None:
    values = np.zeros((FRAMES, NUM_BODY_JOINTS), np.float32)
    recording = AttributionFigureData(importance(FRAMES, values=values), walker(), "LRP")
    strikes = recording.events.heel_strikes["left"]
    for strike in strikes:  # the first fifth of each left stride
        values[strike : strike + 20, Joint.HEAD] = 0.01
    picture = drawn(importance(FRAMES, values=values))[700:]
    strong = (np.abs(picture - DivergingScale(1.0).colours(1.0)).max(axis=-1) < 40).sum(axis=0)
    left, right = np.flatnonzero(strong[184:500] > 8), np.flatnonzero(strong[535:860] > 8)
    assert left.min() < 6, "at the very beginning of the left cycle"
    assert 40 < left.max() < 90
    assert 90 < right.mean() < 230, "half a cycle later in the right one"


def test_frames_without_explanation_are_grey() -> None:
    said = importance(FRAMES)
    said.values[: FRAMES // 4] = np.nan
    said.probability[: FRAMES // 4] = np.nan
    picture = drawn(said)
    grey = (picture[300:670] == np.asarray(UNEXPLAINED)).all(axis=-1)
    columns = np.flatnonzero(grey.sum(axis=0) > 200)
    assert columns.min() == pytest.approx(0.108 * 1700, abs=4)
    assert len(columns) == pytest.approx(0.754 * 1700 / 4, rel=0.02)


def test_the_marks_of_the_moments_stand_below_the_words_even_where_they_come_early() -> None:
    joints = stick_walker(160)
    picture = drawn(importance(160), joints)[134:172, 190:620]  # above the curve, beside its axis
    inked = (picture.sum(axis=-1) < 3 * 128).any(axis=1)
    stretches = np.flatnonzero(np.diff(np.concatenate([[False], inked, [False]]).astype(int)) == 1)
    assert len(stretches) >= 2, "the words, a blank row, the marks"
    assert not inked[stretches[1] - 1]


def test_unsigned_importance_is_on_the_sequential_scale() -> None:
    said = importance(FRAMES, signed=False)
    picture = drawn(said)
    lowest, highest = SequentialScale(0.0, 1.0).colours([0.0, 1.0])
    for end in (lowest, highest):
        assert (np.abs(picture - end).max(axis=-1) < 8).sum() > 300
    for words in (FOR_HEALTHY, FOR_SICK):
        colour = np.array(list(bytes.fromhex(words[1:])))
        assert (picture[300:670] == colour).all(axis=-1).sum() == 0


@pytest.mark.parametrize(
    ("said", "joints"),
    [
        (importance(40), stick_walker(40)),
        (importance(5000), stick_walker(5000)),
        (importance(200, absorbed=float("nan")), np.repeat(stick_walker(1), 200, axis=0)),
        (importance(200, values=np.full((200, 22), np.nan, np.float32)), stick_walker(200)),
        (importance(200, values=np.zeros((200, 22), np.float32)), stick_walker(200)),
    ],
    ids=["short", "long", "standing", "unexplained", "nothing mattered"],
)
def test_any_recording_has_a_page_without_a_warning(
    said: TrialAttribution, joints: NDArray[np.floating], recwarn: pytest.WarningsRecorder
) -> None:
    assert drawn(said, joints).shape == (1240, 1700, 3)
    assert not recwarn.list


def test_names_in_any_letters_have_a_page_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    recording = AttributionFigureData(importance(FRAMES), walker(), "LRP")
    assert explanation_picture(recording, "sick/$x^2$ 歩行 🚶/walk", ["$\\frac{1}{2}$"], None, "歩行")
    assert not recwarn.list


def test_bodies_are_put_on_the_page_above_their_names() -> None:
    width, height = bodies_size()
    magenta = np.full((height, width, 3), (255, 0, 255), np.uint8)
    recording = AttributionFigureData(importance(FRAMES), walker(), "LRP")
    columns = tuple(int(width * share) for share in (0.1, 0.4, 0.6, 0.9))
    page = pixels(explanation_picture(recording, "x", [], PhaseRenders(magenta, columns), ""))
    there = (page == (255, 0, 255)).all(axis=-1)
    assert there.sum() > 0.9 * width * height
    rows, places = np.nonzero(there)
    assert places.max() - places.min() == pytest.approx(width, abs=3)
    assert rows.max() - rows.min() == pytest.approx(height, abs=3)


def test_all_methods_have_a_row_each() -> None:
    recordings = [
        AttributionFigureData(importance(FRAMES, signed=signed, seed=seed), walker(), title)
        for seed, (title, signed) in enumerate((("Relevance (LRP)", True), ("Attention", False), ("Occlusion", True)))
    ]
    two = pixels(methods_picture(recordings[:2], "x", ["line"]))
    three = pixels(methods_picture(recordings, "x", ["line"]))
    assert three.shape[1] == two.shape[1] == 1700
    assert three.shape[0] - two.shape[0] == 370
    blue, yellow = DivergingScale(1.0).colours(-1.0), SequentialScale(0, 1).colours(1.0)
    rows = [np.flatnonzero((np.abs(three - end).max(axis=-1) < 8).sum(axis=1) > 3) for end in (blue, yellow)]
    assert rows[0].min() < rows[1].min() < rows[1].max() < rows[0].max(), "signed, unsigned, signed"


@pytest.mark.parametrize(("probability", "words"), [(0.5, "says sick"), (0.49, "says healthy"), (1.0, "sick 1.00")])
def test_the_verdict_is_that_of_the_metrics(probability: float, words: str) -> None:
    assert words in verdict(probability)


def test_one_scale_reaches_to_nearly_the_strongest_of_all_values() -> None:
    random = np.random.default_rng(0)
    values = [random.normal(size=(100, 22)), 3 * random.normal(size=(50, 22))]
    values[0][:10] = np.nan
    scale = importance_scale(values, signed=True)
    known = np.abs(np.concatenate([one.ravel() for one in values]))
    known = np.sort(known[~np.isnan(known)])
    assert scale.high == pytest.approx(known[int(0.995 * len(known))], rel=0.01)
    assert scale.low == -scale.high
    unsigned = importance_scale([np.abs(one) for one in values], signed=False)
    assert (unsigned.low, unsigned.high) == (0.0, scale.high)
    assert tuple(unsigned.colours(np.nan)) == UNEXPLAINED
    for nothing in ([], [np.full((2, 22), np.nan)], [np.zeros((2, 22))]):
        assert importance_scale(nothing, signed=True).high == 1.0


def test_what_few_windows_say_of_the_ends_does_not_set_the_scale() -> None:
    said = importance(FRAMES)
    loud = said.values.copy()
    loud[~said.well_covered] *= 1000
    scales = [
        AttributionFigureData(replace(said, values=values), walker(), "LRP").scale.high
        for values in (said.values, loud)
    ]
    assert 0 < (~said.well_covered).sum() < FRAMES / 2
    assert scales[0] == scales[1]


def test_columns_are_means_of_equal_stretches() -> None:
    values = np.arange(24.0).reshape(12, 2)
    values[3:6, 1] = np.nan
    values[7, 0] = np.nan
    found = in_columns(values, 4)
    slow = [[np.nanmean(values[k : k + 3, j]) if k != 3 or j == 0 else np.nan for j in (0, 1)] for k in range(0, 12, 3)]
    np.testing.assert_allclose(found, slow)
    np.testing.assert_array_equal(in_columns(values, 100), values)


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
    return ColouredBody((vertices @ about_y(turn).T).astype(np.float32), values, about_y(turn) @ [0.0, 0.0, 1.0])


def test_bodies_are_coloured_from_head_to_feet_wherever_they_walk(renderer: OffscreenRenderer) -> None:
    _, faces = pillar()
    scale = DivergingScale(1.0)
    picture, columns = draw_bodies([standing(0.0), standing(2.1)], faces, scale, 600, 400, renderer)
    assert len(columns) == 2
    for column in columns:
        strip = picture[:, column].astype(int)
        body = np.flatnonzero((np.abs(strip - 255) > 12).any(axis=1))
        top, bottom = strip[body.min() + 12], strip[body.max() - 25]
        assert top[0] - top[2] > 60, "orange: for sick"
        assert bottom[2] - bottom[0] > 60, "blue: for healthy"
    halves = picture[:, :300].astype(int), picture[:, 300:].astype(int)
    assert np.abs(halves[0] - halves[1]).max(axis=-1).mean() < 3, "both walk the same way on the page"


def test_a_body_that_nothing_explains_is_grey(renderer: OffscreenRenderer) -> None:
    vertices, faces = pillar()
    unknown = standing(0.0, np.full(len(vertices), np.nan, np.float32))
    picture, (column,) = draw_bodies([unknown], faces, DivergingScale(1.0), 300, 400, renderer)
    middle = picture[200, column].astype(int)
    assert np.ptp(middle) < 14
    assert np.abs(middle - np.asarray(UNEXPLAINED)).max() < 40


def test_the_side_that_matters_is_towards_the_viewer(renderer: OffscreenRenderer) -> None:
    """The left side of who walks along +z is at +x."""
    vertices, faces = pillar()
    left_side = np.where(vertices[:, 0] > 0, 1.0, -1.0).astype(np.float32)
    shares = []
    for from_left in (True, False):
        picture, _ = draw_bodies(
            [standing(0.0, left_side)], faces, DivergingScale(1.0), 300, 400, renderer, from_left=from_left
        )
        shares.append(float((picture[..., 0].astype(int) - picture[..., 2] > 60).mean()))
    assert shares[0] > 1.5 * shares[1]


def persons(count: int = 6, *, wrong: int = 1) -> list[SubjectAttribution]:
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
def test_a_cohort_has_a_page_whoever_is_in_it(wrong: int, signed: bool, recwarn: pytest.WarningsRecorder) -> None:
    everybody = persons(wrong=wrong)
    if not signed:
        everybody = [replace(one, importance=np.abs(one.importance)) for one in everybody]
    page = pixels(cohort_picture(cohort_view(everybody), signed, "All", ["line"]))
    assert page.shape == (1160, 1700, 3)
    assert not recwarn.list


def test_a_cohort_of_one_label_has_a_page(recwarn: pytest.WarningsRecorder) -> None:
    alone = [replace(persons()[0], importance=np.full((101, NUM_BODY_JOINTS), np.nan), cycles=0)]
    assert pixels(cohort_picture(cohort_view(alone), True, "One", [])).shape == (1160, 1700, 3)
    assert not recwarn.list
