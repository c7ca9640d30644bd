"""A trained model as one file: the tensors that generating needs, their configuration and a card, as safetensors.

`bundling` writes such files. Every command that takes the work directory of a trained model takes one in its place:
the path of a file, or `bundled:NAME` for one that comes with the package. The configuration and the card are JSON in
the metadata of the file, which has one entry, so that equal models give equal files.
"""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from i2v_jax import files
from i2v_jax.commands import command
from i2v_jax.errors import UserError

SUFFIX = ".i2v"
DTYPES = ("float32", "bfloat16", "float16")
Arrays = Mapping[str, NDArray[Any]]  # "stage/network/collection/.../name" -> array

_BUNDLED = "bundled:"
_FOLDER = pathlib.Path(__file__).with_name("bundled")
_FORMAT = 1  # raised when files change so that earlier versions cannot read them
_ENTRY = "i2v_jax"  # of the metadata


@dataclasses.dataclass(frozen=True)
class Card:
    """What people want to know of a model."""

    name: str
    summary: str  # what it makes of what, in one sentence
    data: str  # that it was trained on
    data_license: str
    citation: str  # of the data; may be empty
    commands: tuple[str, ...]  # that trained it; empty if they were not recorded
    checkpoints: tuple[str, ...]  # of all stages, and why they were chosen
    step: int  # of the last stage
    checkpoint_sha256: str  # of the parameters in float32, as in the records of evaluations
    license: str
    version: str  # of the package that wrote the file
    dtype: str = "float32"  # of the stored parameters
    psnr: float | None = None  # dB, of its samples against those of float32, see `bundling.psnr_of_samples`
    metrics: tuple[Mapping[str, Any], ...] = ()  # `Record.to_json` of `evaluation.records`
    numbers: Mapping[str, float] = dataclasses.field(default_factory=dict)  # measured where pokes end

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Returns the card that `dataclasses.asdict` gives. Fields that this version does not know are left out."""
        known = {field.name for field in dataclasses.fields(cls)}
        tuples = {name: tuple(content[name]) for name in ("commands", "checkpoints", "metrics")}
        return cls(**{name: value for name, value in content.items() if name in known} | tuples)


def is_bundle(path: files.PathLike) -> bool:
    """Returns whether a path given for a model means a file, and not a work directory."""
    if is_bundled(path):
        return True
    place = files.location(path)
    return place.is_file() or (place.suffix == SUFFIX and not place.is_dir())


def is_bundled(path: files.PathLike) -> bool:
    """Returns whether a path given for a model is `bundled:NAME`."""
    return str(path).startswith(_BUNDLED)


def bundled_names() -> list[str]:
    """Returns the names of the models that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob(f"*{SUFFIX}"))


def located(path: files.PathLike) -> pathlib.Path:
    """Returns the path of a file. Raises UserError if it is `bundled:NAME` and there is no such name."""
    name = str(path).removeprefix(_BUNDLED)
    if name == str(path):
        return files.location(path)
    if name not in bundled_names():
        there = ", ".join(f"{_BUNDLED}{known}" for known in bundled_names()) or "none"
        raise UserError(f"unknown model {path}: this installation has {there}", "workdir", str(path))
    return _FOLDER / f"{name}{SUFFIX}"


def require_folder(path: files.PathLike, why: str) -> None:
    """Raises UserError if the path of a work directory means a file, which is not enough because of `why`."""
    if is_bundle(path):
        raise UserError(f"{path} is the file of a trained model: {why}; give a work directory", "workdir", str(path))


def write(path: files.PathLike, arrays: Arrays, config: Mapping[str, Any], card: Card) -> None:
    """Writes a file, complete or not at all.

    Args:
      path: the file.
      arrays: the tensors.
      config: the resolved configuration, as JSON has it.
      card: of the model.
    Raises:
      UserError: the file cannot be written.
    """
    about = {"format": _FORMAT, "config": config, "card": dataclasses.asdict(card)}
    content = json.dumps({**about, "sha256": _digest(about, arrays)}, sort_keys=True, allow_nan=False)
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    with files.writing(path), files.replacing(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(contiguous, temporary, {_ENTRY: content})  # without a second copy in memory
        temporary.chmod(mode)  # otherwise only its owner may read it


def read_config(path: files.PathLike) -> dict[str, Any]:
    """Returns the configuration of a file. Raises the errors of `read_arrays`."""
    with _opened(path) as (about, _):
        return about["config"]


def read_card(path: files.PathLike) -> Card:
    """Returns the card of a file. Raises the errors of `read_arrays`."""
    with _opened(path) as (about, _):
        return Card.from_json(about["card"])


def read_arrays(path: files.PathLike) -> dict[str, NDArray[Any]]:
    """Returns the tensors of a file, in the types in which they are stored.

    Raises:
      UserError: there is no such file; it is damaged, of another kind, or was written by a newer version.
    """
    with _opened(path) as (about, tensors):
        arrays = {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118 (not a mapping)
    stored = about.pop("sha256")
    if _digest(about, arrays) != stored:
        raise _damaged(path, "its checksum differs")
    return arrays


@contextlib.contextmanager
def _opened(path: files.PathLike) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yields the entry of the metadata, and the open file."""
    place = located(path)
    try:
        with _local(place) as file, safe_open(file, framework="np") as tensors:
            yield _about(path, tensors.metadata() or {}), tensors
    except SafetensorError as error:
        raise _damaged(path, str(error).rpartition(": ")[2].splitlines()[0]) from error
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: write it with {command('bundle')}", "workdir", str(path)) from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}", "workdir", str(path)) from error


@contextlib.contextmanager
def _local(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields the path of a local file with the content of `path`, which may be in a bucket."""
    if not files.is_in_bucket(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder, path.name)
        copy.write_bytes(path.read_bytes())
        yield copy


def _about(path: files.PathLike, metadata: Mapping[str, str]) -> dict[str, Any]:
    if _ENTRY not in metadata:
        raise UserError(
            f"{path} is a safetensors file of something else: give one that {command('bundle')} wrote",
            "workdir",
            str(path),
        )
    try:
        about = json.loads(metadata[_ENTRY])
        number = int(about["format"])
        complete = all(isinstance(about[name], dict) for name in ("config", "card")) and "sha256" in about
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(path, "its metadata cannot be read") from error
    if number > _FORMAT:
        raise UserError(
            f"{path} has format {number}, and this version reads formats up to {_FORMAT}: install a newer version of "
            "i2v_jax",
            "workdir",
            str(path),
        )
    if not complete:
        raise _damaged(path, "its metadata is incomplete")
    return about


def _damaged(path: files.PathLike, problem: str) -> UserError:
    return UserError(
        f"{path} is damaged or not the file of a model ({problem}): get it again, or write it with {command('bundle')}",
        "workdir",
        str(path),
    )


def _digest(about: Mapping[str, Any], arrays: Arrays) -> str:
    """Returns the SHA-256 of everything in a file."""
    text = json.dumps(about, sort_keys=True)
    return hashlib.sha256(f"{text}\n{arrays_sha256(arrays)}".encode()).hexdigest()


def arrays_sha256(arrays: Arrays) -> str:
    """Returns the SHA-256 of all arrays with their paths, types and shapes, in the order of the paths."""
    digest = hashlib.sha256()
    for path, leaf in sorted(arrays.items()):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{path} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
