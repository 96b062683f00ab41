"""Read dictionaries of arrays from ``.npy``, ``.npz`` and ``.pkl`` files without running code.

A pickle can name any function, which is called when the pickle is loaded. Body models are pickles from the internet, so
``find_class`` allows only the names that rebuild numpy arrays and sparse matrices, and reports any other as an error.
Even these stand for placeholders of this module: ``numpy`` and ``scipy`` trust the state that a pickle gives them, so
dtypes, array sizes and sparse indices are checked before an array is built. Expressions of the package chumpy, which
SMPL's pickles contain, are data: variables and selections become arrays, others a ``ChumpyExpression``.

The unpickler is the one that pickle has in Python. The one in C fills its memo up to any index in the file, so that one
damaged byte of a model could take tens of gigabytes. A pickle made to be slow is not refused, since a body model is a
file that its user chose. Poses, which come by the hundred, are read with ``allow_pickle=False``.
"""

from __future__ import annotations

import math
import pickle
import re
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from gait.errors import GaitError

MAX_BYTES = 1 << 30
"""Maximum size of a file, unpacked; the largest released body models have about half of this."""

_MAX_DEPTH = 16
_MAX_HEADER_BYTES = 1 << 16  # of an .npy file
_ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
_NPY_MAGIC = b"\x93NUMPY"


@dataclass(frozen=True)
class ChumpyExpression:
    """An entry that is a formula, not an array; only chumpy could compute its value."""

    name: str  # of its class, e.g. "chumpy.ch_ops.add"


class _Dtype:
    """A pickled dtype. Only simple kinds are rebuilt, since numpy would trust any flags."""

    def __init__(self, code: str, align: Any = 0, copy: Any = 1):
        self.code, self.order = str(code), "="

    def __setstate__(self, state: Any) -> None:
        if len(state) > 3 and (state[2] is not None or state[3] is not None):
            raise GaitError("contains records, not plain numbers")
        self.order = str(state[1])

    def rebuilt(self) -> np.dtype[Any]:
        """Return the dtype: numbers, booleans, text or objects."""
        if not re.fullmatch(r"O[48]?|\?|[biufcSU]\d{1,9}", self.code) or self.order not in "<>=|":
            raise GaitError(f"contains an array of unknown kind {self.code[:20]!r}")
        return np.dtype(object if self.code[0] == "O" else self.code).newbyteorder(self.order)  # type: ignore[arg-type]


class _Array:
    """A pickled array, built when its state is complete."""

    array: NDArray[Any]

    def __setstate__(self, state: Any) -> None:
        shape, dtype, fortran, content = state[-4:]
        if not isinstance(dtype, _Dtype):
            raise GaitError("contains an array without a dtype")
        kind, order = dtype.rebuilt(), "F" if fortran else "C"
        if kind.hasobject:
            if not isinstance(content, list | tuple):
                raise GaitError("contains an array of objects without its objects")
            items = np.empty(len(content), dtype=object)
            items[:] = [_Boxed(item) for item in content]  # boxed, since numpy would unpack sequences
        else:
            items = np.frombuffer(_as_bytes(content), dtype=kind)
        self.array = items.reshape([int(n) for n in shape], order=order).copy(order="C")  # type: ignore[call-overload]


@dataclass(frozen=True)
class _Boxed:
    item: Any


class _Sparse:
    """A pickled scipy matrix; its attributes are checked when the matrix is built."""

    kind: str


class _Chumpy:
    """A pickled chumpy expression of any kind."""

    expression: str


def _load_bytearray(unpickler: Any) -> None:
    """Read the bytes before allocating the size that the file states, which pickle's own version allocates first."""
    size = int.from_bytes(unpickler.read(8), "little")
    data = unpickler.read(size)
    if len(data) < size:
        raise EOFError("the pickle is truncated")
    unpickler.append(bytearray(data))


class PythonUnpickler(pickle._Unpickler):
    """The unpickler of a subclass's ``find_class``, which takes little more memory than the file has bytes."""

    dispatch = {**pickle._Unpickler.dispatch, pickle.BYTEARRAY8[0]: _load_bytearray}  # noqa: RUF012


