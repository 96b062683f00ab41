"""Mutators that damage a file: bytes, tokens of a text, fields of a C3D, members of a zip, opcodes of a pickle."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import zipfile
from collections.abc import Callable
from typing import Any

Mutator = Callable[[random.Random, bytes, list[bytes]], bytes]
"""(random generator, the file, valid files of its kind) -> the damaged file."""

_WORDS = (0, 1, 2, 3, 4, 7, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)
_DOUBLE_WORDS = (
    *(0, 1, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF),
    *(0x7F800000, 0xFF800000, 0x7FC00000, 0x7F7FFFFF, 0xBF800000),  # infinities, NaN, largest, -1 as floats
)
_TOKENS = (
    *("0", "-0", "-1", "1e308", "-1e308", "1e999", "1e-320", "nan", "inf", "-Infinity", "NaN", "", " ", "1_0", "0x10"),
    *("9" * 30, "9" * 400, "9" * 5000, "-" * 50, "1,5", "1e", "true", "null", "[]", "{}", '"x"', "\u0663", "\u2028"),
    *("\x00", "\ud7ff", "é", "\x1b[31m", "4294967296", "2147483648", "65536", "-32769", "1e17", "..", "/", "\\"),
    *("\t\t", "\n"),
)
_VALUES: tuple[Any, ...] = (
    *(0, -1, 1, 0.5, 1e308, -1e308, 1e17, 10**25, 10**400, -(10**400), 2**31, 2**63, True, False, None),
    *("", "x", "LASI"),
    *([], {}, [[]], [1, 2, 3], [None, None, None], {"a": {}}, "\ud800", "\x00", "\n", "/", "..", "a" * 3000, "../../x"),
    *(float("nan"), float("inf"), ["a"], [1e308, 1e308, 1e308], {"0": {}}, "é" * 200),
)
_KEYS = ("", "0", "-1", "x", "\ud800", "\n", "a" * 3000, "9" * 400, "..", "TYPE", "Frames", " LASI")
_MEMBERS = ("", "x.npy", "../x.npy", "/x.npy", "a" * 3000, "é.npy")
_SHAPES = ("1000000000000,", "0, 10000000000000", "-1,", "", "3,", "2, 3", "1,) * (9", "True,", "99999,")
_TYPES = ("|O", "<f4", "<f8", ">f8", "<U9999999", "|V8", "<M8[s]", "<c16", "|b1", "x", "<i8", "|S3")
_OPCODES = (
    *(b"cposix\nsystem\n(X\x05\x00\x00\x00true1tR", b"cos\nsystem\n(S'true'\ntR", b"cbuiltins\neval\n(S'1'\ntR"),
    *(b"\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R", b"ibuiltins\nexec\n(S'1'\n", b"c__builtin__\ngetattr\n"),
    *(b"cnumpy\nload\n(S'x'\ntR", b"cnumpy.core.multiarray\n_reconstruct\n", b"ctorch\nload\n", b"c__main__\nx\n"),
    *(b"B\xff\xff\xff\x7f", b"\x8e" + b"\xff" * 7 + b"\x00", b"\x96" + b"\x00" * 5 + b"\x01\x00\x00"),
    *(b"\x8b\xff\xff\xff\x7f", b"X\xff\xff\xff\xff", b"T\xff\xff\xff\x7f", b"\x95" + b"\x00" * 6 + b"\x01\x00"),
    *(b"\x82\x01", b"Q", b"P1\n", b"b", b"R", b"h\x00", b"h\x01" * 50, b"2" * 200, b"(" * 200, b"]" * 200, b"}" * 50),
    *(b".", b"0", b"a", b"s", b"u", b"e", b"t", b"\x85", b"I" + b"9" * 5000 + b"\n", b"I99999999999\n", b"L1L\n"),
    *(b"G\x7f\xf0\x00\x00\x00\x00\x00\x00", b"\x81", b"\x92", b"o"),
)
_GLOBALS = (
    *(b"cposix\nsystem\n", b"cbuiltins\neval\n", b"cnumpy\ndtype\n", b"cnumpy\nndarray\n"),
    *(b"cscipy.sparse\ncsc_matrix\n", b"c_codecs\nencode\n", b"ccollections\nOrderedDict\n", b"cchumpy.ch\nCh\n"),
    *(b"cnumpy\nrecarray\n", b"cx\ny\n"),
)

# ------------------------------------------------------------------------------------------ any bytes


def flip_bits(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    changed = bytearray(data)
    for _n in range(rng.choice((1, 1, 1, 2, 4, 16))):
        changed[_random_offset(rng, data)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def set_bytes(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    changed, at = bytearray(data), _random_offset(rng, data)
    run = min(rng.choice((1, 2, 4, 16, 300)), len(data) - at)
    changed[at : at + run] = rng.choice((bytes(run), b"\xff" * run, rng.randbytes(run)))
    return bytes(changed)


def set_number(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    changed, at = bytearray(data), _random_offset(rng, data)
    layout, values = rng.choice((("<H", _WORDS), (">H", _WORDS), ("<I", _DOUBLE_WORDS), (">I", _DOUBLE_WORDS)))
    value = struct.pack(layout, rng.choice(values))
    changed[at : at + len(value)] = value
    return bytes(changed[: len(data)])


def truncate(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    return data[: rng.choice((_random_offset(rng, data), rng.randrange(len(data)), len(data) - 1))]


def extend(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    more = rng.choice((1, 100, 512, 5000))
    return data + rng.choice((bytes(more), rng.randbytes(more), data[-more:], data[:more]))


def remove_bytes(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    at = _random_offset(rng, data)
    return data[:at] + data[at + rng.choice((1, 2, 4, 60, 512)) :]


def insert_bytes(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    at, run = _random_offset(rng, data), rng.choice((1, 2, 4, 60, 512))
    source = _random_offset(rng, data)
    return data[:at] + rng.choice((rng.randbytes(run), data[source : source + run])) + data[at:]


def splice(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    other, at = rng.choice(others), _random_offset(rng, data)
    return data[:at] + other[rng.choice((at, rng.randrange(len(other)))) :]


def _random_offset(rng: random.Random, data: bytes) -> int:
    """Draw the offset of a byte, more often near the beginning, where most formats have their header."""
    reach = rng.choice((64, 600, 3000, len(data)))
    return rng.randrange(max(1, min(reach, len(data))))


ANY: tuple[Mutator, ...] = (flip_bits, set_bytes, set_number, truncate, extend, remove_bytes, insert_bytes, splice)

# ------------------------------------------------------------------------------------------ text


def change_tokens(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    """Replace some words or numbers."""
    parts = re.split(rb"([\s,\[\]{}:\"]+)", data)
    for _n in range(rng.choice((1, 1, 2, 5))):
        reach = rng.choice((30, len(parts)))
        token = rng.choice(_TOKENS).encode("utf-8", "surrogatepass")
        parts[2 * rng.randrange((min(reach, len(parts)) + 1) // 2)] = token
    return b"".join(parts)


def change_lines(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    """Delete, duplicate or swap lines, change separators, or change all line endings."""
    lines = data.split(b"\n")
    k, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    what = rng.randrange(5)
    if what == 0:
        del lines[k]
    elif what == 1:
        lines.insert(j, lines[k])
    elif what == 2:
        lines[k], lines[j] = lines[j], lines[k]
    elif what == 3:
        lines[k] = lines[k].replace(b"\t", rng.choice((b" ", b"\t\t", b";", b"")), rng.choice((1, -1)))
    return rng.choice((b"\n", b"\r\n", b"\r", b"\x0c") if what == 4 else (b"\n",)).join(lines)


def change_values(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    """Replace values anywhere in a JSON file; rename, duplicate or delete keys."""
    content = json.loads(data)
    for _n in range(rng.choice((1, 1, 2))):
        holder, key = content, None
        while isinstance(holder, dict | list) and holder:
            key = rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
            below = holder[key]
            if not isinstance(below, dict | list) or not below or rng.random() < 0.25:
                break
            holder = below
        if not isinstance(holder, dict | list) or key is None:
            continue
        what = rng.randrange(8)
        if what == 0:
            del holder[key]
        elif what == 1 and isinstance(holder, dict):
            holder[rng.choice(_KEYS)] = holder.pop(key)
        elif what == 2 and isinstance(holder, list):
            holder.extend(holder[:])
        else:
            holder[key] = rng.choice(_VALUES)
    return json.dumps(content).encode("utf-8", "surrogatepass")


def nest_deeply(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    at, deep = _random_offset(rng, data), rng.choice((50, 2000, 100_000))
    return data[:at] + rng.choice((b"[", b'{"a":', b"[{")) * deep + data[at:]


TEXT: tuple[Mutator, ...] = (change_tokens, change_tokens, change_lines)
JSON: tuple[Mutator, ...] = (change_tokens, change_values, change_values, change_values, nest_deeply)

# ------------------------------------------------------------------------------------------ C3D


def change_header(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    """Change counts, frames, scale, data block or rate to another number or a neighbouring one."""
    changed = bytearray(data)
    for _n in range(rng.choice((1, 1, 2))):
        offsets = ("B", (0, 1)), ("<H", (2, 4, 6, 8, 10)), ("<I", (12,)), ("<H", (16, 18)), ("<I", (20,))
        at, layout = rng.choice([(at, layout) for layout, of_layout in offsets for at in of_layout])
        (value,) = struct.unpack_from(layout, changed, at)
        most = 1 << 8 * struct.calcsize(layout)
        values = _DOUBLE_WORDS if layout == "<I" else _WORDS
        new = rng.choice((rng.choice(values), value + rng.choice((-1, 1, 7)), value ^ 0x8000))
        struct.pack_into(layout, changed, at, new % most)
    return bytes(changed)


def change_parameters(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    """Change a field of a parameter record: name, group, offset, type, dimensions, value, length of description."""
    changed = bytearray(data)
    for _n in range(rng.choice((1, 1, 2))):
        records = c3d_records(bytes(changed))
        if not records:
            break
        at = rng.choice(records)
        length = abs(struct.unpack_from("b", changed, at)[0])
        fields = [at, at + 1, at + 2 + rng.randrange(length + 1), at + 2 + length, at + 3 + length]
        fields += [at + 4 + length + k for k in (0, 1, 2, 3, 4, 5, rng.randrange(40))]
        offset = min(rng.choice(fields), len(changed) - 4)
        if rng.random() < 0.3:
            layout, values = rng.choice((("<H", _WORDS), ("<I", _DOUBLE_WORDS)))
            struct.pack_into(layout, changed, offset, rng.choice(values))
        else:
            near = (changed[offset] + 1) % 256, (changed[offset] - 1) % 256
            changed[offset] = rng.choice((0, 1, 2, 4, 5, 7, 8, 127, 128, 255, *near))
    return bytes(changed)


def swap_names(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    """Swap the names or groups of two parameters or groups."""
    changed, records = bytearray(data), c3d_records(data)
    a, b = rng.choice(records), rng.choice(records)
    if rng.random() < 0.5:
        changed[a + 1], changed[b + 1] = changed[b + 1], changed[a + 1]
    else:
        run = min(abs(struct.unpack_from("b", data, k)[0]) for k in (a, b))
        a, b = a + 2, b + 2
        changed[a : a + run], changed[b : b + run] = data[b : b + run], data[a : a + run]
    return bytes(changed)


def change_samples(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    """Change coordinates, residuals and analog samples."""
    changed = bytearray(data)
    start = (struct.unpack_from("<H", data, 16)[0] - 1) * 512
    for _n in range(rng.choice((1, 20, 300))):
        at = rng.randrange(start, len(data) - 4)
        changed[at : at + 4] = rng.choice((rng.randbytes(4), struct.pack("<I", rng.choice(_DOUBLE_WORDS))))
    return bytes(changed)


def c3d_records(data: bytes) -> list[int]:
    """Return the offsets of the parameter records."""
    at = (data[0] - 1) * 512 + 4
    records: list[int] = []
    while 0 <= at < len(data) - 8 and len(records) < 1000:
        length, group = struct.unpack_from("bb", data, at)
        if not length or not group:
            break
        records.append(at)
        (offset,) = struct.unpack_from("<H", data, at + 2 + abs(length))
        if not offset:
            break
        at += 2 + abs(length) + offset
    return records


C3D: tuple[Mutator, ...] = (change_header, *(change_parameters,) * 3, swap_names, change_samples)

# ------------------------------------------------------------------------------------------ zip


def change_member(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Damage one member; its checksum is correct."""
    members = _members(data)
    name = rng.choice(list(members))
    damage = rng.choice((*ANY, claim_shape, claim_shape, *PICKLE)) if members[name] else extend
    members[name] = damage(rng, members[name] or b"\0", others)
    return _pack(rng, members.items())


