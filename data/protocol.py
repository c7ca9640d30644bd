"""Evaluation protocols: which clips of a data set are scored, which of their frames, and what they are compared with.

Sources: cINN paper, supplement C.2; poke paper, appendix F; and the authors' released scripts where they deviate.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from i2v_jax.errors import UserError
from i2v_jax.input.clips import StartRule


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a set of videos becomes numbers.

    A clip is the start frame x0 and the `clip_frames` frames after it. Either each video gives `clips_per_video` clips,
    or there are `clips` clips in total: taken from the videos in turn, or with the starts "frames" from all frames of
    all videos, so that long videos give more clips.
    """

    name: str
    frames: int  # generated frames that are scored
    start_frame_scored: bool  # whether x0 is the first frame of both clips in a Fréchet distance between videos
    starts: StartRule | Literal["frames"]
    clips_per_video: int = 0
    clips: int = 0  # total number of clips, for distances between sets; 0: given by clips_per_video
    paired_clips: int = 0  # total number of clips for LPIPS, PSNR and SSIM; 0: the same clips
    stride: int = 1
    truth_offset: int = 1  # index of the true frame that is compared with the first generated frame; 1 is aligned
    release: bool = False  # compute as the authors' scripts: whole batches, x0 among the frames
    video_dtype: Literal["float32", "uint8"] = "float32"  # of the frames of a Fréchet distance between videos
    metrics: tuple[str, ...] = ()
    least_frames: int = 0  # minimum of `clip_frames`, for models whose latent needs more frames than are scored
    release_truth_offset: int = 1  # `truth_offset` of the authors' scripts
    release_video_dtype: Literal["float32", "uint8"] = "float32"  # `video_dtype` of the authors' scripts
    split: str = "test"  # whose videos are scored
    # Those of the authors' scripts; None: the same.
    release_starts: StartRule | Literal["frames"] | None = None
    release_split: str | None = None
    release_clips: int | None = None

    @property
    def clip_frames(self) -> int:
        """The number of frames of a clip without x0."""
        return max(self.frames, self.least_frames)

    @property
    def span(self) -> int:
        """The number of frames of the video from x0 to the last frame of the clip."""
        return self.clip_frames * self.stride + 1

    @property
    def pairing(self) -> str:
        """How true and generated frames are paired, in words, for the record."""
        return "aligned" if self.truth_offset == 1 else "generated frame t with true frame t - 1"

    def as_released(self) -> "Protocol":
        """Returns the protocol as the authors' scripts compute it."""
        return dataclasses.replace(
            self,
            release=True,
            truth_offset=self.release_truth_offset,
            video_dtype=self.release_video_dtype,
            starts=self.release_starts or self.starts,
            split=self.release_split or self.split,
            clips=self.release_clips or self.clips,
        )

    def of_whole_videos(self, frames: int) -> "Protocol":
        """Returns the protocol for videos that are one clip each, of `frames` frames after x0."""
        return dataclasses.replace(
            self, frames=frames, starts="first", clips_per_video=1, clips=0, paired_clips=0, stride=1
        )

    def paired(self, clips: ArrayLike, generated: ArrayLike) -> tuple[jax.Array, jax.Array]:
        """Returns the true and the generated frames that are compared with each other, without x0.

        Args:
            clips: [B, 1 + T, H, W, 3], x0 first, T at least `frames`.
            generated: [B, T, H, W, 3].

        Returns:
            Two arrays [B, frames, H, W, 3].

        Raises:
            UserError: there are too few frames, or the lists have different lengths.
        """
        clips, generated = jnp.asarray(clips), jnp.asarray(generated)
        if len(clips) != len(generated):
            raise UserError(
                f"there are {len(clips)} true clips but {len(generated)} generated clips", "generated", len(generated)
            )
        if clips.shape[1] < 1 + self.frames or generated.shape[1] < self.frames:
            raise UserError(
                f"protocol {self.name} needs x0 and {self.frames} frames: "
                f"there are {clips.shape[1]} true and {generated.shape[1]} generated frames",
                "frames",
                (clips.shape[1], generated.shape[1]),
            )
        return clips[:, self.truth_offset : self.truth_offset + self.frames], generated[:, : self.frames]

    def with_start_frame(self, clips: ArrayLike, generated: ArrayLike) -> tuple[jax.Array, jax.Array]:
        """Returns both with x0 first, [B, 1 + frames, H, W, 3]; the arguments are those of `paired`."""
        _, video = self.paired(clips, generated)
        clips = jnp.asarray(clips)
        return clips[:, : 1 + self.frames], jnp.concatenate([clips[:, :1], video], axis=1)


QUALITY = ("fvd", "lpips", "psnr", "ssim")
DIVERSITY = ("diversity_vgg", "diversity_i3d")
LIKELIHOOD = ("log_likelihood", "bits_per_dimension")

# For videos of any kind.
FOLDER = Protocol("folder", 16, True, "even", clips_per_video=5, metrics=(*QUALITY, *DIVERSITY, *LIKELIHOOD))
# For models that answer to pokes, on any data set. The authors' release stores the videos of its FVD as bytes, of 61
# whole batches of 16 clips.
POKE = Protocol(
    "poke",
    10,
    False,
    "random",
    clips=1000,
    paired_clips=8000,
    metrics=(*QUALITY, "fid_per_frame"),
    release_video_dtype="uint8",
    release_starts="frames",
    release_clips=976,
)