class _ArrayUnpickler(PythonUnpickler):
    """Allows only names that rebuild arrays, sparse matrices and chumpy expressions; raises GaitError for any other.

    Each name stands for a new class or function at each call, since a pickle can set attributes on them.
    """

    def __init__(self, stream: IO[bytes]):
        super().__init__(stream, fix_imports=False, encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "chumpy":
            return type("Chumpy", (_Chumpy,), {"expression": f"{module}.{name}"[:120]})
        if module == "_codecs" and name == "encode":
            return lambda text, encoding="latin1": _encode(text, encoding)
        if module == "collections" and name == "OrderedDict":
            return type("Dict", (OrderedDict,), {})
        if module in ("builtins", "__builtin__") and name in ("bytes", "object", "set"):
            return {"bytes": lambda *values: _empty(values), "object": object, "set": lambda *_: None}[name]
        if module in ("copyreg", "copy_reg") and name == "_reconstructor":
            return lambda kind, base, state: _reconstruct_object(kind, base, state)
        if module == "numpy" and name in ("ndarray", "dtype"):
            return type(name, (_Array if name == "ndarray" else _Dtype,), {})
        if module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            if name == "_reconstruct":
                return lambda kind, shape, code: _reconstruct_array(kind)
            if name == "scalar":
                return lambda dtype, raw: _array(_as_bytes(raw), dtype, (), "C")
        if module in ("numpy.core.numeric", "numpy._core.numeric") and name == "_frombuffer":
            return lambda buffer, dtype, shape, order: _array(bytes(buffer), dtype, shape, order)
        sparse = re.fullmatch(
            r"scipy\.sparse(?:\._?(?:csc|csr|coo))?\.(csc|csr|coo)_(?:matrix|array)", f"{module}.{name}"
        )
        if sparse:
            return type(name, (_Sparse,), {"kind": sparse[1]})
        shown = f"{module}.{name}"[:120].encode("unicode_escape").decode("ascii")
        raise GaitError(f"its pickle uses {shown}, which is not an array: refused, nothing was run")

    def persistent_load(self, pid: Any) -> Any:
        raise GaitError("its pickle refers to objects outside the file")


def _encode(text: str, encoding: str) -> bytes:  # protocol 2 calls this for bytes
    if encoding not in ("latin1", "latin-1", "iso-8859-1"):
        raise GaitError(f"encodes text as {str(encoding)[:20]!r}")
    return text.encode("latin1")


def _empty(values: tuple[Any, ...]) -> bytes:  # protocol 2 calls this for b""
    if values:
        raise GaitError("calls bytes with an argument")
    return b""


def _reconstruct_object(kind: Any, base: Any, state: Any) -> Any:  # protocols 0 and 1 call this for objects
    if not (isinstance(kind, type) and issubclass(kind, _Sparse | _Chumpy)) or base is not object or state is not None:
        raise GaitError("rebuilds an object that is not a sparse matrix")
    return kind()


def _reconstruct_array(kind: Any) -> _Array:
    if not (isinstance(kind, type) and issubclass(kind, _Array)):
        raise GaitError("rebuilds an array of a class that is not numpy.ndarray")
    return _Array()


def _array(content: bytes, dtype: Any, shape: Any, order: Any) -> _Array:
    array = _Array()
    array.__setstate__((shape, dtype, order == "F", content))
    return array


def _as_bytes(raw: Any) -> bytes:
    """Return raw numbers as bytes; Python 2 wrote them as text."""
    if isinstance(raw, str):
        return raw.encode("latin1")
    if isinstance(raw, bytes | bytearray):
        return bytes(raw)
    raise GaitError("contains an array without its numbers")


class _Rebuilder:
    """Replaces placeholders by arrays, matrices and chumpy expressions, each shared object once."""

    def __init__(self) -> None:
        self._done: dict[int, Any] = {}

    def value(self, raw: Any, depth: int = 0) -> Any:
        """Return nested dicts and lists (also for tuples) with arrays and matrices in place of placeholders."""
        if depth > _MAX_DEPTH:
            raise GaitError(f"nested more than {_MAX_DEPTH} deep")
        if not isinstance(raw, dict | list | tuple | _Array | _Sparse | _Chumpy):
            return raw
        if id(raw) not in self._done:  # the unpickled content keeps every object alive, so ids stay unique
            self._done[id(raw)] = self._rebuilt(raw, depth + 1)
        return self._done[id(raw)]

    def _rebuilt(self, raw: Any, depth: int) -> Any:
        if isinstance(raw, dict):
            return {key: self.value(item, depth) for key, item in raw.items()}
        if isinstance(raw, list | tuple):
            return [self.value(item, depth) for item in raw]
        if isinstance(raw, _Array):
            for index, boxed in np.ndenumerate(raw.array) if raw.array.dtype.hasobject else ():
                raw.array[index] = self.value(boxed.item, depth)
            return raw.array
        parts = {key: self.value(item, depth) for key, item in vars(raw).items()}
        return self._expression(parts, raw.expression) if isinstance(raw, _Chumpy) else self._matrix(parts, raw.kind)

    def _expression(self, parts: dict[str, Any], name: str) -> Any:
        """Return the array of a chumpy variable or selection (chumpy 0.70, ch.Ch and reordering.Select)."""
        if name == "chumpy.ch.Ch":
            return parts["x"] if isinstance(parts["x"], ChumpyExpression) else np.asarray(parts["x"])
        if name != "chumpy.reordering.Select" or isinstance(parts["a"], ChumpyExpression):
            return ChumpyExpression(name) if name != "chumpy.reordering.Select" else parts["a"]
        chosen = np.ravel(parts["a"])[np.asarray(parts["idxs"])]
        shape = parts.get("preferred_shape")
        return chosen if shape is None else chosen.reshape([int(n) for n in shape])

    def _matrix(self, parts: dict[str, Any], kind: str) -> scipy.sparse.csr_matrix:
        rows, columns = (int(n) for n in parts["_shape" if "_shape" in parts else "shape"])
        if rows < 0 or columns < 0 or (rows + 1) * (columns + 1) * 8 > MAX_BYTES:
            raise GaitError(f"contains a sparse matrix of {rows} by {columns}")
        if kind == "coo":
            indices = parts["coords"] if "coords" in parts else (parts["row"], parts["col"])
            return scipy.sparse.coo_matrix((parts["data"], tuple(indices)), shape=(rows, columns)).tocsr()
        build = scipy.sparse.csc_matrix if kind == "csc" else scipy.sparse.csr_matrix
        matrix = build((parts["data"], parts["indices"], parts["indptr"]), shape=(rows, columns))
        matrix.check_format(full_check=True)
        return matrix.tocsr()


def _unpickled(stream: IO[bytes], allow_pickle: bool) -> Any:
    if not allow_pickle:
        raise GaitError("holds objects, not numbers or text")
    raw = _ArrayUnpickler(stream).load()
    content = _Rebuilder().value(raw)
    # numpy.save pickles a dict as a zero-dimensional array
    return content.item() if isinstance(content, np.ndarray) and content.shape == () else content


def _read_npy(stream: IO[bytes], size: int, allow_pickle: bool) -> Any:
    """Read one array in numpy's own format; an object array is a pickle."""
    start = stream.read(8)
    if not start.startswith(_NPY_MAGIC) or len(start) < 8:
        raise GaitError("is not an .npy array")
    readers = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
    if start[6] not in (1, 2, 3):
        raise GaitError(f"has the unknown .npy version {start[6]}.{start[7]}")
    shape, fortran, dtype = readers[min(start[6], 2)](_Header(stream))
    if dtype.hasobject:
        return _unpickled(stream, allow_pickle)
    if dtype.kind not in "biufcSU" or dtype.names is not None:
        raise GaitError(f"contains an array of {dtype}, not plain numbers"[:200])
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > size:
        raise GaitError(f"claims an array of shape {shape}, more than the file contains"[:200])
    content = bytearray(math.prod(shape) * dtype.itemsize)
    if stream.readinto(content) < len(content):  # type: ignore[attr-defined]
        raise GaitError("is truncated in the middle of an array")
    order: Literal["F", "C"] = "F" if fortran else "C"
    return np.frombuffer(content, dtype=dtype).reshape(shape, order=order)


class _Header:
    """The header of an .npy file; it never allocates the size that a damaged one states."""

    def __init__(self, stream: IO[bytes]):
        self._stream = stream

    def read(self, size: int) -> bytes:
        return self._stream.read(min(size, _MAX_HEADER_BYTES))


def _read_npz(stream: IO[bytes], allow_pickle: bool) -> dict[str, Any]:
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
                try:
                    arrays[name] = _read_npy(part, member.file_size, allow_pickle)
                except GaitError as error:
                    raise GaitError(f"{name[:80]} {error}") from None
                if part.read(1):  # reading to the end also verifies the checksum
                    raise GaitError(f"{name[:80]} is more than one array")
        return arrays


def read_array_dict(path: str | Path, *, allow_pickle: bool = True) -> dict[str, Any]:
    """Read the dictionary of arrays in an ``.npy`` (one pickled dict), ``.npz`` or ``.pkl`` file.

    The format is recognized by the first bytes, not by the name. Strings in Python 2 pickles are decoded as latin1.
    Sparse matrices are returned as ``scipy.sparse.csr_matrix``, tuples as lists, chumpy variables as arrays, and chumpy
    formulas as ``ChumpyExpression``. Nothing in the file is executed.

    Args:
        path: of the file.
        allow_pickle: False refuses arrays of objects and pickles; only ``.npz`` files of numbers and text are read.

    Raises:
        GaitError: with the file's name: the file is missing, truncated, too large or damaged, contains no dictionary,
            or names anything other than numpy arrays, sparse matrices and chumpy expressions.
    """
    path = Path(path)
    content = _read_content(path, allow_pickle)
    if not isinstance(content, dict):
        found = (
            f"an array of shape {content.shape}" if isinstance(content, np.ndarray) else f"a {type(content).__name__}"
        )
        raise GaitError(f"{path}: contains {found}, not a dictionary of arrays.")
    return {str(key): value for key, value in content.items()}


def read_array(path: str | Path) -> NDArray[Any]:
    """Read one array of numbers or text from an ``.npy`` file.

    Raises:
        GaitError: as ``read_array_dict``; the file contains objects or something other than one array.
    """
    content = _read_content(Path(path), allow_pickle=False)
    if not isinstance(content, np.ndarray):
        raise GaitError(f"{path}: contains several arrays, not one.")
    return content


def _read_content(path: Path, allow_pickle: bool) -> Any:
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            if size > MAX_BYTES:
                raise GaitError(f"is {size >> 20} MiB large, more than {MAX_BYTES >> 20} MiB")
            stream.seek(0)
            start = stream.read(8)
            stream.seek(0)
            if start.startswith(_ZIP_MAGICS):
                content: Any = _read_npz(stream, allow_pickle)
            elif start.startswith(_NPY_MAGIC):
                content = _read_npy(stream, size, allow_pickle)
            else:
                content = _unpickled(stream, allow_pickle)
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
    return content
