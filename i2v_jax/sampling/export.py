"""A generator with its parameters as one file, which runs with jax, flatbuffers and NumPy alone: a `jax.export`.

An artifact for several platforms holds each platform's own formulation of a convolution (`models/convolution.py`).
"""

import importlib.util
import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import export

from i2v_jax import files
from i2v_jax.errors import UserError
from i2v_jax.models import convolution
from i2v_jax.sampling.generator import Chain, Generator

PLATFORMS = ("cpu", "cuda", "tpu")


def export_sampler(
    generator: Generator,
    platforms: Sequence[str],
    num_samples: int,
    frames: int | None = None,
    temperature: float = 1.0,
    chain: Chain = "same_z",
) -> export.Exported:
    """Exports `Generator.sampler` with the parameters, for any batch size.

    Returns:
      What `exported.call(start_frames [B, H, W, 3], seed [], values)` runs. Only a model with control has the third
      argument: the values [B, ...] of its control, see `tasks/control.py`.

    Raises:
      UserError: a platform that is none of `PLATFORMS`; flatbuffers is not installed.
    """
    unknown = sorted(set(platforms) - set(PLATFORMS))
    if unknown or not platforms:
        raise UserError(
            f"invalid value for --platforms: {','.join(platforms)} (must be of {', '.join(PLATFORMS)})",
            field="platforms",
            value=tuple(platforms),
        )
    if importlib.util.find_spec("flatbuffers") is None:
        raise UserError("writing the file needs flatbuffers: pip install flatbuffers")
    about = generator.describe()
    sampler = generator.sampler(num_samples, frames, temperature, chain)

    def sample(start_frames: jax.Array, seed: jax.Array, *values: jax.Array) -> jax.Array:
        control = [generator.encode_control(array) for array in values]
        return sampler(generator.variables, start_frames, jax.random.key(seed), *control)

    example = about.control.example(about.size)
    (batch,) = export.symbolic_shape("batch")
    inputs = [
        jax.ShapeDtypeStruct((batch, about.size, about.size, 3), jnp.float32),
        jax.ShapeDtypeStruct((), jnp.uint32),
        *([jax.ShapeDtypeStruct((batch, *example.shape[1:]), example.dtype)] if example.size else []),
    ]
    with convolution.formulation("portable"):
        return export.export(jax.jit(sample), platforms=tuple(platforms))(*inputs)


def write(exported: export.Exported, path: pathlib.Path) -> None:
    """Writes the artifact. Raises UserError if the file cannot be written."""
    files.write_bytes(path, bytes(exported.serialize()))


def example(path: pathlib.Path, generator: Generator) -> str:
    """Returns five lines of Python that use the artifact."""
    about = generator.describe()
    size, values = about.size, about.control.example(about.size)
    if about.impulse:
        values[:, 2:] = [[1, 0]]
    control = f", np.array({values.tolist()}, np.{values.dtype})" if values.size else ""
    return "\n".join(
        [
            "import numpy as np",
            "from jax import export",
            f'sampler = export.deserialize(bytearray(open("{path}", "rb").read()))',
            f"start_frames = np.zeros((1, {size}, {size}, 3), np.float32)  # any number of images in [-1, 1]",
            f"videos = sampler.call(start_frames, np.uint32(0){control})  # [1, samples, frames, {size}, {size}, 3]",
        ]
    )
