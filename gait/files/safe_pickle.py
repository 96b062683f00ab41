"""Read dictionaries of arrays from ``.npy``, ``.npz`` and ``.pkl`` files without running code.

A pickle can name any function, which is called when the pickle is loaded. Body models are pickles from the internet, so
this reader allows only the names that rebuild numpy arrays and sparse matrices, and reports any other name as an error.
Expressions of the package chumpy, which SMPL's pickles contain, are treated as data: variables and selections become
arrays, others a ``ChumpyExpression``. Body models are unpickled nowhere else in this package.
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
"""Maximum size of a file, unpacked; the largest released body models have about half of this."""

_MAX_OPCODES = 200_000  # per pickle; a body model or checkpoint has a few thousand
_MAX_HEADER_BYTES = 1 << 16  # of an .npy file

_MAX_DEPTH = 16
_ZIP_MAGIC = b"PK\x03\x04"
_EMPTY_ZIP_MAGIC = b"PK\x05\x06"
_NPY_MAGIC = b"\x93NUMPY"
_SPARSE_FORMATS = ("csc", "csr", "coo")
_BYTE_ORDERS: dict[str, Literal["<", ">", "=", "|"]] = {"<": "<", ">": ">", "=": "=", "|": "|"}


class _DtypeParts:
    """Collects the pickled state of a dtype. Only simple kinds are rebuilt, since numpy would trust any flags."""

    def __init__(self, code: str, align: Any = 0, copy: Any = 1):
        self.code = str(code)
        self.order = "="

    def __setstate__(self, state: Any) -> None:
        if len(state) > 3 and (state[2] is not None or state[3] is not None):
            raise GaitError("contains records, not plain numbers")
        self.order = str(state[1])[:8]

    def rebuilt(self) -> np.dtype[Any]:
        """Return the dtype: numbers, booleans, text or objects."""
        if not re.fullmatch(r"O[48]?|\?|[biufcSU]\d{1,9}", self.code) or self.order not in _BYTE_ORDERS:
            raise GaitError(f"contains an array of unknown kind {self.code[:20]!r}")
        return np.dtype(object if self.code[0] == "O" else self.code).newbyteorder(_BYTE_ORDERS[self.order])


class _ArrayParts:
    """Collects the state of a pickled numpy array, to be checked before the array is built."""

    def __init__(self) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        self.state = tuple(state)


class _SparseParts:
    """Collects the attributes of a pickled scipy matrix, to be checked before the matrix is built."""

    sparse_format = ""


class _ChumpyParts:
    """Collects the attributes of a pickled chumpy expression of any kind."""

    expression = ""


@dataclass(frozen=True)
class ChumpyExpression:
    """An entry that is a formula, not an array; only chumpy could compute its value."""

    name: str  # of its class, e.g. "chumpy.ch_ops.add"


class _ArrayType:
    """Placeholder for the class ``numpy.ndarray`` in a pickle."""


def _allowed_names() -> dict[tuple[str, str], Any]:
    """Return the placeholders for the allowed names: (module, name) -> placeholder.

    They are created anew for each file, since a pickle can set attributes on them.
    """
    array_type = type("ndarray", (_ArrayType,), {})
    array_parts = type("array_parts", (_ArrayParts,), {})
    dtype_parts = type("dtype_parts", (_DtypeParts,), {})
    sparse = {
        f"{kind}_{suffix}": type(f"{kind}_parts", (_SparseParts,), {"sparse_format": kind})
        for kind in _SPARSE_FORMATS
        for suffix in ("matrix", "array")
    }

    def encode(text: str, encoding: str = "latin1") -> bytes:  # protocol 2 calls this for bytes
        if encoding not in ("latin1", "latin-1", "iso-8859-1"):
            raise GaitError(f"encodes text as {str(encoding)[:20]!r}")
        return text.encode("latin1")

    def empty_bytes(*values: Any) -> bytes:  # protocol 2 calls this for b""
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

    def reconstructor(cls: Any, base: Any, state: Any) -> Any:  # protocols 0 and 1 call this for objects
        known = isinstance(cls, type) and issubclass(cls, _SparseParts | _ChumpyParts)
        if not known or base is not object or state is not None:
            raise GaitError("rebuilds an object that is not a sparse matrix")
        return cls()

    def ordered_dict(*_: Any) -> dict[Any, Any]:  # the pickle fills it later; those of Python 2 stay empty
        return {}

    def no_set(*_: Any) -> None:  # internal data of chumpy
        return None

    allowed: dict[tuple[str, str], Any] = {
        ("_codecs", "encode"): encode,
        ("collections", "OrderedDict"): ordered_dict,
        ("numpy", "ndarray"): array_type,
        ("numpy", "dtype"): dtype_parts,
    }
    for builtins in ("builtins", "__builtin__"):
        allowed[builtins, "bytes"] = empty_bytes
        allowed[builtins, "object"] = object
        allowed[builtins, "set"] = no_set
    for copyreg in ("copyreg", "copy_reg"):
        allowed[copyreg, "_reconstructor"] = reconstructor
    for core in ("numpy.core", "numpy._core"):
        allowed[f"{core}.multiarray", "_reconstruct"] = reconstruct
        allowed[f"{core}.multiarray", "scalar"] = scalar
        allowed[f"{core}.numeric", "_frombuffer"] = frombuffer
    for name, placeholder in sparse.items():
        kind = name.partition("_")[0]
        for module in ("scipy.sparse", f"scipy.sparse.{kind}", f"scipy.sparse._{kind}"):
            allowed[module, name] = placeholder
    return allowed


class _OpcodeBudget(dict[int, Any]):
    """The opcode table of an unpickler; it raises GaitError after too many opcodes."""

    left = _MAX_OPCODES

    def __getitem__(self, key: int) -> Any:
        self.left -= 1
        if self.left < 0:
            raise GaitError(f"its pickle has more than {_MAX_OPCODES} opcodes, too many for a file of arrays")
        return super().__getitem__(key)


class _LimitedStream:
    """A stream that never allocates more than the remaining bytes, however many a pickle requests."""

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
    """Pure-Python unpickler whose time and memory are bounded by the file size; a subclass defines the allowed names.

    The C unpickler would allocate any amount of memory that a few hostile bytes request. Its speed is not needed, since
    body models have few opcodes.
    """

    def __init__(self, stream: IO[bytes], size: int):
        super().__init__(_LimitedStream(stream, size), fix_imports=False, encoding="latin1")
        opcodes = _OpcodeBudget(pickle._Unpickler.dispatch)
        opcodes[pickle.BYTEARRAY8[0]] = type(self)._load_bytearray
        self.dispatch = opcodes  # type: ignore[misc]

    def _load_bytearray(self) -> None:  # pickle's own version allocates the requested size first
        size = int.from_bytes(self.read(8), "little")  # type: ignore[attr-defined]
        data = self.read(size)  # type: ignore[attr-defined]
        if len(data) < size:
            raise EOFError("the pickle is truncated")
        self.append(bytearray(data))  # type: ignore[attr-defined]

    def get_extension(self, code: int) -> None:
        """Raise GaitError: extension codes refer to names that are not in the file."""
        raise GaitError("its pickle uses extension codes, whose names are not in the file")


class _AllowlistUnpickler(LimitedUnpickler):
    """Allows only names that rebuild arrays, sparse matrices and chumpy expressions; raises GaitError for any other."""

    def __init__(self, stream: IO[bytes], size: int):
        super().__init__(stream, size)
        self._allowed = _allowed_names()

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "chumpy":
            placeholder = type("chumpy_parts", (_ChumpyParts,), {"expression": f"{module}.{name}"[:120]})
            return self._allowed.setdefault((module, name), placeholder)
        try:
            return self._allowed[module, name]
        except KeyError:
            shown = f"{module}.{name}"[:120].encode("unicode_escape").decode("ascii")
            raise GaitError(f"its pickle uses {shown}, which is not an array: refused, nothing was run") from None

    def persistent_load(self, pid: Any) -> Any:
        raise GaitError("its pickle refers to objects outside the file")


def _as_bytes(raw: Any) -> bytes:
    """Return raw numbers as bytes; Python 2 wrote them as text."""
    if isinstance(raw, str):
        return raw.encode("latin1")
    if isinstance(raw, bytes | bytearray):
        return bytes(raw)
    raise GaitError("contains an array without its numbers")


class _ArrayBuilder:
    """Builds arrays, matrices and chumpy expressions from the collected state, each shared object once."""

    def __init__(self, size: int) -> None:
        self._done: dict[int, Any] = {}
        # A few arrays of a pickle may share their bytes; a thousand such arrays would fill all memory.
        self._bytes_left = 4 * size + (1 << 20)

    def value(self, raw: Any, depth: int = 0) -> Any:
        """Return nested dicts and lists (also for tuples), with arrays and matrices built from their state."""
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
            raise GaitError("its arrays are much larger than the file")

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
            raise GaitError("contains an array without a dtype")
        shape = tuple(int(n) for n in shape)
        dtype = dtype_parts.rebuilt()
        order: Literal["F", "C"] = "F" if fortran else "C"
        if not dtype.hasobject:
            numbers = _as_bytes(content)
            self._spend(len(numbers))
            return np.frombuffer(numbers, dtype=dtype).reshape(shape, order=order).copy(order="C")
        if not isinstance(content, list | tuple):
            raise GaitError("contains an array of objects without its objects")
        self._spend(8 * len(content))
        items = np.empty(len(content), dtype=object)
        for i, item in enumerate(content):
            items[i] = self.value(item, depth)
        return items.reshape(shape, order=order)

    def _expression(self, parts: dict[str, Any], name: str, depth: int) -> NDArray[Any] | ChumpyExpression:
        """Return the array of a chumpy variable or selection (chumpy 0.70, ch.Ch and reordering.Select)."""
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
            raise GaitError(f"contains a sparse matrix of {rows} by {columns}")
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
    unpickler = _AllowlistUnpickler(stream, size)
    content = _ArrayBuilder(size).value(unpickler.load())
    # numpy.save pickles a dict as a zero-dimensional array
    if isinstance(content, np.ndarray) and content.shape == ():
        return content.item()
    return content


def _read_npy(stream: IO[bytes], size: int) -> Any:
    """Read one array in numpy's own format; an object array is read by the allowlist unpickler."""
    start = stream.read(8)
    if not start.startswith(_NPY_MAGIC) or len(start) < 8:
        raise GaitError("is not an .npy array")
    version = (start[6], start[7])
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
        (3, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise GaitError(f"has the unknown .npy version {version[0]}.{version[1]}")
    header = _LimitedStream(stream, min(size, _MAX_HEADER_BYTES))
    shape, fortran, dtype = read_header(header)
    if dtype.hasobject:
        return _unpickled(stream, size)
    if dtype.kind not in "biufcSU" or dtype.names is not None:
        raise GaitError(f"contains an array of {dtype}, not plain numbers"[:200])
    count = math.prod(shape)
    if min(shape, default=0) < 0 or count * dtype.itemsize > size:
        raise GaitError(f"claims an array of shape {shape}, more than the file contains"[:200])
    numbers = np.empty(count, dtype=dtype)
    left = numbers.view(np.uint8).data if numbers.nbytes else memoryview(b"")
    while len(left):
        if not (got := stream.readinto(left)):  # type: ignore[attr-defined]
            raise GaitError("is truncated in the middle of an array")
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
                raise GaitError(f"contains {name[:80]} twice")
            with archive.open(member) as part:
                arrays[name] = _read_npy(part, member.file_size)
                if part.read(1):  # reading to the end also verifies the checksum
                    raise GaitError(f"{name[:80]} is more than one array")
        return arrays


def read_array_dict(path: str | Path) -> dict[str, Any]:
    """Read the dictionary of arrays in an ``.npy`` (one pickled dict), ``.npz`` or ``.pkl`` file.

    The format is recognised by the first bytes, not by the name. Strings in Python 2 pickles are decoded as latin1.
    Sparse matrices are returned as ``scipy.sparse.csr_matrix``, tuples as lists, chumpy variables as arrays, and chumpy
    formulas as ``ChumpyExpression``. Nothing in the file is executed.

    Raises GaitError with the file's name if the file is missing, truncated, too large or damaged, contains no
    dictionary, or names anything other than numpy arrays, sparse matrices and chumpy expressions.
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
                raise GaitError(f"is {size >> 20} MiB large, more than {MAX_BYTES >> 20} MiB")
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
        # A damaged pickle, zip or header can raise nearly any error.
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise GaitError(f"{path}: damaged, truncated, or not a file of arrays ({reason}).") from None
    if not isinstance(content, dict):
        found = (
            f"an array of shape {content.shape}" if isinstance(content, np.ndarray) else f"a {type(content).__name__}"
        )
        raise GaitError(f"{path}: contains {found}, not a dictionary of arrays.")
    return {str(key): value for key, value in content.items()}
