"""Reads and writes files of `torch.save` without PyTorch, and without running code that a pickle can contain.

A file is a pickle that names storages, and the storages' bytes. Since PyTorch 1.6 they are members of a zip archive;
before, they follow the pickle one after the other.
"""

import collections
import dataclasses
import io
import pathlib
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO, Literal

import ml_dtypes
import numpy as np

from i2v_jax.errors import UserError

_STORAGES = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001


@dataclasses.dataclass
class _Storage:
    """A flat array that is read on demand."""

    dtype: np.dtype[Any]
    size: int  # elements
    read: Callable[[], bytes]

    def array(self) -> np.ndarray:
        content = self.read()
        if len(content) != self.size * self.dtype.itemsize:
            raise ValueError(f"a storage holds {len(content)} bytes instead of {self.size * self.dtype.itemsize}")
        return np.frombuffer(content, self.dtype)


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A view of a storage, not yet read."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def numpy(self) -> np.ndarray:
        """Returns a copy. Raises ValueError if the tensor reaches outside its storage."""
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        inside = self.offset >= 0 and min((*self.shape, *self.strides), default=0) >= 0 and last < self.storage.size
        if 0 in self.shape:
            return np.zeros(self.shape, self.storage.dtype)
        if not inside:
            raise ValueError("a tensor reaches outside its storage")
        flat = self.storage.array()[self.offset :]
        strides = tuple(stride * flat.itemsize for stride in self.strides)
        return np.lib.stride_tricks.as_strided(flat, self.shape, strides, writeable=False).copy()


def _rebuild_tensor(storage: _Storage, offset: int, shape: Sequence[int], strides: Sequence[int], *_: Any) -> Tensor:
    return Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


def _numpy_scalar(dtype: np.dtype[Any], content: bytes) -> Any:
    return np.frombuffer(content, dtype)[0]  # refuses a dtype of objects


def _latin1(text: str, encoding: str) -> bytes:
    """Returns bytes as pickles of protocol 2 contain them."""
    return text.encode(encoding)


_ALLOWED: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "Counter"): collections.Counter,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "scalar"): _numpy_scalar,
    ("numpy._core.multiarray", "scalar"): _numpy_scalar,
    ("_codecs", "encode"): _latin1,
    **{("torch", name): np.dtype(dtype) for name, dtype in _STORAGES.items()},
}


class _Unpickler(pickle.Unpickler):
    """Makes plain containers, numbers and `Tensor`s, and refuses any other name."""

    def __init__(self, file: Any, storage: Callable[[Any], _Storage] | None = None) -> None:
        super().__init__(file, encoding="latin1")
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}, which is neither a tensor nor a container")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        if self._storage is None:
            raise pickle.UnpicklingError("it has a storage where none is allowed")
        return self._storage(pid)


def read(path: pathlib.Path) -> Any:
    """Returns what `torch.save` wrote, with a `Tensor` in place of each tensor. Storages in a zip archive are not read.

    Raises:
      UserError: the file is missing or damaged, or refers to anything but tensors in plain containers.
    """
    try:
        with path.open("rb") as file:
            if zipfile.is_zipfile(file):
                return _read_zip(path)
            file.seek(0)
            return _read_legacy(file)
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}", value=str(path)) from error
    except (pickle.UnpicklingError, zipfile.BadZipFile, *_DAMAGE) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{path} is not a PyTorch file of plain tensors: {reason}", value=str(path)) from error


# The errors of reading a damaged file, or of calling the allowed names with wrong arguments.
_DAMAGE = (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError)


