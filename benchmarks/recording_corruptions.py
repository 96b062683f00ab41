"""Corruptions of honest C3D and TRC files outside their points: what archives and laboratories get wrong.

Each takes a random generator and the content of a file, which it may change, and returns the file and what a reader
must find in it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from recording_writer import ANALOG, BLOCK, EVENT, POINT, TRIAL, C3dContent, Group, Parameter, TrcContent


@dataclass(frozen=True)
class Corrupted:
    """A corrupted file, and what it still holds."""

    data: bytes
    labels: tuple[str, ...]
    positions: NDArray[np.float64]  # (T, M, 3) in file units, NaN where missing
    rate_hz: float


def _file(content: C3dContent | TrcContent, data: bytes | None = None, frames: int | None = None) -> Corrupted:
    expected = content.expected()[:frames]
    return Corrupted(content.to_bytes() if data is None else data, tuple(content.labels), expected, content.rate_hz)


# ------------------------------------------------------------------------------------------ C3D: analog


def float_analog_offset(rng: random.Random, content: C3dContent) -> Corrupted:
    content.parameter(ANALOG, "OFFSET").kind = 4
    return _file(content)


def integer_analog_scale(rng: random.Random, content: C3dContent) -> Corrupted:
    content.parameter(ANALOG, "SCALE").kind = 2
    return _file(content)


def text_for_analog_numbers(rng: random.Random, content: C3dContent) -> Corrupted:
    parameter = content.parameter(ANALOG, rng.choice(("SCALE", "OFFSET", "GEN_SCALE", "RATE", "USED")))
    parameter.kind, parameter.values, parameter.sizes = -1, ["none"], None
    return _file(content)


def short_analog_lists(rng: random.Random, content: C3dContent) -> Corrupted:
    for name in rng.sample(("SCALE", "OFFSET", "LABELS"), 2):
        parameter = content.parameter(ANALOG, name)
        parameter.values = parameter.values[: len(parameter.values) // 2]
        parameter.sizes = None if name == "LABELS" else (len(parameter.values),)
    return _file(content)


def no_analog_lists(rng: random.Random, content: C3dContent) -> Corrupted:
    for name in rng.sample(("SCALE", "OFFSET", "GEN_SCALE", "RATE", "USED"), 2):
        content.records.remove(content.parameter(ANALOG, name))
    return _file(content)


def wrong_analog_used(rng: random.Random, content: C3dContent) -> Corrupted:
    used = content.parameter(ANALOG, "USED")
    used.values = [rng.choice([k for k in (0, 1, content.channels + 1, 64, 65535) if k != content.channels])]
    return _file(content)


def wrong_analog_rate(rng: random.Random, content: C3dContent) -> Corrupted:
    rate = content.parameter(ANALOG, "RATE")
    rate.values = [rng.choice((0.0, rate.values[0] * 2, rate.values[0] / 2, -1.0, 1e9, np.nan, np.inf, 997.3))]
    return _file(content)


def analog_number_types(rng: random.Random, content: C3dContent) -> Corrupted:
    content.parameter(ANALOG, "USED").kind = 4
    rate = content.parameter(ANALOG, "RATE")
    rate.kind, rate.values = 2, [round(rate.values[0])]
    return _file(content)


def wrong_header_analog(rng: random.Random, content: C3dContent) -> Corrupted:
    words = content.channels * content.samples
    content.header["analog_words"] = rng.choice([k for k in (0, 1, words + 1, words + 4, 999, 65535) if k != words])
    return _file(content)


def wrong_header_samples(rng: random.Random, content: C3dContent) -> Corrupted:
    content.header["samples"] = rng.choice((0, content.samples + 1, 65535))
    return _file(content)


# ------------------------------------------------------------------------------------------ C3D: frames and rate


def header_counts_one_more(rng: random.Random, content: C3dContent) -> Corrupted:
    content.header["last"] = content.first_frame + len(content.positions)
    return _file(content)


def float_frames(rng: random.Random, content: C3dContent) -> Corrupted:
    content.parameter(POINT, "FRAMES").kind = 4
    return _file(content)


def zero_frames(rng: random.Random, content: C3dContent) -> Corrupted:
    content.parameter(POINT, "FRAMES").values = [0]
    content.parameter(POINT, "FRAMES").kind = rng.choice((2, 4))
    return _file(content)


def no_frames(rng: random.Random, content: C3dContent) -> Corrupted:
    content.records.remove(content.parameter(POINT, "FRAMES"))
    return _file(content)


def wrong_frames(rng: random.Random, content: C3dContent) -> Corrupted:
    T = len(content.positions)
    content.parameter(POINT, "FRAMES").values = [rng.choice((1, T - 1, T + 1, T + 500, 65535))]
    return _file(content)


def wrong_header_frames(rng: random.Random, content: C3dContent) -> Corrupted:
    content.header["last"] = rng.choice((0, content.first_frame, content.first_frame + 5000, 65535))
    return _file(content)


def fewer_frames_than_promised(rng: random.Random, content: C3dContent) -> Corrupted:
    """The file is cut anywhere after its first frame."""
    start, data = content.data_start(), content.to_bytes()
    size = rng.randrange(start + content.frame_bytes, start + len(content.positions) * content.frame_bytes)
    return _file(content, data[:size], (size - start) // content.frame_bytes)


def no_header_rate(rng: random.Random, content: C3dContent) -> Corrupted:
    content.header["rate"] = rng.choice((0.0, -1.0, np.nan, 1e20))
    return _file(content)


def no_point_rate(rng: random.Random, content: C3dContent) -> Corrupted:
    rate = content.parameter(POINT, "RATE")
    if rng.random() < 0.3:
        content.records.remove(rate)
    else:
        rate.values = [rng.choice((0.0, -1.0, np.nan, 1e20))]
    return _file(content)


# ------------------------------------------------------------------------------------------ C3D: groups and parameters


def group_twice(rng: random.Random, content: C3dContent) -> Corrupted:
    """A group occurs twice, with a number of its own and a parameter that the first also has."""
    group, name = rng.choice(((POINT, "POINT"), (ANALOG, "ANALOG"), (EVENT, "EVENT")))
    again: list[Group | Parameter] = [Group(group + 20, name), Parameter(group + 20, "USED", 2, [rng.choice((0, 7))])]
    at = rng.choice((0, len(content.records)))
    content.records[at:at] = again
    return _file(content)


def group_number_twice(rng: random.Random, content: C3dContent) -> Corrupted:
    at = rng.choice((0, len(content.records)))
    content.records.insert(at, Group(rng.choice((POINT, ANALOG, EVENT)), "PROCESSING"))
    return _file(content)


def parameter_twice(rng: random.Random, content: C3dContent) -> Corrupted:
    """A parameter occurs twice: the same, empty, or with another value."""
    name = rng.choice(("USED", "SCALE", "RATE", "FRAMES", "DATA_START", "LABELS", "UNITS"))
    known = content.parameter(POINT, name)
    other: list[Any] = ["x"] if known.kind == -1 else [3]
    values, sizes = rng.choice(((known.values, known.sizes), ([], (0,) if known.kind > 0 else None), (other, None)))
    at = content.records.index(known) + rng.choice((0, 1))
    content.records.insert(at, Parameter(POINT, name, known.kind, list(values), sizes))
    return _file(content)


def unnamed_group(rng: random.Random, content: C3dContent) -> Corrupted:
    """The record of a group is missing, or its name is blank."""
    number = rng.choice((POINT, EVENT))
    group = next(each for each in content.records if isinstance(each, Group) and each.number == number)
    if rng.random() < 0.5:
        content.records.remove(group)
    else:
        group.name = "   "
    return _file(content)


def breaks_off_after_point(rng: random.Random, content: C3dContent) -> Corrupted:
    """The records after POINT are zeros, or bytes that are no records."""
    data = bytearray(content.to_bytes())
    name = data.index(b"ANALOG", BLOCK) - 2
    end = content.data_start()
    data[name:end] = rng.choice((bytes(end - name), b"\xff" * (end - name), b"\x01\x05" * (end - name)))[: end - name]
    return _file(content, bytes(data))


def wrong_record_length(rng: random.Random, content: C3dContent) -> Corrupted:
    content.parameter(EVENT, rng.choice(("USED", "LABELS"))).offset = rng.choice((0, 1, 60000))
    return _file(content)


def unknown_type(rng: random.Random, content: C3dContent) -> Corrupted:
    content.records.append(Parameter(EVENT, "OTHER", 3, [], (4,)))
    content.records.append(Parameter(EVENT, "LAST", 2, [1]))
    return _file(content)


def broken_events(rng: random.Random, content: C3dContent) -> Corrupted:
    times = content.parameter(EVENT, "TIMES")
    times.values, times.sizes = rng.choice((([0.0, 0.1, 0.2], (3,)), ([], (0,)), ([np.nan] * 4, (2, 2))))
    content.parameter(EVENT, "USED").values = [rng.choice((0, 99, 65535))]
    return _file(content)


def rotations_overrun(rng: random.Random, content: C3dContent) -> Corrupted:
    content.records += [Group(9, "ROTATION"), Parameter(9, "USED", 2, [rng.choice((20, 40000))])]
    content.records += [Parameter(9, "DATA_START", 2, [900]), Parameter(9, "RATE", 4, [content.rate_hz])]
    return _file(content)


# ------------------------------------------------------------------------------------------ C3D: layout


def wrong_point_used(rng: random.Random, content: C3dContent) -> Corrupted:
    P = len(content.labels)
    content.parameter(POINT, "USED").values = [rng.choice((0, P - 1, P + 1, 2 * P, 65535))]
    return _file(content)


def wrong_header_points(rng: random.Random, content: C3dContent) -> Corrupted:
    P = len(content.labels)
    content.header["points"] = rng.choice((0, P - 1, P + 1, 2 * P, 65535))
    return _file(content)


def wrong_data_start(rng: random.Random, content: C3dContent) -> Corrupted:
    wrong = rng.choice((0, 1, content.data_start() // BLOCK, content.data_start() // BLOCK + 2, 65535))
    if rng.random() < 0.5:
        content.header["start_block"] = wrong
    else:
        content.parameter(POINT, "DATA_START").values = [wrong]
    return _file(content)


def wrong_scale_sign(rng: random.Random, content: C3dContent) -> Corrupted:
    """Header or parameters state floats for integers, or integers for floats; the other is right."""
    if rng.random() < 0.5 or content.scale > 0:
        content.header["scale"] = -content.scale
    else:
        content.parameter(POINT, "SCALE").values = [-content.scale]
    return _file(content)


def no_scale(rng: random.Random, content: C3dContent) -> Corrupted:
    if rng.random() < 0.5:
        content.header["scale"] = rng.choice((0.0, np.nan))
    else:
        content.parameter(POINT, "SCALE").values = [rng.choice((0.0, np.nan))]
    return _file(content)


def leading_zeros(rng: random.Random, content: C3dContent) -> Corrupted:
    return _file(content, bytes(rng.choice((1, 512, 1000))) + content.to_bytes())


def trailing_bytes(rng: random.Random, content: C3dContent) -> Corrupted:
    return _file(content, content.to_bytes() + rng.randbytes(rng.choice((1, 300, 4000))))


def wrong_parameter_blocks(rng: random.Random, content: C3dContent) -> Corrupted:
    content.blocks_stated = rng.choice((0, 1, 200))
    return _file(content)


C3D_CORRUPTIONS: tuple[Callable[[random.Random, C3dContent], Corrupted], ...] = (
    *(float_analog_offset, integer_analog_scale, text_for_analog_numbers, short_analog_lists, no_analog_lists),
    *(wrong_analog_used, wrong_analog_rate, analog_number_types, wrong_header_analog, wrong_header_samples),
    *(header_counts_one_more, float_frames, zero_frames, no_frames, wrong_frames, wrong_header_frames),
    *(fewer_frames_than_promised, no_header_rate, no_point_rate),
    *(group_twice, group_number_twice, parameter_twice, unnamed_group, breaks_off_after_point, wrong_record_length),
    *(unknown_type, broken_events, rotations_overrun),
    *(wrong_point_used, wrong_header_points, wrong_data_start, wrong_scale_sign, no_scale),
    *(leading_zeros, trailing_bytes, wrong_parameter_blocks),
)

# ------------------------------------------------------------------------------------------ C3D: more than 65535 frames


def long_by_trial(content: C3dContent) -> Corrupted:
    """Vicon's way: TRIAL:ACTUAL_END_FIELD has two words."""
    T = len(content.positions)
    content.records += [Group(TRIAL, "TRIAL"), Parameter(TRIAL, "ACTUAL_START_FIELD", 2, [1, 0])]
    content.records.append(Parameter(TRIAL, "ACTUAL_END_FIELD", 2, [T & 0xFFFF, T >> 16]))
    return _file(content)