def change_members(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    """Delete, rename, duplicate, swap or add members."""
    members = list(_members(data).items())
    k, j = rng.randrange(len(members)), rng.randrange(len(members))
    what = rng.randrange(5)
    if what == 0:
        del members[k]
    elif what == 1:
        members[k] = rng.choice((*_MEMBERS, members[j][0])), members[k][1]
    elif what == 2:
        members.append(members[k])
    elif what == 3:
        members[k], members[j] = (members[k][0], members[j][1]), (members[j][0], members[k][1])
    else:
        name = rng.choice(("more.npy", "more/", "data.pkl", "x/data.pkl"))
        members.append((name, rng.randbytes(rng.choice((0, 10, 1000)))))
    return _pack(rng, members)


def bomb(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    """Make a member of few bytes that decompresses to a quarter of a gigabyte."""
    members = _members(data)
    name = rng.choice(list(members))
    members[name] = members[name][: rng.choice((0, 128))] + bytes(1 << 28)
    return _pack(rng, members.items(), zipfile.ZIP_DEFLATED)


def claim_shape(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    """Change the shape or type in an array's header."""
    data = re.sub(rb"'shape': \([^)]*\)", f"'shape': ({rng.choice(_SHAPES)})".encode(), data, count=1)
    if rng.random() < 0.5:
        data = re.sub(rb"'descr': '[^']*'", f"'descr': '{rng.choice(_TYPES)}'".encode(), data, count=1)
    return data


def _members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _pack(rng: random.Random, members: Any, compression: int | None = None) -> bytes:
    stream = io.BytesIO()
    methods = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA
    with zipfile.ZipFile(stream, "w", rng.choice(methods) if compression is None else compression) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, compress_type=archive.compression)
    return stream.getvalue()


# ------------------------------------------------------------------------------------------ pickles


def put_opcodes(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    """Insert opcodes: calls, huge lengths, references to earlier objects."""
    changed = data
    for _n in range(rng.choice((1, 1, 3))):
        at, piece = _random_offset(rng, changed), rng.choice(_OPCODES)
        changed = changed[:at] + piece + changed[at + rng.choice((0, 0, 1, len(piece))) :]
    return changed


def rename_globals(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    """Replace the name of a class or function that a pickle refers to."""
    names = [match.span() for match in re.finditer(rb"c[a-z_.0-9]+\n\w+\n", data)]
    if not names:
        return put_opcodes(rng, data, [])
    start, end = rng.choice(names)
    return data[:start] + rng.choice(_GLOBALS) + data[end:]


PICKLE: tuple[Mutator, ...] = (put_opcodes, rename_globals)
NPY: tuple[Mutator, ...] = (claim_shape, *(put_opcodes,) * 3, rename_globals)
ZIP: tuple[Mutator, ...] = (*(change_member,) * 4, *(change_members,) * 2)
