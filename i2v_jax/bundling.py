"""Writes the file of a trained model (`bundle`): what generating needs of its work directory, and its card."""

import dataclasses
import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from numpy.typing import NDArray

import i2v_jax
from i2v_jax import bundle, files
from i2v_jax.bundle import Card
from i2v_jax.data.registry import data_set, open_split
from i2v_jax.errors import UserError
from i2v_jax.evaluation.records import Record, read_records
from i2v_jax.input.images import to_start_frame
from i2v_jax.metrics.paired import psnr
from i2v_jax.sampling import stages
from i2v_jax.sampling.generator import Generator
from i2v_jax.sampling.load import assemble, describe, generating
from i2v_jax.sampling.stages import as_trained
from i2v_jax.tasks.registry import Selection
from i2v_jax.training.events import read_events
from i2v_jax.workdir import read_workdir

MEASURED_FRAMES = 8  # start frames of `psnr_of_samples`
EXACT = 200.0  # dB, instead of infinity, which JSON does not have
_FOLDERS = ("dir", "dirs", "compile_cache")  # fields that name folders of the machine that trained


@dataclasses.dataclass(frozen=True)
class Written:
    """What `write_bundle` wrote."""

    path: pathlib.Path
    card: Card
    networks: tuple[str, ...]
    parameters: int

    def __str__(self) -> str:
        """The sentence that says how large the file is and what it holds."""
        measured = (
            "" if self.card.psnr is None else f" (its samples are at {self.card.psnr:.1f} dB to those of float32)"
        )
        return (
            f"wrote {self.path}: {self.path.stat().st_size / 1e6:.1f} MB with {self.parameters / 1e6:.2f} million "
            f"parameters in {self.card.dtype}{measured} of {', '.join(self.networks)}; the configuration and the card"
        )


def write_bundle(
    workdir: files.PathLike,
    path: files.PathLike,
    *,
    checkpoint: Selection | None = None,
    dtype: str = "float32",
    name: str = "",
    license: str = "",
    numbers: Mapping[str, float] | None = None,
) -> Written:
    """Writes the file of a trained model.

    Args:
      workdir: of the model, or its file.
      path: the file to write.
      checkpoint: as of `load_generator`.
      dtype: of the stored parameters, one of `bundle.DTYPES`. With a narrower one than float32, `psnr_of_samples` is
        measured.
      name: of the model; by default that of the work directory.
      license: of the model; by default the card names that of the data.
      numbers: further measurements for the card.
    Raises:
      UserError: as `load_generator`; a number is too large for float16; the file cannot be written.
    """
    config = read_workdir(workdir)
    trained = generating(config, stages.load_stages(config, workdir, checkpoint))
    generator = assemble(config, trained, str(workdir))
    arrays = {place: as_trained(array) for place, array in flax.traverse_util.flatten_dict(trained, sep="/").items()}
    card = _card(config, workdir, checkpoint, stages.variables_sha256(generator.variables))
    given: dict[str, Any] = {"name": name, "license": license, "numbers": numbers}
    card = dataclasses.replace(card, **{field: value for field, value in given.items() if value})
    if dtype != "float32":
        arrays = {place: _narrowed(place, array, dtype) for place, array in arrays.items()}
        psnr = psnr_of_samples(generator, _rounded(generator.variables, dtype), config.data)
        card = dataclasses.replace(card, dtype=dtype, psnr=psnr)
    bundle.write(path, arrays, _shareable(json.loads(config.to_json_best_effort())), card)
    networks = tuple(sorted({"/".join(place.split("/")[:2]) for place in arrays}))
    parameters = sum(array.size for place, array in arrays.items() if place.split("/")[2] == "params")
    return Written(files.location(path), card, networks, parameters)


def read_numbers(path: str) -> dict[str, float]:
    """Returns the measurements of a JSON file {name: number}. Curves, as `launch.evaluate` adds them, are left out.

    Raises:
      UserError: it cannot be read, or has something else.
    """
    try:
        content = json.loads(pathlib.Path(path).read_text())
        return {name: float(value) for name, value in content.items() if not isinstance(value, dict)}
    except OSError as error:
        raise UserError(f"--numbers={path} cannot be read: {error.strerror}", "numbers", path) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"--numbers={path} is not a JSON object of numbers", "numbers", path) from error


