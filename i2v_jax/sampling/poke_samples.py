"""Many answers to one poke: the cINN whose control is the poke (`config.control = "poke"`).

Shapes: frames [B, H, W, 3] and videos [B, S, T, H, W, 3] in [-1, 1]; positions [B, 2] as (x, y) and displacements
[B, 2] as (dx, dy) in pixels at the model's resolution, y down. Pixel (x, y) has its middle at (x, y).
"""

import jax
import numpy as np
from numpy.typing import ArrayLike

from i2v_jax.errors import UserError
from i2v_jax.sampling.chunks import Array, checked_pokes, frame_for_each
from i2v_jax.sampling.synthesizer import CLIP_FRAMES, Chain, VideoSynthesizer


def poke_control(synthesizer: VideoSynthesizer, positions: ArrayLike, displacements: ArrayLike) -> Array:
    """Pokes as the control eta [B, n] of `VideoSynthesizer.sample`, `residual`, `transfer` and `recontrol`.

    Raises:
        UserError: the model is not controlled by pokes; what is no poke.
    """
    if not synthesizer.control.takes_pokes:
        raise UserError("this model was not trained with pokes; train one, for example configs/plants.py:model=cinn")
    places, shifts = checked_pokes(positions, displacements, synthesizer.size)
    return np.asarray(synthesizer.control.encode(np.concatenate([places, shifts], axis=-1), synthesizer.size))


def sample_pokes(
    synthesizer: VideoSynthesizer,
    start_frames: ArrayLike,
    positions: ArrayLike,
    displacements: ArrayLike,
    rng: jax.Array,
    num_samples: int,
    *,
    frames: int = CLIP_FRAMES,
    temperature: float = 1.0,
    chain: Chain = "same_z",
) -> Array:
    """Different videos in which the poked pixels go where they are sent.

    Args:
        synthesizer: of a model that is controlled by pokes.
        start_frames: x0 [B, H, W, 3], or [1, H, W, 3] for several pokes of one image.
        positions: the poked pixels [B, 2].
        displacements: where to [B, 2], relative to the positions; reached in frame 16.
        rng: a key of `jax.random.key`.
        num_samples: S videos for each poke.
        frames: T; beyond 16 the last frame is poked again, in the same way.
        temperature, chain: as of `VideoSynthesizer.sample`.

    Returns:
        [B, S, T, H, W, 3], x0 itself not among the frames.

    Raises:
        UserError: as `poke_control`; start frames that do not fit.
    """
    eta = poke_control(synthesizer, positions, displacements)
    x0 = frame_for_each(start_frames, len(eta), synthesizer.size)
    return synthesizer.sample(x0, rng, num_samples, frames=frames, temperature=temperature, control=eta, chain=chain)
