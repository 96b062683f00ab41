"""Files that hold a dictionary of arrays, read without running what a pickle asks for.

A pickle can name any function and have it called while it loads. Body models come as pickles from the
internet, so this reader admits the handful of names that rebuild numpy arrays and sparse matrices and
refuses all others by name. Expressions of the package chumpy, which SMPL's pickles hold, are data too: those that
stand for an array become one, the others stay what they are called. It is the only place in the suite that unpickles
a body model.
"""

from __future__ import annotations

import math
import pickle
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from gait.errors import GaitError

MAX_BYTES = 1 << 30
"""Larger files (unpacked) are refused; the largest released body models have about half of this."""

_MOST_OPCODES = 200_000  # in one pickle; a body model or checkpoint has some thousand
_MOST_HEADER = 1 << 16  # bytes of an .npy header

_MAX_DEPTH = 16
_ZIP_MAGIC = b"PK\x03\x04"
_EMPTY_ZIP_MAGIC = b"PK\x05\x06"
_NPY_MAGIC = b"\x93NUMPY"
_SPARSE_FORMATS = ("csc", "csr", "coo")
_BYTE_ORDERS: dict[str, Literal["<", ">", "=", "|"]] = {"<": "<", ">": ">", "=": "=", "|": "|"}


class _DtypeParts:
    """Takes what a pickle says of a dtype; numpy would believe its flags, so only plain kinds are rebuilt."""

    def __init__(self, code: str, align: Any = 0, copy: Any = 1):
        self.code = str(code)
        self.order = "="

    def __setstate__(self, state: Any) -> None:
        if len(state) > 3 and (state[2] is not None or state[3] is not None):
            raise GaitError("holds records, not plain numbers")
        self.order = str(state[1])[:8]

    def rebuilt(self) -> np.dtype[Any]:
        """The dtype: numbers, booleans, text or objects."""
        if not re.fullmatch(r"O[48]?|\?|[biufcSU]\d{1,9}", self.code) or self.order not in _BYTE_ORDERS:
            raise GaitError(f"holds an array of unknown kind {self.code[:20]!r}")
        return np.dtype(object if self.code[0] == "O" else self.code).newbyteorder(_BYTE_ORDERS[self.order])


class _ArrayParts:
    """Takes the state of a pickled numpy array; checked before numpy sees it."""

    def __init__(self) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        self.state = tuple(state)


class _SparseParts:
    """Takes the attributes of a pickled scipy matrix; checked before scipy sees them."""

    sparse_format = ""


class _ChumpyParts:
    """Takes the attributes of a pickled chumpy expression, whatever kind it is."""

    expression = ""


@dataclass(frozen=True)
class ChumpyExpression:
    """An entry that is not an array but a formula; chumpy itself would have to be run for its value."""

    name: str  # of its class, e.g. "chumpy.ch_ops.add"


class _ArrayType:
    """Stands for ``numpy.ndarray`` itself in a pickle."""


