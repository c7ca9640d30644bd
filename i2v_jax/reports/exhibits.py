"""The clips that the page shows, as files beside it."""

import dataclasses
import pathlib
from collections.abc import Sequence

import jax
import numpy as np

from i2v_jax import media
from i2v_jax.evaluation import sky_measurements
from i2v_jax.evaluation.sky_measurements import Floats, HeldOut
from i2v_jax.sampling.synthesizer import VideoSynthesizer

FPS = 8
_HELD = 5  # frames for which a GIF shows the arrow of what was asked
_ARROWS = "→↗↑↖←↙↓↘"
WHEEL = (135, 90, 45, 180, None, 0, 225, 270, 315)  # row by row around the start frame, degrees


@dataclasses.dataclass(frozen=True)
class Figure:
    """A file of the page and what is written below it."""

    file: str
    caption: str
    is_video: bool = True


class Exhibits:
    """Writes pictures and clips into the page's folder, enlarged."""

    def __init__(self, folder: pathlib.Path, size: int) -> None:
        """`size` is that of the frames, which are enlarged to about 160 pixels."""
        self.folder = folder
        self.scale = max(1, 160 // size)

    def still(self, name: str, frame: Floats, caption: str) -> Figure:
        return self.drawn(name, media.enlarge(frame[None], self.scale), caption)

    def clip(self, name: str, start_frame: Floats, video: Floats, caption: str) -> Figure:
        """The start frame [H, W, 3], then the video [T, H, W, 3]."""
        return self.drawn(name, media.enlarge(media.with_start(start_frame, video), self.scale), caption)

    def drawn(self, name: str, video: media.Pixels, caption: str) -> Figure:
        """What is at its size already, [T, H, W, 3]; a picture if it is one frame."""
        if len(video) == 1:
            media.write_png(self.folder / f"{name}.png", video[0])
            return Figure(f"{name}.png", caption, is_video=False)
        media.write_mp4(self.folder / f"{name}.mp4", video, FPS)
        return Figure(f"{name}.mp4", caption)

    def gif(self, name: str, cells: Sequence[media.Pixels], columns: int) -> None:
        """Clips [T, H, W, 3], enlarged, as one GIF for places that show no mp4."""
        media.write_gif(self.folder / f"{name}.gif", media.grid(np.stack(cells), columns, pad=4), FPS)


class Gallery(Exhibits):
    """What a model of the procedural sky makes of held-out clips."""

    def __init__(self, folder: pathlib.Path, clips: HeldOut) -> None:
        super().__init__(folder, clips.video.shape[2])
        self._clips = clips

    def enlarged(self, video: Floats) -> media.Pixels:
        """At the size of the GIFs."""
        return media.enlarge(video, max(1, 96 // video.shape[2]))

    def reconstructions(self, synthesizer: VideoSynthesizer, count: int = 4) -> list[Figure]:
        """The truth of `count` clips, then their reconstructions."""
        clips = self._clips.video[:count]
        rows = {"truth": clips[:, 1:], "reconstruction": synthesizer.reconstruct(clips)}
        cells = [self.enlarged(video) for videos in rows.values() for video in videos]
        self.gif("reconstructions", cells, columns=count)
        return [
            self.clip(f"{row}_{index}", clip[0], video, row)
            for row, videos in rows.items()
            for index, (clip, video) in enumerate(zip(clips, videos, strict=True))
        ]

    def samples(self, synthesizer: VideoSynthesizer, index: int, seed: int, count: int = 8) -> list[Figure]:
        """Different videos of one start frame."""
        start, mask = self._clips.video[index, 0], self._clips.mask[index]
        videos = synthesizer.sample(start[None], jax.random.key(seed), count)[0]
        seen = sky_measurements.seen_directions(np.stack([start] * count), videos, np.stack([mask] * count))
        self.gif("samples", [self.enlarged(video) for video in videos], columns=4)
        return [
            self.clip(f"sample_{number}", start, video, f"moves to {angle:.0f}°")
            for number, (video, angle) in enumerate(zip(videos, seen, strict=True))
        ]

    def wheel(self, synthesizer: VideoSynthesizer, index: int, seed: int) -> list[Figure]:
        """One residual under eight requested directions, in the places where they point, around the start frame."""
        start, mask = self._clips.video[index, 0], self._clips.mask[index]
        asked = [angle for angle in WHEEL if angle is not None]
        residual = np.asarray(jax.random.normal(jax.random.key(seed), (1, synthesizer.z_dim)))
        videos = synthesizer.transfer(residual, start[None], sky_measurements.encode_directions(asked))
        seen = sky_measurements.seen_directions(np.stack([start] * 8), videos, np.stack([mask] * 8))
        by_angle = dict(zip(asked, zip(videos, seen, strict=True), strict=True))
        figures, cells = [], []
        for angle in WHEEL:
            if angle is None:
                figures.append(self.still("wheel_start", start, "start frame"))
                cells.append(self.enlarged(np.repeat(start[None], _HELD + videos.shape[1], axis=0)))
                continue
            video, seen_angle = by_angle[angle]
            held = media.arrow(self.enlarged(np.repeat(start[None], _HELD, axis=0)), angle)
            cells.append(np.concatenate([held, self.enlarged(video)]))
            caption = f"{_ARROWS[angle // 45]} asked {angle}°, seen {seen_angle:.0f}°"
            figures.append(self.clip(f"wheel_{angle:03d}", start, video, caption))
        self.gif("wheel", cells, columns=3)
        return figures

    def transfers(self, synthesizer: VideoSynthesizer, index: int, targets: Sequence[int]) -> list[Figure]:
        """A clip, and its motion on other start frames."""
        clip, eta = self._clips.video[index : index + 1], self._clips.control[index : index + 1]
        chosen = list(targets)
        start = self._clips.video[chosen, 0]
        videos = synthesizer.transfer(synthesizer.residual(clip, eta), start, eta)
        seen = sky_measurements.seen_directions(start, videos, self._clips.mask[chosen])
        caption = f"the clip, moves to {self._clips.degrees[index]:.0f}°"
        figures = [self.clip("transfer_clip", clip[0, 0], clip[0, 1:], caption)]
        cells = [self.enlarged(video) for video in (clip[0, 1:], *videos)]
        self.gif("transfer", cells, columns=len(cells))
        for target, video, frame, angle in zip(chosen, videos, start, seen, strict=True):
            figures.append(self.clip(f"transfer_{target}", frame, video, f"moves to {angle:.0f}°"))
        return figures

    def recontrolled(self, synthesizer: VideoSynthesizer, index: int) -> list[Figure]:
        """A clip, and its residual under three other directions."""
        clip, eta = self._clips.video[index : index + 1], self._clips.control[index : index + 1]
        own = self._clips.degrees[index]
        asked = sky_measurements.bin_centers(own + np.array([90.0, 180.0, 270.0]))
        repeated = np.repeat(clip, len(asked), axis=0)
        videos = synthesizer.recontrol(
            repeated, np.repeat(eta, len(asked), axis=0), sky_measurements.encode_directions(asked)
        )
        figures = [self.clip("recontrol_clip", clip[0, 0], clip[0, 1:], f"the clip, moves to {own:.0f}°")]
        for angle, video in zip(asked, videos, strict=True):
            figures.append(self.clip(f"recontrol_{angle:03.0f}", clip[0, 0], video, f"turned to {angle:.0f}°"))
        return figures