def _read_zip(path: pathlib.Path) -> Any:
    archive = zipfile.ZipFile(path)  # the storages keep it open
    names = archive.namelist()
    pickles = [name for name in names if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise zipfile.BadZipFile("the archive has no data.pkl")
    folder = pickles[0].removesuffix("data.pkl")
    written = archive.read(f"{folder}byteorder") if f"{folder}byteorder" in names else b"little"
    order: Literal["little", "big"] = "big" if written == b"big" else "little"

    def storage(pid: Any) -> _Storage:
        _, dtype, key, _, size = pid
        return _Storage(dtype.newbyteorder(order), int(size), lambda: archive.read(f"{folder}data/{key}"))

    return _Unpickler(io.BytesIO(archive.read(pickles[0])), storage).load()


def _read_legacy(file: BinaryIO) -> Any:
    storages: dict[str, _Storage] = {}

    def storage(pid: Any) -> _Storage:
        _, dtype, key, _, size, view = pid
        if view is not None:
            raise ValueError("it holds views of storages: load it and save it again with PyTorch")
        return storages.setdefault(key, _Storage(dtype, int(size), bytes))

    if _Unpickler(file).load() != _LEGACY_MAGIC or _Unpickler(file).load() != _LEGACY_VERSION:
        raise ValueError("it is neither a zip archive nor of the format before PyTorch 1.6")
    order: Literal["little", "big"] = "little" if _Unpickler(file).load()["little_endian"] else "big"
    content = _Unpickler(file, storage).load()
    for key in _Unpickler(file).load():
        size = int.from_bytes(file.read(8), order)
        part = storages[key]
        part.dtype = part.dtype.newbyteorder(order)
        if size != part.size:
            raise ValueError(f"a storage has {size} elements instead of {part.size}")
        data = file.read(size * part.dtype.itemsize)
        part.read = lambda data=data: data  # type: ignore[misc]
    return content


def read_state_dict(path: pathlib.Path, entry: str = "state_dict") -> dict[str, np.ndarray]:
    """Returns the state dict of a file that `torch.save` wrote: its item `entry`, or else the whole content.

    Raises:
      UserError: as `read`, or the file holds no state dict.
    """
    content = read(path)
    state = content.get(entry, content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path} holds no state dict (must map names to tensors)", value=str(path))
    try:
        return {key: tensor.numpy() for key, tensor in state.items()}
    except (zipfile.BadZipFile, *_DAMAGE) as error:
        raise UserError(f"{path} is damaged ({error}): get it again", value=str(path)) from error


def write(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Writes dicts, lists, numbers, strings and NumPy arrays so that `torch.load` reads the arrays as tensors."""
    arrays: list[np.ndarray] = []
    pickled = b"\x80\x02" + b"".join(_opcodes(content, arrays)) + b"."
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{path.stem}/data.pkl", pickled)
        archive.writestr(f"{path.stem}/byteorder", "little")
        for index, array in enumerate(arrays):
            little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
            archive.writestr(f"{path.stem}/data/{index}", little.tobytes())
        archive.writestr(f"{path.stem}/version", "3\n")


_STORAGE_NAMES = {np.dtype(dtype): name for name, dtype in _STORAGES.items()}


def _opcodes(value: Any, arrays: list[np.ndarray]) -> list[bytes]:
    """Returns the opcodes of pickle's protocol 2 that make `value`.

    They are written by hand because Python's pickler imports a class, such as torch.FloatStorage, to write its name.
    """
    if isinstance(value, np.ndarray):
        arrays.append(value)
        strides = np.cumprod((1, *value.shape[:0:-1]))[::-1].tolist() if value.ndim else []
        storage = (
            *_text("storage"),
            _name("torch", _STORAGE_NAMES[value.dtype.newbyteorder("=")]),
            *_text(str(len(arrays) - 1)),
            *_text("cpu"),
            *_opcodes(value.size, arrays),
        )
        view = [*_opcodes(0, arrays), *_tuple(value.shape, arrays), *_tuple(strides, arrays), pickle.NEWFALSE]
        hooks = [_name("collections", "OrderedDict"), pickle.EMPTY_TUPLE, pickle.REDUCE]
        arguments = [pickle.MARK, pickle.MARK, *storage, pickle.TUPLE, pickle.BINPERSID, *view, *hooks, pickle.TUPLE]
        return [_name("torch._utils", "_rebuild_tensor_v2"), *arguments, pickle.REDUCE]
    if isinstance(value, Mapping):
        items = [code for key, item in value.items() for code in (*_opcodes(key, arrays), *_opcodes(item, arrays))]
        return [pickle.EMPTY_DICT, pickle.MARK, *items, pickle.SETITEMS]
    if isinstance(value, list):
        return [pickle.EMPTY_LIST, pickle.MARK, *(c for item in value for c in _opcodes(item, arrays)), pickle.APPENDS]
    if isinstance(value, str):
        return _text(value)
    return [pickle.dumps(value, 2)[2:-1]]  # a number, a bool or None, without header and end


def _name(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _text(value: str) -> list[bytes]:
    content = value.encode()
    return [pickle.BINUNICODE, struct.pack("<I", len(content)), content]


def _tuple(values: Sequence[Any], arrays: list[np.ndarray]) -> list[bytes]:
    return [pickle.MARK, *(code for value in values for code in _opcodes(int(value), arrays)), pickle.TUPLE]