def _admitted_names() -> dict[tuple[str, str], Any]:
    """(module, name) -> what the pickle gets for it.

    Made anew for every file: a pickle may set attributes on what it was given, and that must not outlive
    it.
    """
    array_type = type("ndarray", (_ArrayType,), {})
    array_parts = type("array_parts", (_ArrayParts,), {})
    dtype_parts = type("dtype_parts", (_DtypeParts,), {})
    sparse = {
        f"{kind}_{suffix}": type(f"{kind}_parts", (_SparseParts,), {"sparse_format": kind})
        for kind in _SPARSE_FORMATS
        for suffix in ("matrix", "array")
    }

    def encode(text: str, encoding: str = "latin1") -> bytes:  # how protocol 2 writes bytes
        if encoding not in ("latin1", "latin-1", "iso-8859-1"):
            raise GaitError(f"encodes text as {str(encoding)[:20]!r}")
        return text.encode("latin1")

    def empty_bytes(*values: Any) -> bytes:  # how protocol 2 writes b""
        if values:
            raise GaitError("calls bytes with an argument")
        return b""

    def reconstruct(subtype: Any, shape: Any, code: Any) -> Any:
        if subtype is not array_type:
            raise GaitError("rebuilds an array of a class that is not numpy.ndarray")
        return array_parts()

    def frombuffer(buffer: Any, dtype: Any, shape: Any, order: Any) -> Any:
        parts = array_parts()
        parts.__setstate__((1, shape, dtype, order == "F", bytes(buffer)))
        return parts

    def scalar(dtype: Any, raw: Any) -> Any:
        return frombuffer(_as_bytes(raw), dtype, (), "C")

    def reconstructor(cls: Any, base: Any, state: Any) -> Any:  # how protocols 0 and 1 make an object
        known = isinstance(cls, type) and issubclass(cls, _SparseParts | _ChumpyParts)
        if not known or base is not object or state is not None:
            raise GaitError("rebuilds an object that is no sparse matrix")
        return cls()

    def ordered_dict(*_: Any) -> dict[Any, Any]:  # filled by the pickle afterwards; Python 2's stay empty
        return {}

    def no_set(*_: Any) -> None:  # chumpy's bookkeeping
        return None

    admitted: dict[tuple[str, str], Any] = {
        ("_codecs", "encode"): encode,
        ("collections", "OrderedDict"): ordered_dict,
        ("numpy", "ndarray"): array_type,
        ("numpy", "dtype"): dtype_parts,
    }
    for builtins in ("builtins", "__builtin__"):
        admitted[builtins, "bytes"] = empty_bytes
        admitted[builtins, "object"] = object
        admitted[builtins, "set"] = no_set
    for copyreg in ("copyreg", "copy_reg"):
        admitted[copyreg, "_reconstructor"] = reconstructor
    for core in ("numpy.core", "numpy._core"):
        admitted[f"{core}.multiarray", "_reconstruct"] = reconstruct
        admitted[f"{core}.multiarray", "scalar"] = scalar
        admitted[f"{core}.numeric", "_frombuffer"] = frombuffer
    for name, stand_in in sparse.items():
        kind = name.partition("_")[0]
        for module in ("scipy.sparse", f"scipy.sparse.{kind}", f"scipy.sparse._{kind}"):
            admitted[module, name] = stand_in
    return admitted


class _Counted(dict[int, Any]):
    """What each opcode does, as long as there are not too many."""

    left = _MOST_OPCODES

    def __getitem__(self, key: int) -> Any:
        self.left -= 1
        if self.left < 0:
            raise GaitError(f"its pickle has more than {_MOST_OPCODES} steps, so it is no file of arrays")
        return super().__getitem__(key)


class _Bounded:
    """A stream that gives no more bytes than are there, without making room for what a pickle asks for."""

    def __init__(self, stream: IO[bytes], size: int):
        self._stream = stream
        self._left = size

    def read(self, size: int = -1, /) -> bytes:
        piece = self._stream.read(min(size, self._left) if size >= 0 else self._left)
        self._left -= len(piece)
        return piece

    def readline(self) -> bytes:
        line = self._stream.readline(self._left)
        self._left -= len(line)
        return line


class LimitedUnpickler(pickle._Unpickler):
    """Python's own unpickler, which takes no more time and memory than its file has bytes.

    The C one reserves as much memory as a few hostile bytes ask for. A body model has some hundred opcodes, so nothing
    is lost. What a pickle may name is for a subclass to say.
    """

    def __init__(self, stream: IO[bytes], size: int):
        super().__init__(_Bounded(stream, size), fix_imports=False, encoding="latin1")
        opcodes = _Counted(pickle._Unpickler.dispatch)
        opcodes[pickle.BYTEARRAY8[0]] = type(self)._load_bytearray
        self.dispatch = opcodes  # type: ignore[misc]

    def _load_bytearray(self) -> None:  # pickle's own makes room first
        size = int.from_bytes(self.read(8), "little")  # type: ignore[attr-defined]
        data = self.read(size)  # type: ignore[attr-defined]
        if len(data) < size:
            raise EOFError("the pickle is cut off")
        self.append(bytearray(data))  # type: ignore[attr-defined]

    def get_extension(self, code: int) -> None:
        """Never: such names are not written in the file."""
        raise GaitError("its pickle asks for names registered elsewhere")


class _GuardedUnpickler(LimitedUnpickler):
    """Admits the names that rebuild arrays, sparse matrices and chumpy's expressions; raises GaitError at any other."""

    def __init__(self, stream: IO[bytes], size: int):
        super().__init__(stream, size)
        self._admitted = _admitted_names()

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "chumpy":
            stand_in = type("chumpy_parts", (_ChumpyParts,), {"expression": f"{module}.{name}"[:120]})
            return self._admitted.setdefault((module, name), stand_in)
        try:
            return self._admitted[module, name]
        except KeyError:
            asked = f"{module}.{name}"[:120].encode("unicode_escape").decode("ascii")
            raise GaitError(f"its pickle asks for {asked}, which is no array: refused, nothing was run") from None

    def persistent_load(self, pid: Any) -> Any:
        raise GaitError("its pickle refers to objects outside the file")


