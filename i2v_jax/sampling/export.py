"""The sampler with its parameters as one file, which runs with jax, flatbuffers and NumPy alone: a `jax.export`.

An artifact for several platforms holds each platform's own formulation of a convolution (`models/convolution.py`).
"""

import pathlib
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import export

from i2v_jax import files
from i2v_jax.errors import UserError
from i2v_jax.models import convolution
from i2v_jax.sampling.synthesizer import CLIP_FRAMES, Chain, VideoSynthesizer, draw_residuals, sample_keys

PLATFORMS = ("cpu", "cuda", "tpu")


def sampling_function(
    synthesizer: VideoSynthesizer, num_samples: int, frames: int, temperature: float = 1.0, chain: Chain = "same_z"
) -> Callable[..., jax.Array]:
    """`VideoSynthesizer.sample` as a function that can be traced, for any batch size.

    Returns:
      (start_frames [B, H, W, 3] in [-1, 1], seed []) -> videos [B, S, T, H, W, 3]; a model with control takes its
      values [B, ...] as the third argument, see `tasks/control.py`.
    """
    functions, variables = synthesizer.functions, synthesizer.variables

    def embed(x0: jax.Array) -> jax.Array:
        if synthesizer.image_encoder is None:
            return jnp.zeros((x0.shape[0], 0))
        return functions["embed"](variables["image_encoder"], x0).astype(jnp.float32)

    def latent(nu: jax.Array, embedding: jax.Array, eta: jax.Array) -> jax.Array:
        if synthesizer.flow is None:
            return nu
        return functions["inverse"](variables["flow"], nu, embedding, eta).astype(jnp.float32)

    def decode(x0: jax.Array, z: jax.Array) -> jax.Array:
        return functions["decode"](variables["decoder"], x0, z).astype(jnp.float32)

    def for_each_sample(array: jax.Array) -> jax.Array:
        return jnp.repeat(array, num_samples, axis=0)

    def sample(start_frames: jax.Array, seed: jax.Array, control: jax.Array | None = None) -> jax.Array:
        batch = start_frames.shape[0]
        keys = sample_keys(jax.random.key(seed), jnp.arange(batch), num_samples)
        eta = for_each_sample(
            jnp.zeros((batch, 0)) if control is None else synthesizer.control.encode(control, synthesizer.size)
        )
        x0, embedding = for_each_sample(start_frames), for_each_sample(embed(start_frames))
        parts: list[jax.Array] = []
        for part in range(-(-frames // CLIP_FRAMES)):
            if part:
                x0 = parts[-1][:, -1]
            if part == 0 or chain == "fresh":
                nu = temperature * draw_residuals(keys, part, synthesizer.z_dim)
                z = latent(nu, embed(x0) if part else embedding, eta)
            parts.append(decode(x0, z))
        videos = jnp.concatenate(parts, axis=1)[:, :frames]
        return videos.reshape(batch, num_samples, *videos.shape[1:])

    return sample


def export_sampler(
    synthesizer: VideoSynthesizer,
    platforms: Sequence[str],
    num_samples: int,
    frames: int = CLIP_FRAMES,
    temperature: float = 1.0,
    chain: Chain = "same_z",
) -> export.Exported:
    """`sampling_function` with the parameters, for any batch size: `exported.call(start_frames, seed[, control])`.

    Raises:
      UserError: a platform that is none of `PLATFORMS`.
    """
    unknown = sorted(set(platforms) - set(PLATFORMS))
    if unknown or not platforms:
        raise UserError(f"--platforms={','.join(platforms)}: choose from {', '.join(PLATFORMS)}")
    size = synthesizer.size
    values = synthesizer.control.example(size)
    (batch,) = export.symbolic_shape("batch")
    inputs = [
        jax.ShapeDtypeStruct((batch, size, size, 3), jnp.float32),
        jax.ShapeDtypeStruct((), jnp.uint32),
        *([jax.ShapeDtypeStruct((batch, *values.shape[1:]), values.dtype)] if values.size else []),
    ]
    function = jax.jit(sampling_function(synthesizer, num_samples, frames, temperature, chain))
    with convolution.formulation("portable"):
        return export.export(function, platforms=tuple(platforms))(*inputs)


def write(exported: export.Exported, path: pathlib.Path) -> None:
    """Writes the artifact. Raises UserError if the file cannot be written."""
    files.write_bytes(path, bytes(exported.serialize()))


def example(path: pathlib.Path, synthesizer: VideoSynthesizer) -> str:
    """Five lines that use the artifact."""
    size = synthesizer.size
    values = synthesizer.control.example(size)
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
