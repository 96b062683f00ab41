"""Write C3D files in every number format, and TRC files, from a description whose parts can be changed one by one."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

INTEL, DEC, SGI = 84, 85, 86
BLOCK = 512
POINT, ANALOG, EVENT, TRIAL = 1, 2, 3, 4


@dataclass
class Group:
    """A group of parameters."""

    number: int
    name: str


@dataclass
class Parameter:
    """One parameter: texts (kind -1), bytes (1), 2-byte integers (2) or floats (4)."""

    group: int
    name: str
    kind: int
    values: list[Any]
    sizes: tuple[int, ...] | None = None  # None: one value without dimensions, several in one dimension
    offset: int | None = None  # to the next record, if it is to be wrong


@dataclass
class C3dContent:
    """What a C3D file holds and states; the header states what the fields say unless ``header`` has another value."""

    labels: list[str]
    positions: NDArray[np.float32]  # (T, P, 3) mm; NaN where missing
    rate_hz: float
    channels: int = 0
    samples: int = 1  # analog samples per frame and channel
    analog_rate_hz: float = 0.0
    processor: int = INTEL
    scale: float = -1.0  # negative: floats
    first_frame: int = 1
    seed: int = 0
    analog: NDArray[np.float64] | None = None  # (T, samples · channels) as stored; None: noise
    records: list[Group | Parameter] = field(default_factory=list)
    header: dict[str, Any] = field(default_factory=dict)
    blocks_stated: int | None = None  # of the parameter section

    def __post_init__(self) -> None:
        if self.records:
            return
        T, P = self.positions.shape[:2]
        self.records = [
            Group(POINT, "POINT"),
            Parameter(POINT, "USED", 2, [P]),
            Parameter(POINT, "SCALE", 4, [self.scale]),
            Parameter(POINT, "RATE", 4, [self.rate_hz]),
            Parameter(POINT, "DATA_START", 2, [None]),
            Parameter(POINT, "FRAMES", 2, [min(T, 0xFFFF)]),
            Parameter(POINT, "LABELS", -1, list(self.labels)),
            Parameter(POINT, "UNITS", -1, ["mm"]),
            Group(ANALOG, "ANALOG"),
            Parameter(ANALOG, "USED", 2, [self.channels]),
            Parameter(ANALOG, "RATE", 4, [self.analog_rate_hz or self.rate_hz * self.samples]),
            Parameter(ANALOG, "GEN_SCALE", 4, [1.0]),
            Parameter(ANALOG, "SCALE", 4, [1.0] * self.channels, (self.channels,)),
            Parameter(ANALOG, "OFFSET", 2, [0] * self.channels, (self.channels,)),
            Parameter(ANALOG, "LABELS", -1, [f"Force.F{k}" for k in range(self.channels)]),
            Group(EVENT, "EVENT"),
            Parameter(EVENT, "USED", 2, [2]),
            Parameter(EVENT, "CONTEXTS", -1, ["Left", "Right"]),
            Parameter(EVENT, "LABELS", -1, ["Foot Strike", "Foot Off"]),
            Parameter(EVENT, "TIMES", 4, [0.0, 0.1, 0.0, 0.2], (2, 2)),
        ]

    def parameter(self, group: int, name: str) -> Parameter:
        """Return a parameter by the number of its group and its name."""
        return next(
            each for each in self.records if isinstance(each, Parameter) and (each.group, each.name) == (group, name)
        )

    @property
    def frame_bytes(self) -> int:
        """Bytes per frame."""
        words = 4 * self.positions.shape[1] + self.channels * self.samples
        return words * (4 if self.scale < 0 else 2)

    def expected(self) -> NDArray[np.float64]:
        """Return the positions as the file stores them, (T, P, 3)."""
        if self.scale < 0:
            return self.positions.astype(np.float64)
        return np.rint(self.positions / np.float64(np.float32(self.scale))) * np.float64(np.float32(self.scale))

    def to_bytes(self) -> bytes:
        """Return the file."""
        section_blocks = -(-(4 + len(self._records(0))) // BLOCK)
        start_block = 2 + section_blocks
        records = self._records(start_block)
        stated = section_blocks if self.blocks_stated is None else self.blocks_stated
        section = bytes([1, 0x50, stated % 256, self.processor]) + records
        data = self._data()
        file = self._header(start_block) + section.ljust(section_blocks * BLOCK, b"\0") + data
        return file.ljust(-(-len(file) // BLOCK) * BLOCK, b"\0")

    def data_start(self) -> int:
        """Return the byte at which the points begin."""
        return BLOCK * (1 + -(-(4 + len(self._records(0))) // BLOCK))

    @property
    def _order(self) -> str:
        return ">" if self.processor == SGI else "<"

    def floats(self, values: Any) -> bytes:
        """Return 4-byte floats; those of DEC are four times the value, with swapped halves."""
        array = np.asarray(values, dtype=np.float32)
        if self.processor != DEC:
            return array.astype(f"{self._order}f4").tobytes()
        with np.errstate(invalid="ignore", over="ignore"):
            words = (array * np.float32(4)).astype("<f4").view("<u4")
        return ((words >> 16) | (words << 16)).astype("<u4").tobytes()

    def integers(self, values: Any) -> bytes:
        """Return 2-byte integers."""
        return (np.asarray(values, dtype=np.int64) & 0xFFFF).astype(f"{self._order}u2").tobytes()

    def _header(self, start_block: int) -> bytes:
        T, P = self.positions.shape[:2]
        last = self.first_frame + T - 1
        states = {
            "points": P,
            "analog_words": self.channels * self.samples,
            "first": self.first_frame,
            "last": min(last, 0xFFFF),
            "scale": self.scale,
            "start_block": start_block,
            "samples": self.samples,
            "rate": self.rate_hz,
        } | self.header
        counts = self.integers([states[name] for name in ("points", "analog_words", "first", "last")])
        head = b"\x02\x50" + counts + self.integers([10]) + self.floats([states["scale"]])
        head += self.integers([states["start_block"], states["samples"]]) + self.floats([states["rate"]])
        return head.ljust(BLOCK, b"\0")

    def _records(self, start_block: int) -> bytes:
        return b"".join(
            self._record(each, start_block, last=k == len(self.records) - 1) for k, each in enumerate(self.records)
        )

    def _record(self, record: Group | Parameter, start_block: int, *, last: bool) -> bytes:
        name = record.name.encode("latin-1")
        if isinstance(record, Group):
            content, number, offset = b"", -record.number, None
        else:
            content, number, offset = self._content(record, start_block), record.group, record.offset
        content += b"\0"  # no description
        stated = 0 if last else 2 + len(content)
        return (
            struct.pack("bb", len(name), number)
            + name
            + self.integers([stated if offset is None else offset])
            + content
        )

    def _content(self, parameter: Parameter, start_block: int) -> bytes:
        values: list[Any] = [start_block if value is None else value for value in parameter.values]
        if parameter.kind == -1:
            width = max((len(value) for value in values), default=0)
            sizes: Sequence[int] = (width, len(values))
            data = b"".join(value.encode("latin-1").ljust(width) for value in values)
        else:
            sizes = () if parameter.sizes is None and len(values) == 1 else (len(values),)
            data = bytes(values) if parameter.kind == 1 else b""
            data = self.integers(values) if parameter.kind == 2 else data
            data = self.floats(values) if parameter.kind == 4 else data
        sizes = sizes if parameter.sizes is None else parameter.sizes
        return struct.pack("bB", parameter.kind, len(sizes)) + bytes(sizes) + data

    def _data(self) -> bytes:
        T, P = self.positions.shape[:2]
        missing = np.asarray(np.isnan(self.positions).any(axis=2))
        xyzr = np.zeros((T, P, 4), dtype=np.float32)
        xyzr[..., :3] = np.where(missing[..., None], 0.0, self.positions)
        xyzr[..., 3] = np.where(missing, -1.0, 1.0)
        rng = np.random.default_rng(self.seed)
        noise = np.rint(rng.normal(0, 300, (T, self.channels * self.samples)))
        analog = noise if self.analog is None else self.analog
        if self.scale < 0:
            return self.floats(np.concatenate([xyzr.reshape(T, -1), analog], axis=1))
        words = np.rint(xyzr / np.float64(np.float32(self.scale)))
        words[..., 3] = xyzr[..., 3]
        return self.integers(np.concatenate([words.reshape(T, -1), analog], axis=1))


@dataclass
class TrcContent:
    """What a TRC file holds and states."""

    labels: list[str]
    positions: NDArray[np.float64]  # (T, M, 3) mm; NaN where missing
    rate_hz: float
    header: dict[str, str] = field(default_factory=dict)  # values that the header states instead of the true ones
    cells: dict[tuple[int, int], str] = field(default_factory=dict)  # other texts: (frame, column of the row)
    names: list[str] | None = None  # fields of the line Frame#, if they are not the labels in every third column

    def rows(self) -> list[list[str]]:
        """Return the fields of each data line."""
        rows = []
        for t, row in enumerate(self.positions.reshape(len(self.positions), -1)):
            fields = [str(t + 1), f"{t / self.rate_hz:.5f}", *("" if np.isnan(x) else f"{x:.4f}" for x in row)]
            rows.append([self.cells.get((t, k), text) for k, text in enumerate(fields)])
        return rows

    def expected(self) -> NDArray[np.float64]:
        """Return the positions as the file stores them, (T, M, 3)."""
        return np.round(self.positions, 4)

    def lines(self) -> list[str]:
        """Return the lines of the file."""
        T, M = self.positions.shape[:2]
        states = {
            "DataRate": f"{self.rate_hz:g}",
            "CameraRate": f"{self.rate_hz:g}",
            "NumFrames": str(T),
            "NumMarkers": str(M),
            "Units": "mm",
        } | self.header
        names = self.names or [field for label in self.labels for field in (label, "", "")]
        axes = [f"{axis}{m + 1}" for m in range(M) for axis in "XYZ"]
        return [
            "PathFileType\t4\t(X/Y/Z)\twalk.trc",
            "\t".join(states),
            "\t".join(states.values()),
            "\t".join(["Frame#", "Time", *names]),
            "\t".join(["", "", *axes]),
            *("\t".join(row) for row in self.rows()),
        ]

    def to_bytes(self) -> bytes:
        """Return the file."""
        return ("\n".join(self.lines()) + "\n").encode()