def _as_bytes(raw: Any) -> bytes:
    """Raw numbers; Python 2 wrote them as text."""
    if isinstance(raw, str):
        return raw.encode("latin1")
    if isinstance(raw, bytes | bytearray):
        return bytes(raw)
    raise GaitError("holds an array without its numbers")


class _Rebuilder:
    """Turns what the unpickler collected into arrays, matrices and names of expressions, each part once."""

    def __init__(self, size: int) -> None:
        self._done: dict[int, Any] = {}
        # Arrays may share their bytes in a pickle, a few of them; a thousand would fill all memory.
        self._bytes_left = 4 * size + (1 << 20)

    def value(self, raw: Any, depth: int = 0) -> Any:
        """The same nest of dicts, lists and tuples (as lists), with arrays and matrices in it."""
        if depth > _MAX_DEPTH:
            raise GaitError(f"nested more than {_MAX_DEPTH} deep")
        if not isinstance(raw, dict | list | tuple | _ArrayParts | _SparseParts | _ChumpyParts):
            return raw
        if id(raw) not in self._done:  # the unpickler's memo keeps every part alive, so ids stay unique
            self._done[id(raw)] = self._rebuilt(raw, depth + 1)
        return self._done[id(raw)]

    def _spend(self, count: int) -> None:
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise GaitError("its arrays are many times as large as the file")

    def _rebuilt(self, raw: Any, depth: int) -> Any:
        if isinstance(raw, dict):
            return {key: self.value(item, depth) for key, item in raw.items()}
        if isinstance(raw, list | tuple):
            return [self.value(item, depth) for item in raw]
        if isinstance(raw, _ArrayParts):
            return self._array(raw, depth)
        if isinstance(raw, _ChumpyParts):
            return self._expression(vars(raw), raw.expression, depth)
        return self._matrix(vars(raw), raw.sparse_format, depth)

    def _array(self, parts: _ArrayParts, depth: int) -> Any:
        shape, dtype_parts, fortran, content = parts.state[-4:]
        if not isinstance(dtype_parts, _DtypeParts):
            raise GaitError("holds an array without a dtype")
        shape = tuple(int(n) for n in shape)
        dtype = dtype_parts.rebuilt()
        order: Literal["F", "C"] = "F" if fortran else "C"
        if not dtype.hasobject:
            numbers = _as_bytes(content)
            self._spend(len(numbers))
            return np.frombuffer(numbers, dtype=dtype).reshape(shape, order=order).copy(order="C")
        if not isinstance(content, list | tuple):
            raise GaitError("holds an array of objects without its objects")
        self._spend(8 * len(content))
        items = np.empty(len(content), dtype=object)
        for i, item in enumerate(content):
            items[i] = self.value(item, depth)
        return items.reshape(shape, order=order)

    def _expression(self, parts: dict[str, Any], name: str, depth: int) -> NDArray[Any] | ChumpyExpression:
        """The array that a variable or a selection stands for (chumpy 0.70, ch.Ch and reordering.Select)."""
        if name not in ("chumpy.ch.Ch", "chumpy.reordering.Select"):
            return ChumpyExpression(name)
        whole = self.value(parts["x" if name == "chumpy.ch.Ch" else "a"], depth)
        if isinstance(whole, ChumpyExpression):
            return whole
        if name == "chumpy.ch.Ch":
            return np.asarray(whole)
        indices = np.asarray(self.value(parts["idxs"], depth))
        self._spend(8 * indices.size)
        chosen = np.ravel(whole)[indices]
        shape = parts.get("preferred_shape")
        return chosen if shape is None else chosen.reshape([int(n) for n in self.value(shape, depth)])

    def _matrix(self, parts: dict[str, Any], kind: str, depth: int) -> scipy.sparse.csr_matrix:
        def array(name: str) -> NDArray[Any]:
            return np.asarray(self.value(parts[name], depth))

        rows, columns = (int(n) for n in parts["_shape" if "_shape" in parts else "shape"])
        if rows < 0 or columns < 0 or (rows + 1) * (columns + 1) * 8 > MAX_BYTES:
            raise GaitError(f"holds a sparse matrix of {rows} by {columns}")
        if kind == "coo":
            if "coords" in parts:
                row, column = self.value(parts["coords"], depth)
            else:
                row, column = array("row"), array("col")
            matrix = scipy.sparse.coo_matrix((array("data"), (row, column)), shape=(rows, columns))
        else:
            build = scipy.sparse.csc_matrix if kind == "csc" else scipy.sparse.csr_matrix
            matrix = build((array("data"), array("indices"), array("indptr")), shape=(rows, columns))
            matrix.check_format(full_check=True)
        return matrix.tocsr()