def psnr_of_samples(generator: Generator, rounded: Any, data: ConfigDict) -> float:
    """Returns how close the samples of a model with rounded parameters are to its own, in dB.

    With either, one sample is drawn, with the same random numbers, of each of `MEASURED_FRAMES` start frames: the first
    frames of test clips, evenly spaced, or smooth random images if the data set is not there. A model with pokes gets
    one poke for each, from the center to the right, by an eighth of the width. The result is the mean over all frames
    and samples of `metrics.paired.psnr`, at most `EXACT`.

    Args:
      generator: the model.
      rounded: variables in place of `generator.variables`, in float32 again.
      data: the `data` part of its configuration.
    """
    about, frames = generator.describe(), _start_frames(data)
    poke = [[about.size // 2] * 2], [[1.0 if about.impulse else about.size / 8, 0.0]]
    control = np.repeat(generator.encode_pokes(*poke), len(frames), axis=0) if about.pokes else None
    sample = jax.jit(generator.sampler(1))
    exact, narrow = (sample(each, frames, jax.random.key(0), control) for each in (generator.variables, rounded))
    return float(jnp.minimum(psnr(exact[:, 0], narrow[:, 0]), EXACT).mean())


def _rounded(variables: Any, dtype: str) -> Any:
    """Returns variables as they are read from a file of this type."""
    return jax.tree.map(lambda array: as_trained(_narrowed("", as_trained(array), dtype)), variables)


def _start_frames(data: ConfigDict) -> NDArray[np.float32]:
    """Returns the start frames [B, size, size, 3] of `psnr_of_samples`."""
    try:
        source = open_split(data, "test")
    except UserError:
        coarse = np.random.default_rng(0).uniform(-1, 1, (MEASURED_FRAMES, 4, 4, 3)).astype(np.float32)
        return np.asarray(jax.image.resize(coarse, (MEASURED_FRAMES, data.size, data.size, 3), "linear"))
    chosen = np.linspace(0, len(source) - 1, MEASURED_FRAMES).round().astype(int)
    images = (source.read(int(video), [0])[0] for video in chosen)
    return np.stack([to_start_frame(image, data.size, data.crop, data.resize) for image in images])


def _narrowed(name: str, array: NDArray[Any], dtype: str) -> NDArray[Any]:
    if array.dtype != np.float32:
        return array
    with np.errstate(over="ignore"):
        narrow = array.astype(jnp.dtype(dtype))
    if not np.isfinite(narrow.astype(np.float32)).all() and np.isfinite(array).all():
        largest = float(np.abs(array).max())
        raise UserError(
            f"--dtype={dtype}: {name} has values up to {largest:.3g}, too large for it: give --dtype=bfloat16",
            "dtype",
            dtype,
        )
    return narrow


def _card(config: ConfigDict, workdir: files.PathLike, checkpoint: Selection | None, sha256: str) -> Card:
    """Returns the card of a model whose parameters in float32 have this hash."""
    if bundle.is_bundle(workdir):
        return dataclasses.replace(bundle.read_card(workdir), checkpoint_sha256=sha256)
    known = data_set(config.data.name)
    return Card(
        name=stages.model_name(workdir),
        summary=_summary(config),
        data=known.describe(config.data),
        data_license=known.license,
        citation=known.citation,
        commands=_commands(config, files.location(workdir)),
        checkpoints=tuple(stages.described_checkpoints(config, workdir, checkpoint)),
        step=stages.last_step(config, workdir, checkpoint),
        checkpoint_sha256=sha256,
        license="that of the data",
        version=i2v_jax.__version__,
        metrics=tuple(record.to_json() for record in _records(files.location(workdir), sha256)),
    )


def _summary(config: ConfigDict) -> str:
    about = describe(config)
    kind = "poke model: one video for each poke" if about.deterministic else "cINN: many videos of one image"
    control = f", controlled by {about.control.name}" if about.control.width and not about.deterministic else ""
    return f"{kind}{control}, {about.frames} frames of {about.size}x{about.size} pixels"


def _commands(config: ConfigDict, folder: pathlib.Path) -> tuple[str, ...]:
    """Returns the commands that trained the stages, without folders of the machine."""
    events = [event for stage in config.stages for event in read_events(folder / stage)]
    commands = (re.sub(r"(?<==)(/|~|\w+://)\S*/(?=\S)", "", event.get("command", "")) for event in events)
    return tuple(dict.fromkeys(filter(None, commands)))


def _records(folder: pathlib.Path, sha256: str) -> list[Record]:
    """Returns the results in a work directory of the model with this hash."""
    places = [folder / "metrics.json", *sorted(folder.glob("evaluations/*/metrics.json"))]
    records = [record for place in places if place.is_file() for record in read_records(place)]
    return [record for record in records if record.model.checkpoint_sha256 == sha256]


def _shareable(config: dict[str, Any]) -> dict[str, Any]:
    """Returns a configuration without the folders of the machine that trained."""

    def value_of(name: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return _shareable(dict(value))
        if name in _FOLDERS:
            return [""] * len(value) if isinstance(value, list | tuple) else ""
        return value

    return {name: value_of(name, value) for name, value in config.items()}
