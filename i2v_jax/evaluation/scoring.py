"""What each metric sees of the clips of a protocol: how many, which frames, and what is compared with what."""

import jax
from jax.typing import ArrayLike

from i2v_jax.data.protocol import Protocol
from i2v_jax.metrics.base import Metric, Reads
from i2v_jax.pixels import truncated


def available_clips(metric: Metric, protocol: Protocol, listed: int) -> int:
    """Returns how many of the `listed` clips, the first ones, the protocol has for a metric."""
    if metric.reads is Reads.PAIRS or not protocol.clips:
        return listed
    return min(listed, protocol.clips)


def scored_clips(metric: Metric, protocol: Protocol, listed: int) -> int:
    """Returns `available_clips` without those that the authors' script drops, if the protocol follows their scripts."""
    available = available_clips(metric, protocol, listed)
    return available - available % (metric.release_batch if protocol.release else 1)


def sees_start_frame(metric: Metric, protocol: Protocol) -> bool:
    """Returns whether x0 is the first frame of both clips that a metric compares."""
    return protocol.start_frame_scored and (metric.of_videos or (protocol.release and metric.release_start_frame))


def scored_frames(metric: Metric, protocol: Protocol) -> int:
    """Returns the length of the clips that a metric sees. Samples are compared over all generated frames."""
    if metric.reads is Reads.SAMPLES:
        return protocol.clip_frames
    return protocol.frames + sees_start_frame(metric, protocol)


def input_dtype(metric: Metric, protocol: Protocol) -> str:
    """Returns the type of the frames before the backbone."""
    return protocol.video_dtype if metric.of_videos else "float32"


def pairing(metric: Metric, protocol: Protocol) -> str:
    """Returns what a metric compares with what, for its record."""
    if metric.reads is Reads.LIKELIHOOD:
        return "one posterior sample of z for each clip"
    return "samples of one start frame" if metric.reads is Reads.SAMPLES else protocol.pairing


def compared(metric: Metric, protocol: Protocol, clips: ArrayLike, generated: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Returns the real and generated videos [B, scored_frames, H, W, 3] of a metric of sets or pairs.

    Args:
        metric: what compares them.
        protocol: says which frames.
        clips: [B, 1 + T, H, W, 3] in [-1, 1], x0 first.
        generated: [B, T, H, W, 3] in [-1, 1].

    Raises:
        UserError: as `Protocol.paired`.
    """
    choose = protocol.with_start_frame if sees_start_frame(metric, protocol) else protocol.paired
    real, video = choose(clips, generated)
    if input_dtype(metric, protocol) == "uint8":
        return truncated(real), truncated(video)
    return real, video
