"""Parse a C3D file: its header, its parameters, and the layout of its data.

A C3D file states its counts several times: in the header, in the parameters, and by its size. Where these disagree, the
points themselves decide: in the true layout consecutive frames are alike, and the fourth word of each point is a
residual.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait.capture.c3d_file import (
    KINDS,
    PROCESSORS,
    SGI,
    C3dFile,
    Layout,
    Parameter,
    read_real,
    read_samples,
    to_reals,
)
from gait.capture.raw_recording import RATE_RANGE_HZ
from gait.errors import GaitError

_BLOCK = 512
_MAGIC = 0x50
_MAX_WORD = 0xFFFF  # a count of the header that is larger is stored elsewhere
_MAX_PARAMETER_VALUES = 1 << 20  # of one parameter; a larger count occurs only in damaged files
_MAX_LIST_LENGTH = 255  # a longer list continues in KEY2
_RATE_TOLERANCE = 1e-3
_POINT_PARAMETERS = frozenset(("USED", "SCALE", "RATE", "DATA_START", "FRAMES", "LABELS"))

_MAX_COMPARED_FRAMES, _MAX_COMPARED_BYTES = 200, 1 << 22
_MIN_FRAMES_TO_TELL = 10  # of fewer, the size of the file does not tell the layout
_MIN_VALID_SAMPLES = 0.9  # of the samples must look like points in the true layout
_MAX_STEP_RATIO = 0.2  # of the upper quartile of the steps from frame to frame to the spread of the coordinates


def parse_c3d(path: Path) -> C3dFile:
    """Parse a C3D file.

    Raises:
        GaitError: the file cannot be read, is not a C3D file, or its points cannot be found.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GaitError(f"{path}: cannot be read ({error.strerror}); check the path.") from error
    if not data:
        raise GaitError(f"{path}: the file is empty; copy or export it again.")
    stored, data = data, data.lstrip(b"\0")  # some files begin with zeros
    if len(data) < 2 * _BLOCK or data[1] != _MAGIC:
        raise GaitError(f"{path}: is not a C3D file (its second byte is not 0x50); give a file exported as C3D.")
    section = (data[0] - 1) * _BLOCK
    if section < _BLOCK or section + 4 > len(data):
        raise _damaged(path, f"its parameters should start at byte {section}")
    processor = data[section + 3]
    if processor not in PROCESSORS:
        raise _damaged(path, f"its processor type is {processor}, not 84, 85 or 86")
    parsed = _Parser(path, data, section, processor).parse()
    return parsed if data is stored else replace(parsed, regular=False)


def _damaged(path: Path, problem: str) -> GaitError:
    return GaitError(f"{path}: is damaged, its points cannot be found ({problem}); export it again.")


