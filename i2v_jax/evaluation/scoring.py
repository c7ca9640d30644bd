"""What each metric sees of the clips of a protocol: how many, which frames, and what is held against what."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from i2v_jax.data.protocol import Protocol
from i2v_jax.metrics.conventions import convention


def available_clips(metric: str, protocol: Protocol, listed: int) -> int:
    """How many of the `listed` clips, the first ones, the protocol has for a metric."""
    if convention(metric).kind == "paired" or not protocol.clips:
        return listed
    return min(listed, protocol.clips)


def scored_clips(metric: str, protocol: Protocol, listed: int) -> int:
    """The same without those that the authors' script drops, where the protocol is as their scripts."""
    available = available_clips(metric, protocol, listed)
    return available - available % (convention(metric).release_batch if protocol.release else 1)


def sees_start_frame(metric: str, protocol: Protocol) -> bool:
    """Is x0 the first frame of both clips that a metric compares."""
    chosen = convention(metric)
    return protocol.start_frame_scored and (chosen.compares_videos or (protocol.release and chosen.release_start_frame))


def scored_frames(metric: str, protocol: Protocol) -> int:
    """Length of the clips that a metric sees. Diversity is that of all generated frames."""
    if convention(metric).kind == "diversity":
        return protocol.clip_frames
    return protocol.frames + sees_start_frame(metric, protocol)


def input_dtype(metric: str, protocol: Protocol) -> str:
    """Of the frames before the backbone."""
    return protocol.video_dtype if convention(metric).compares_videos else "float32"


def pairing(metric: str, protocol: Protocol) -> str:
    """What a metric holds against what, for its record."""
    kind = convention(metric).kind
    if kind == "likelihood":
        return "one posterior sample of z for each clip"
    return "samples of one start frame" if kind == "diversity" else protocol.pairing


def compared(metric: str, protocol: Protocol, clips: ArrayLike, generated: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """True and generated videos [B, scored_frames, H, W, 3] of a Fréchet or paired metric.

    Args:
        clips: [B, 1 + T, H, W, 3] in [-1, 1], x0 first.
        generated: [B, T, H, W, 3].

    Raises:
        UserError: as `Protocol.paired`.
    """
    choose = protocol.with_start_frame if sees_start_frame(metric, protocol) else protocol.paired
    truth, video = choose(clips, generated)
    if input_dtype(metric, protocol) == "uint8":
        return _through_bytes(truth), _through_bytes(video)
    return truth, video


def _through_bytes(frames: jax.Array) -> jax.Array:
    """Cut to whole levels of 0..255, as PyTorch's conversion to bytes does, and back to [-1, 1]."""
    return jnp.trunc((frames + 1) * 127.5) / 127.5 - 1