def _unpickled(stream: IO[bytes], size: int) -> Any:
    unpickler = _GuardedUnpickler(stream, size)
    content = _Rebuilder(size).value(unpickler.load())
    # numpy.save pickles a dict as an array of no dimensions that holds it
    if isinstance(content, np.ndarray) and content.shape == ():
        return content.item()
    return content


def _read_npy(stream: IO[bytes], size: int) -> Any:
    """One array in numpy's own format; an object array goes through the guarded unpickler."""
    start = stream.read(8)
    if not start.startswith(_NPY_MAGIC) or len(start) < 8:
        raise GaitError("not an .npy array")
    version = (start[6], start[7])
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
        (3, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise GaitError(f".npy version {version[0]}.{version[1]} is unknown")
    header = _Bounded(stream, min(size, _MOST_HEADER))
    shape, fortran, dtype = read_header(header)
    if dtype.hasobject:
        return _unpickled(stream, size)
    if dtype.kind not in "biufcSU" or dtype.names is not None:
        raise GaitError(f"holds an array of {dtype}, not plain numbers"[:200])
    count = math.prod(shape)
    if min(shape, default=0) < 0 or count * dtype.itemsize > size:
        raise GaitError(f"claims an array of shape {shape}, more than the file holds"[:200])
    numbers = np.empty(count, dtype=dtype)
    left = numbers.view(np.uint8).data if numbers.nbytes else memoryview(b"")
    while len(left):
        if not (got := stream.readinto(left)):  # type: ignore[attr-defined]
            raise GaitError("is cut off in the middle of an array")
        left = left[got:]
    return numbers.reshape(shape, order="F" if fortran else "C")


def _read_npz(stream: IO[bytes], size: int) -> dict[str, Any]:
    with zipfile.ZipFile(stream) as archive:
        members = archive.infolist()
        unpacked = sum(member.file_size for member in members)
        if unpacked > MAX_BYTES:
            raise GaitError(f"unpacks to {unpacked >> 20} MiB, more than {MAX_BYTES >> 20} MiB")
        arrays: dict[str, Any] = {}
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name in arrays:
                raise GaitError(f"holds {name[:80]} twice")
            with archive.open(member) as part:
                arrays[name] = _read_npy(part, member.file_size)
                if part.read(1):  # its checksum is compared at its end
                    raise GaitError(f"{name[:80]} is more than one array")
        return arrays


def read_array_dict(path: str | Path) -> dict[str, Any]:
    """The dictionary of arrays in an ``.npy`` (one pickled dict), ``.npz`` or ``.pkl`` file.

    Which of the three it is shows in its first bytes, not in its name. Python 2 pickles read as latin1.
    Sparse matrices come back as ``scipy.sparse.csr_matrix``, tuples as lists, chumpy's variables as arrays and
    its formulas as ``ChumpyExpression``. Nothing in the file is executed.

    Raises GaitError, one line with the file's name, if the file is missing, cut off, too large, damaged,
    holds no dictionary, or names anything but numpy arrays, sparse matrices and chumpy's expressions.
    """
    path = Path(path)
    readers: dict[bytes, Callable[[IO[bytes], int], Any]] = {
        _ZIP_MAGIC: _read_npz,
        _EMPTY_ZIP_MAGIC: _read_npz,
        _NPY_MAGIC: _read_npy,
    }
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            if size > MAX_BYTES:
                raise GaitError(f"{size >> 20} MiB large, more than {MAX_BYTES >> 20} MiB")
            stream.seek(0)
            start = stream.read(8)
            stream.seek(0)
            read = next((reader for magic, reader in readers.items() if start.startswith(magic)), _unpickled)
            content = read(stream, size)
    except GaitError as error:
        raise GaitError(f"{path}: {error}.") from None
    except FileNotFoundError:
        raise GaitError(f"{path}: no such file.") from None
    except OSError as error:
        raise GaitError(f"{path}: cannot be read ({error.strerror or type(error).__name__}).") from None
    except Exception as error:
        # A damaged pickle, zip or header can raise nearly anything; to a person it all means the same.
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise GaitError(f"{path}: damaged, cut off, or no file of arrays ({reason}).") from None
    if not isinstance(content, dict):
        found = (
            f"an array of shape {content.shape}" if isinstance(content, np.ndarray) else f"a {type(content).__name__}"
        )
        raise GaitError(f"{path}: holds {found}, not a dictionary of arrays.")
    return {str(key): value for key, value in content.items()}