class _Parser:
    """Parser of one file; collects what is wrong with it."""

    def __init__(self, path: Path, data: bytes, section: int, processor: int) -> None:
        self.path, self.data, self.section, self.processor = path, data, section, processor
        self.order = ">" if processor == SGI else "<"
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.regular = True
        header = struct.unpack_from(f"{self.order}4H", data, 2)
        self.header_points, self.header_words, self.first, self.last = header
        self.start_block, self.samples = struct.unpack_from(f"{self.order}2H", data, 16)
        self.header_scale, self.header_rate = (read_real(data, at, processor) for at in (12, 20))
        self.parameters = self._parameters()

    def parse(self) -> C3dFile:
        scale = self._scale()
        layout = self._layout(scale)
        self._check_analog(layout)
        frames = self._frames(layout)
        first = max(self.first, 1)
        if self.first == _MAX_WORD and len(words := self._words("TRIAL", "ACTUAL_START_FIELD")) == 2:
            first = words[0] + (words[1] << 16)
        return C3dFile(
            data=self.data,
            processor=self.processor,
            parameters=self.parameters,
            layout=layout,
            frames=frames,
            first_frame=first,
            rate_hz=self._rate(),
            scale=scale if layout.real or scale > 0 else self.header_scale,
            regular=self.regular and self.processor != SGI and not self._rotations_overrun(frames),
            notes=tuple(self.notes),
            warnings=tuple(self.warnings),
        )

    def _note(self, sentence: str, *, lost: bool = False) -> None:
        """Add a note, or a warning if something was ``lost`` or guessed; the file is not regular."""
        self.regular = False
        if sentence not in (texts := self.warnings if lost else self.notes):
            texts.append(sentence)

    def _number(self, group: str, name: str, *, alternative: float = math.nan) -> float:
        """Return the first value of a numeric parameter, ``alternative`` if it has none."""
        first = self._first(group, name)
        if not math.isfinite(first) and name in self.parameters.get(group, {}):
            self._note(f"{group}:{name} has no number.")
        return first if math.isfinite(first) else alternative

    def _first(self, group: str, name: str) -> float:
        parameter = self.parameters.get(group, {}).get(name)
        return math.nan if parameter is None else parameter.first

    def _words(self, group: str, name: str) -> tuple[int, ...]:
        parameter = self.parameters.get(group, {}).get(name)
        return () if parameter is None else parameter.words

    # -------------------------------------------------------------------------------------- parameters

    def _parameters(self) -> dict[str, dict[str, Parameter]]:
        """Return the parameters by group and name; of several, the one that the header repeats, else the longest."""
        groups: dict[int, str] = {}
        found: list[tuple[int, str, Parameter]] = []
        for number, name, parameter in self._records():
            if parameter is None:
                if name in groups.values() and groups.get(number) != name:
                    self._note(f"Two of its parameter groups are named {_shown(name)}; they are read as one.")
                if number in groups and groups[number] != name:
                    self._note("Two of its parameter groups have the same number.")
                if number not in groups or name == "POINT":
                    groups[number] = name
            else:
                found.append((number, name, parameter))
        if unnamed := {number for number, _, _ in found} - {number for number, name in groups.items() if name}:
            self._note("It has parameters of unnamed groups.")
            for number in unnamed if "POINT" not in groups.values() else ():
                if len(_POINT_PARAMETERS & {name for each, name, _ in found if each == number}) >= 3:
                    groups[number] = "POINT"
                    break
        in_header = {"USED": self.header_points, "SCALE": self.header_scale, "RATE": self.header_rate}
        in_header |= {"DATA_START": self.start_block, "FRAMES": self.last - self.first + 1}
        parameters: dict[str, dict[str, Parameter]] = {}
        ranks: dict[tuple[str, str], tuple[bool, int]] = {}
        for number, name, parameter in found:
            if not (group := groups.get(number, "")):
                continue
            known = parameters.setdefault(group, {})
            if name in known:
                self._note(f"{_shown(group)}:{_shown(name)} is stored twice.")
            rank = (group == "POINT" and parameter.first == in_header.get(name), parameter.count)
            if name not in known or rank > ranks[group, name]:
                known[name], ranks[group, name] = parameter, rank
        return parameters

    def _records(self) -> Iterator[tuple[int, str, Parameter | None]]:
        """Yield number of the group, name, and parameter of each record; None for a group."""
        data, at = self.data, self.section + 4
        while self._is_record(at):
            length, group = struct.unpack_from("bb", data, at)
            if length == 0 or group == 0:
                return
            name = data[at + 2 : at + 2 + abs(length)].partition(b"\0")[0].decode("latin-1").strip().upper()
            at += 2 + abs(length)
            (offset,) = struct.unpack_from(f"{self.order}H", data, at)
            end, parameter = (at + 2, None) if group < 0 else self._parameter(at + 2)
            if group < 0 or parameter is not None:
                yield abs(group), name, parameter
            else:
                self._note(f"The parameter {_shown(name)} cannot be read.", lost=True)
            if offset == 0:
                return
            after = end + 1 + data[end] if end < len(data) else len(data)  # the description has its length first
            stated = at + offset
            at = next((k for k in (stated, after) if k >= end and self._is_record(k)), len(data))
            if at not in (stated, len(data)):
                self._note(f"The length of {_shown(name)} is wrong.")
        self._note("Its parameter section breaks off; the parameters after it are missing.", lost=True)

    def _is_record(self, at: int) -> bool:
        """Return True if a record, or the end of the records, can be at byte ``at``."""
        if at + 2 > len(self.data):
            return False
        length, group = struct.unpack_from("bb", self.data, at)
        name = self.data[at + 2 : at + 2 + abs(length)].partition(b"\0")[0]
        return length == 0 or group == 0 or (at + abs(length) + 6 <= len(self.data) and min(name, default=32) >= 32)

    def _parameter(self, at: int) -> tuple[int, Parameter | None]:
        """Return the end and the content of the parameter whose type is at byte ``at``; None if it is invalid."""
        data = self.data
        kind, dimensions = struct.unpack_from("bB", data, at)
        sizes = tuple(data[at + 2 : at + 2 + dimensions])
        count, values = math.prod(sizes), at + 2 + dimensions
        end = values + count * abs(kind)
        if kind not in KINDS or dimensions > 7 or count > _MAX_PARAMETER_VALUES or end > len(data):
            return at, None
        if kind == -1:
            if not dimensions:  # ezc3d crashes
                self._note("One of its texts has no length.")
            width, number = (sizes[0], math.prod(sizes[1:])) if sizes else (1, 1)
            if number > _MAX_PARAMETER_VALUES:
                return end, None
            texts = (data[values + k * width : values + (k + 1) * width] for k in range(number))
            return end, Parameter(kind, [_text(text) for text in texts])
        if kind == 4:
            numbers: NDArray[Any] = to_reals(np.frombuffer(data, f"{self.order}u4", count, values), self.processor)
        else:
            numbers = np.frombuffer(data, f"{self.order}i2" if kind == 2 else "u1", count, values)
        unsigned = numbers.view(f"{self.order}u2") if kind == 2 else numbers
        words = tuple(unsigned[:2].tolist()) if kind == 2 else ()
        first = float(unsigned[0]) if count else math.nan
        return end, Parameter(kind, numbers.reshape(sizes, order="F"), first, words)

    # -------------------------------------------------------------------------------------- layout

    def _scale(self) -> float:
        """Return the factor of integer samples; negative if the samples are floats."""
        stated = self._number("POINT", "SCALE", alternative=self.header_scale)
        if "SCALE" not in self.parameters.get("POINT", {}):
            self._note("POINT:SCALE is missing.")
        header = self.header_scale
        usable = [scale for scale in (stated, header) if scale and math.isfinite(scale)]
        if not usable:
            raise _damaged(self.path, "none of its scales is a number")
        if self.parameters.get("POINT", {}).get("SCALE", Parameter(4, [""])).count > 1:
            self._note("POINT:SCALE has more than one value; the first is used.")
        scale = usable[0]
        if len(usable) == 1:
            self._note(f"Only one of its scales is a number: {scale:g}.")
        elif (scale > 0) == (header > 0) and scale > 0 and abs(scale - header) > 1e-3 * scale:
            text = f"The header scales points by {header:g}, the parameters by {scale:g}, which is used."
            self.warnings.append(text)
        return scale

    def _layout(self, scale: float) -> Layout:
        """Return the layout that header and parameters state; if they disagree, the one that the points have."""
        used = self._number("POINT", "USED", alternative=0.0)
        points = _distinct(self.header_points, used)
        if not points:
            frames = self.last - self.first + 1
            raise GaitError(f"{self.path}: holds no points ({frames} frames, no marker); no body can be fitted to it.")
        stated_block = self._number("POINT", "DATA_START", alternative=self.start_block)
        blocks = _distinct(self.start_block, stated_block)
        if self.start_block < 2 or len(blocks) > 1:  # then the end of the parameters counts too
            blocks = _distinct(*blocks, self.section // _BLOCK + 1 + self.data[self.section + 2])
        starts = [start for block in blocks if (start := (block - 1) * _BLOCK) > self.section]
        words = [self.header_words, *self._stated_analog_words()]
        reals = list(dict.fromkeys([scale < 0, self.header_scale < 0]))
        candidates = [Layout(*each) for each in itertools.product(starts, points, dict.fromkeys(words), reals)]
        candidates = [each for each in candidates if each.start + each.frame_bytes <= len(self.data)]
        header = f"{self.header_points} points and {self.header_words} analog samples per frame by its header"
        stated = f"{header}, {used:g} and {words[1]} by its parameters"
        layout = candidates[0] if len(candidates) == 1 else max(candidates, key=self._plausibility, default=None)
        if layout is None or (len(candidates) > 1 and self._plausibility(layout)[0] < 1):
            layout = max(self._layouts_of_size(starts, points, reals), key=self._plausibility, default=None)
        if layout is None or (len(candidates) != 1 and self._plausibility(layout)[0] < 1):
            raise _damaged(self.path, stated)
        in_header = (self.start_block - 1) * _BLOCK, self.header_points, self.header_words, self.header_scale < 0
        in_parameters = used == layout.points and words[1] == layout.analog_words
        if not in_parameters or scale * self.header_scale <= 0 or astuple(layout) != in_header:
            told = f"{layout.points} points and {layout.analog_words} analog samples per frame"
            told += f" of {'floats' if layout.real else 'integers'} from byte {layout.start}"
            self._note(f"Header and parameters disagree ({stated}); the points show {told}.", lost=True)
        elif stated_block != self.start_block:
            self._note(f"POINT:DATA_START is {stated_block:g}; the points begin in block {self.start_block}.")
        return layout

    def _layouts_of_size(self, starts: list[int], points: list[int], reals: list[bool]) -> Iterator[Layout]:
        """Yield the layouts with which the stated frames end in the last block of the file, whatever is analog."""
        counts = {count for count in self._stated_frames() if count >= _MIN_FRAMES_TO_TELL}
        for start, count, frames, real in itertools.product(starts, points, counts, reals):
            size, available = 4 if real else 2, len(self.data) - start
            least = -(-(available - _BLOCK + 1) // (size * frames))
            for width in range(max(least, 4 * count), available // (size * frames) + 1):
                yield Layout(start, count, width - 4 * count, real)

    def _stated_analog_words(self) -> list[int]:
        """Return the analog words per frame by the parameters: first with the stated rates, then with others."""
        channels = self._number("ANALOG", "USED", alternative=0.0)
        rates = [rate for rate in (self._number("POINT", "RATE"), self.header_rate) if rate and math.isfinite(rate)]
        ratio = self._number("ANALOG", "RATE", alternative=0.0) / rates[0] if rates else float(self.samples)
        if "SHADOW" in self.parameters and self.samples == 1:  # these files have no ANALOG:RATE
            ratio = 1.0
        if not (0 <= ratio <= _MAX_WORD and 0 <= channels <= _MAX_WORD):
            self._note("The analog rate or the number of analog channels is not a number.")
            return [self.header_words]
        words = [int(channels) * int(samples) for samples in (ratio, round(ratio), self.samples)]
        if words[0] != self.header_words == words[1]:
            text = f"The analog rate is {ratio:.5g} times the camera rate; the header's {self.samples} samples count."
            self._note(text)
            return [self.header_words]
        return words

    def _check_analog(self, layout: Layout) -> None:
        """Note lists of analog factors that are too short, with which ezc3d crashes."""
        channels = self._number("ANALOG", "USED", alternative=0.0)
        for name in ("SCALE", "OFFSET") if layout.analog_words else ():
            keys = (name, *(f"{name}{k}" for k in range(2, 9)))
            known = self.parameters.get("ANALOG", {})
            num_values = sum(known[key].count for key in keys if key in known)
            if num_values < min(channels, 8 * _MAX_LIST_LENGTH):
                self._note(f"ANALOG:{name} has {num_values} values for {channels:g} channels.")
        self._number("ANALOG", "GEN_SCALE")

    def _plausibility(self, layout: Layout) -> tuple[float, ...]:
        """Return how well the data agree with a layout, to be compared; the first number is below 1 if they do not."""
        capacity = (len(self.data) - layout.start) // layout.frame_bytes
        compared = min(capacity, _MAX_COMPARED_FRAMES, max(3, _MAX_COMPARED_BYTES // layout.frame_bytes))
        middle = replace(layout, start=layout.start + (capacity - compared) // 2 * layout.frame_bytes)
        xyz, residual = read_samples(self.data, self.processor, middle, compared)
        valid = _looks_like_points(xyz, residual, layout.real)
        fits = any(_fills(self.data, layout, count) for count in self._stated_frames())
        fraction = float(valid.mean())
        if fraction < _MIN_VALID_SAMPLES:
            return 0.0, fraction
        labels = self.parameters.get("POINT", {}).get("LABELS")
        named = labels is not None and labels.count == layout.points
        return float(_changes_slowly(xyz, residual)) + float(fits), round(fraction, 3), float(named)

    # -------------------------------------------------------------------------------------- frames and rate

    def _stated_frames(self) -> list[int]:
        """Return the numbers of frames that the fields of the file state.

        A header counts to 65535. For a longer recording, POINT:FRAMES or LONG_FRAMES is a float, or
        TRIAL:ACTUAL_START_FIELD and ACTUAL_END_FIELD have two words each, the lower one first.
        """
        point = self.parameters.get("POINT", {})
        counts = [point[name].first for name in ("FRAMES", "LONG_FRAMES") if name in point]
        begin, end = (self._words("TRIAL", f"ACTUAL_{name}_FIELD") for name in ("START", "END"))
        if len(begin) == len(end) == 2:
            counts.append(end[0] + (end[1] << 16) - begin[0] - (begin[1] << 16) + 1)
        if self.last < _MAX_WORD:
            counts.append(self.last - self.first + 1)
        return [int(count) for count in counts if math.isfinite(count) and count >= 1 and count != _MAX_WORD]

    def _frames(self, layout: Layout) -> int:
        """Return the number of complete frames of the file."""
        capacity = (len(self.data) - layout.start) // layout.frame_bytes
        stated = self._stated_frames()
        filling = sorted(count for count in stated if _fills(self.data, layout, count))
        while len(filling) > 1 and filling[-1] > filling[0] and not self._goes_on(layout, filling[-1]):
            filling.pop()
        frames = filling[-1] if filling else 0
        if not frames and capacity > _MAX_WORD:  # counts of 16 bits that overflowed
            overflown = [(self.last - self.first + 1) % (_MAX_WORD + 1), *stated]
            laps = [count + ((capacity - count) >> 16 << 16) for count in overflown]
            frames = min((count for count in laps if _fills(self.data, layout, count)), default=0)
        if not frames:
            held = [count for count in stated if count <= capacity]
            frames = max(held, default=capacity)
            if not stated:
                while frames > 1 and not self._goes_on(layout, frames) and _fills(self.data, layout, frames - 1):
                    frames -= 1
            frames -= frames - 1 in held  # of two neighbouring counts the header's is one too large
        if not frames:
            raise _damaged(self.path, f"its data would begin at byte {layout.start} of {len(self.data)}")
        self._note_frames(frames, stated)
        return frames

    def _goes_on(self, layout: Layout, frames: int) -> bool:
        """Return True if the last of ``frames`` is like the one before it, and no filling of the file's last block."""
        last_two = replace(layout, start=layout.start + (frames - 2) * layout.frame_bytes)
        return frames < 2 or _changes_slowly(*read_samples(self.data, self.processor, last_two, 2))

    def _note_frames(self, frames: int, stated: Sequence[int]) -> None:
        header = self.last - self.first + 1
        parameter = self.parameters.get("POINT", {}).get("FRAMES")
        if stated and frames < min(stated):
            self._note(f"The file breaks off: it holds {frames} of {min(stated)} frames.", lost=True)
        elif self.last < _MAX_WORD and header != frames <= _MAX_WORD:
            self._note(f"The header counts {header} frames; the file holds {frames}.", lost=True)
        if parameter is None or frames > _MAX_WORD:
            self.regular = self.regular and frames <= _MAX_WORD
        elif not math.isfinite(parameter.first) or parameter.kind != 2:
            self._note("POINT:FRAMES is not an integer.")
        elif parameter.first not in (0, frames):
            self._note(f"POINT:FRAMES is {parameter.first:g}; the file holds {frames} frames.")

    def _rate(self) -> float:
        """Return the camera rate: of the parameters, unless only the header's is possible or fits the analog rate."""
        stated = self._number("POINT", "RATE", alternative=0.0)
        analog = self._number("ANALOG", "RATE", alternative=0.0) / max(self.samples, 1)
        camera = self._first("TRIAL", "CAMERA_RATE")
        low, high = RATE_RANGE_HZ
        rates = [rate for rate in (stated, self.header_rate, analog, camera) if low <= rate <= high]
        if not rates:
            return stated or self.header_rate
        rate, header = rates[0], self.header_rate
        if header in rates and rate != header and not _same_rate(rate, header):
            if any(_same_rate(other, header) for other in (analog, camera)):
                rate = header
            text = f"The header states {header:g} frames per second, the parameters {stated:g}, which is used."
            if rate == header:
                text = f"The parameters state {stated:g} frames per second, the header {header:g}, which is used."
            self.warnings.append(text)
        elif stated and rate != stated:
            self._note(f"POINT:RATE is {stated:g}; {rate:g} frames per second is used.", lost=True)
        return rate

    def _rotations_overrun(self, frames: int) -> bool:
        """Return True if rotations (a newer part of the format, not used here) need more data than the file has."""
        if "ROTATION" not in self.parameters:
            return False
        numbers = {name: self._number("ROTATION", name, alternative=0.0) for name in ("USED", "DATA_START", "RATE")}
        rate = self._number("POINT", "RATE", alternative=0.0)
        ratio = self._number("ROTATION", "RATIO", alternative=float(numbers["RATE"] // rate) if rate else 0.0)
        needed = numbers["USED"] * ratio * frames * 17 * 4
        available = len(self.data) - (numbers["DATA_START"] - 1) * _BLOCK
        return min(*numbers.values(), ratio) < 0 or needed > max(0.0, available)


def _distinct(*counts: float) -> list[int]:
    """Return the different positive counts of 16 bits, in their order."""
    return list(dict.fromkeys(int(count) for count in counts if 1 <= count <= _MAX_WORD))


def _same_rate(a: float, b: float) -> bool:
    return abs(a - b) <= _RATE_TOLERANCE * b


def _fills(data: bytes, layout: Layout, frames: int) -> bool:
    """Return True if so many frames end in the last block of the file."""
    return 0 <= len(data) - layout.start - frames * layout.frame_bytes < _BLOCK


def _looks_like_points(xyz: NDArray[Any], residual: NDArray[Any], real: bool) -> NDArray[np.bool_]:
    """Return the samples (T, P) that can be points: plausible coordinates, and a residual in the fourth word."""
    if not real:
        return np.asarray(residual >= -1)
    size = np.abs(xyz)
    with np.errstate(invalid="ignore"):
        plausible = (np.isnan(xyz) | (size == 0) | ((size > 1e-6) & (size < 1e7))).all(axis=2)
        coded = (residual < 1e-30) | ((residual == np.floor(residual)) & (residual <= _MAX_WORD))
    return np.asarray(plausible & coded)


def _changes_slowly(xyz: NDArray[Any], residual: NDArray[Any]) -> bool:
    """Return True if the coordinates (T, P, 3) of seen points change little from frame to frame."""
    seen = (residual >= 0)[..., None] & np.isfinite(xyz) & (xyz != 0)
    values = np.where(seen, xyz, np.nan).astype(np.float64)
    step = np.abs(np.diff(values, axis=0))
    if not np.isfinite(step).any():
        return False
    spread = np.nanmedian(np.abs(values - np.nanmedian(values)))
    return bool(np.nanquantile(step, 0.75) <= _MAX_STEP_RATIO * spread)


def _text(text: bytes) -> str:
    try:
        return text.decode("utf-8").rstrip(" ")
    except UnicodeDecodeError:
        return text.decode("cp1252", "replace").rstrip(" ")


def _shown(name: str) -> str:
    """Return the name of a group or parameter as it can be printed; never a text of the file."""
    return name if name.isidentifier() and name.isascii() and len(name) <= 32 else "(unnamed)"