def long_by_float_frames(content: C3dContent) -> Corrupted:
    frames = content.parameter(POINT, "FRAMES")
    frames.kind, frames.values = 4, [float(len(content.positions))]
    return _file(content)


def long_by_long_frames(content: C3dContent) -> Corrupted:
    content.records.insert(2, Parameter(POINT, "LONG_FRAMES", 4, [float(len(content.positions))]))
    return _file(content)


def long_by_overflow(content: C3dContent) -> Corrupted:
    """All counts are those of 16 bits."""
    content.parameter(POINT, "FRAMES").values = [len(content.positions)]
    content.header["last"] = len(content.positions)
    return _file(content)


def long_by_size(content: C3dContent) -> Corrupted:
    """ezc3d's way: no field counts them."""
    return _file(content)


LONG_RECORDINGS: tuple[Callable[[C3dContent], Corrupted], ...] = (
    *(long_by_trial, long_by_float_frames, long_by_long_frames, long_by_overflow, long_by_size),
)

# ------------------------------------------------------------------------------------------ TRC


def _with_rows(content: TrcContent, change: Callable[[list[str]], list[str]]) -> bytes:
    lines = content.lines()
    return ("\n".join([*lines[:5], *("\t".join(change(line.split("\t"))) for line in lines[5:])]) + "\n").encode()


def trailing_columns(rng: random.Random, content: TrcContent) -> Corrupted:
    """Empty columns at the end of some lines or of all."""
    share = rng.choice((0.3, 1.0))
    return _file(
        content, _with_rows(content, lambda row: [*row, *[""] * (rng.randrange(1, 5) * (rng.random() < share))])
    )


def unnamed_columns(rng: random.Random, content: TrcContent) -> Corrupted:
    """Columns of numbers after the last marker, which the header does not name."""
    count = rng.choice((1, 2, 3, 6))
    data = _with_rows(content, lambda row: [*row, *(f"{rng.uniform(0, 900):.3f}" for _ in range(count))])
    return _file(content, data)


def missing_columns(rng: random.Random, content: TrcContent) -> Corrupted:
    """Some lines end in the last marker or before it."""
    frames = sorted(rng.sample(range(len(content.positions)), len(content.positions) // 4))
    lines = content.lines()
    for t in frames:
        lines[5 + t] = "\t".join(lines[5 + t].split("\t")[: -rng.choice((1, 2, 3))])
    content.positions[frames, -1] = np.nan
    return _file(content, ("\n".join(lines) + "\n").encode())


def missing_last_marker(rng: random.Random, content: TrcContent) -> Corrupted:
    """The header names a marker whose columns are missing."""
    data = _with_rows(content, lambda row: row[:-3])
    content.positions[:, -1] = np.nan
    return _file(content, data)


def wrong_counts(rng: random.Random, content: TrcContent) -> Corrupted:
    T, M = content.positions.shape[:2]
    content.header["NumFrames"] = str(rng.choice((0, 1, T - 1, T + 1, 2 * T, "", "x")))
    content.header["NumMarkers"] = str(rng.choice((0, 1, M - 1, M + 2, 3 * M, "", "x")))
    return _file(content)


def text_in_cells(rng: random.Random, content: TrcContent) -> Corrupted:
    for _ in range(rng.randrange(1, 5)):
        t, column = rng.randrange(len(content.positions)), rng.randrange(3 * len(content.labels))
        content.cells[t, 2 + column] = rng.choice(("abc", "#VALUE!", "1.2.3", "--", "n/a", "NaN", "1_0"))
        content.positions[t, column // 3] = np.nan
    return _file(content)


def blank_names(rng: random.Random, content: TrcContent) -> Corrupted:
    for m in rng.sample(range(len(content.labels)), 2):
        content.labels[m] = ""
    content.names = [field for label in content.labels for field in (label or rng.choice(("", " ")), "", "")]
    return _file(content)


def names_without_columns(rng: random.Random, content: TrcContent) -> Corrupted:
    """One tab between two names instead of three."""
    content.names = list(content.labels)
    return _file(content)


def contradicting_rate(rng: random.Random, content: TrcContent) -> Corrupted:
    rate = f"{content.rate_hz * rng.choice((0.5, 2.0, 0.25, 4.0, 1.2)):g}"
    content.header |= {"DataRate": rate, "CameraRate": rate}
    return _file(content)


def no_rate(rng: random.Random, content: TrcContent) -> Corrupted:
    rate = rng.choice(("0", "", "x", "-1"))
    content.header |= {"DataRate": rate, "CameraRate": rate}
    return _file(content)


def no_times(rng: random.Random, content: TrcContent) -> Corrupted:
    """The time column is empty, zero, text, or counts milliseconds."""
    kind = rng.randrange(4)
    for t in range(len(content.positions)):
        content.cells[t, 1] = ("", "0", "x", f"{1000 * t / content.rate_hz:.1f}")[kind]
    return _file(content)


def other_unit_field(rng: random.Random, content: TrcContent) -> Corrupted:
    content.header["Units"] = rng.choice(("238", "millimeter", "", "?"))
    return _file(content)


def other_line_ends(rng: random.Random, content: TrcContent) -> Corrupted:
    lines = content.lines()
    for _ in range(rng.randrange(3)):
        lines.insert(rng.randrange(5, len(lines)), rng.choice(("", "\t\t")))
    return _file(content, (rng.choice(("\r\n", "\n", "\r")).join(lines) + rng.choice(("", "\n\n"))).encode("utf-8-sig"))


def decimal_commas(rng: random.Random, content: TrcContent) -> Corrupted:
    return _file(content, _with_rows(content, lambda row: [field.replace(".", ",") for field in row]))


def missing_header_lines(rng: random.Random, content: TrcContent) -> Corrupted:
    lines = content.lines()
    kept = rng.choice(([1, 2, 3, 4], [0, 1, 2, 3], [3, 4], [3]))
    return _file(content, ("\n".join([*(lines[k] for k in kept), *lines[5:]]) + "\n").encode())


def text_breaks_off(rng: random.Random, content: TrcContent) -> Corrupted:
    """The file is cut anywhere after its second frame."""
    lines = content.lines()
    whole = ("\n".join(lines) + "\n").encode()
    first = len("\n".join(lines[:7])) + 1
    data = whole[: rng.randrange(first, len(whole) - len(lines[-1]))]
    return _file(content, data, data.count(b"\n") - 5)


TRC_CORRUPTIONS: tuple[Callable[[random.Random, TrcContent], Corrupted], ...] = (
    *(trailing_columns, unnamed_columns, missing_columns, missing_last_marker, wrong_counts, text_in_cells),
    *(blank_names, names_without_columns, contradicting_rate, no_rate, no_times, other_unit_field, other_line_ends),
    *(decimal_commas, missing_header_lines, text_breaks_off),
)
