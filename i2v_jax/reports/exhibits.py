"""The clips and charts that a page shows."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from i2v_jax import charts, media
from i2v_jax.evaluation import sky_measurements
from i2v_jax.evaluation.sky_measurements import Floats, HeldOut
from i2v_jax.reports.page import Figure
from i2v_jax.sampling.cinn import CinnGenerator
from i2v_jax.training.writers import series

FPS = 8
_HELD = 5  # frames of a GIF that show the arrow of the requested direction
_ARROWS = "→↗↑↖←↙↓↘"
WHEEL = (135, 90, 45, 180, None, 0, 225, 270, 315)  # row by row around the start frame, degrees


class Exhibits:
    """Writes enlarged pictures and clips into the folder of a page."""

    def __init__(self, folder: pathlib.Path, size: int) -> None:
        """`size` is the height and width of the frames, which are enlarged to about 160 pixels."""
        self.folder = folder
        self.scale = max(1, 160 // size)

    def still(self, name: str, frame: Floats, caption: str) -> Figure:
        return self.drawn(name, media.enlarge(frame[None], self.scale), caption)

    def clip(self, name: str, start_frame: Floats, video: Floats, caption: str) -> Figure:
        """Writes the start frame [H, W, 3] followed by the video [T, H, W, 3]."""
        return self.drawn(name, media.enlarge(media.with_start(start_frame, video), self.scale), caption)

    def drawn(self, name: str, video: media.Pixels, caption: str) -> Figure:
        """Writes frames [T, H, W, 3] without enlarging them: a clip, or a picture if there is one frame."""
        if len(video) == 1:
            media.write_png(self.folder / f"{name}.png", video[0])
            return Figure(f"{name}.png", caption, is_video=False)
        media.write_mp4(self.folder / f"{name}.mp4", video, FPS)
        return Figure(f"{name}.mp4", caption)

    def gif(self, name: str, cells: Sequence[media.Pixels], columns: int) -> None:
        """Writes enlarged clips [T, H, W, 3] as one GIF, for places that cannot show mp4 files."""
        media.write_gif(self.folder / f"{name}.gif", media.grid(np.stack(cells), columns, pad=4), FPS)


class Gallery(Exhibits):
    """Clips of a model of the procedural sky, made from held-out clips."""

    def __init__(self, folder: pathlib.Path, clips: HeldOut) -> None:
        super().__init__(folder, clips.video.shape[2])
        self._clips = clips

    def enlarged(self, video: Floats) -> media.Pixels:
        """Enlarges a video to the size of the GIFs."""
        return media.enlarge(video, max(1, -(-96 // video.shape[2])))

    def reconstructions(self, generator: CinnGenerator, count: int = 4) -> list[Figure]:
        """Returns `count` true clips followed by their reconstructions."""
        clips = self._clips.video[:count]
        rows = {"truth": clips[:, 1:], "reconstruction": generator.reconstruct(clips)}
        cells = [self.enlarged(video) for videos in rows.values() for video in videos]
        self.gif("reconstructions", cells, columns=count)
        return [
            self.clip(f"{row}_{index}", clip[0], video, row)
            for row, videos in rows.items()
            for index, (clip, video) in enumerate(zip(clips, videos, strict=True))
        ]

    def samples(self, generator: CinnGenerator, index: int, seed: int, count: int = 8) -> list[Figure]:
        """Returns `count` samples of one start frame."""
        start, mask = self._clips.video[index, 0], self._clips.mask[index]
        videos = generator.generate(start[None], jax.random.key(seed), count)[0]
        seen = sky_measurements.seen_directions(np.stack([start] * count), videos, np.stack([mask] * count))
        self.gif("samples", [self.enlarged(video) for video in videos], columns=4)
        return [
            self.clip(f"sample_{number}", start, video, f"moves towards {angle:.0f}°")
            for number, (video, angle) in enumerate(zip(videos, seen, strict=True))
        ]

    def wheel(self, generator: CinnGenerator, index: int, seed: int) -> list[Figure]:
        """Returns one residual in eight directions, arranged around the start frame."""
        start, mask = self._clips.video[index, 0], self._clips.mask[index]
        requested = [angle for angle in WHEEL if angle is not None]
        residual = np.asarray(jax.random.normal(jax.random.key(seed), (1, generator.z_dim)))
        videos = generator.transfer(residual, start[None], sky_measurements.encode_directions(requested))
        seen = sky_measurements.seen_directions(np.stack([start] * 8), videos, np.stack([mask] * 8))
        by_angle = dict(zip(requested, zip(videos, seen, strict=True), strict=True))
        figures, cells = [], []
        for angle in WHEEL:
            if angle is None:
                figures.append(self.still("wheel_start", start, "start frame"))
                cells.append(self.enlarged(np.repeat(start[None], _HELD + videos.shape[1], axis=0)))
                continue
            video, seen_angle = by_angle[angle]
            held = media.arrow(self.enlarged(np.repeat(start[None], _HELD, axis=0)), angle)
            cells.append(np.concatenate([held, self.enlarged(video)]))
            caption = f"{_ARROWS[angle // 45]} requested {angle}°, measured {seen_angle:.0f}°"
            figures.append(self.clip(f"wheel_{angle:03d}", start, video, caption))
        self.gif("wheel", cells, columns=3)
        return figures

    def transfers(self, generator: CinnGenerator, index: int, targets: Sequence[int]) -> list[Figure]:
        """Returns a clip and its motion on other start frames."""
        clip, eta = self._clips.video[index : index + 1], self._clips.control[index : index + 1]
        chosen = list(targets)
        start = self._clips.video[chosen, 0]
        videos = generator.transfer(generator.encode_motion(clip, eta), start, eta)
        seen = sky_measurements.seen_directions(start, videos, self._clips.mask[chosen])
        caption = f"the clip, moves towards {self._clips.degrees[index]:.0f}°"
        figures = [self.clip("transfer_clip", clip[0, 0], clip[0, 1:], caption)]
        cells = [self.enlarged(video) for video in (clip[0, 1:], *videos)]
        self.gif("transfer", cells, columns=len(cells))
        for target, video, frame, angle in zip(chosen, videos, start, seen, strict=True):
            figures.append(self.clip(f"transfer_{target}", frame, video, f"moves towards {angle:.0f}°"))
        return figures

    def recontrolled(self, generator: CinnGenerator, index: int) -> list[Figure]:
        """Returns a clip and its residual in three other directions."""
        clip, eta = self._clips.video[index : index + 1], self._clips.control[index : index + 1]
        own = self._clips.degrees[index]
        requested = sky_measurements.bin_centers(own + np.array([90.0, 180.0, 270.0]))
        repeated = np.repeat(clip, len(requested), axis=0)
        videos = generator.recontrol(
            repeated, np.repeat(eta, len(requested), axis=0), sky_measurements.encode_directions(requested)
        )
        figures = [self.clip("recontrol_clip", clip[0, 0], clip[0, 1:], f"the clip, moves towards {own:.0f}°")]
        for angle, video in zip(requested, videos, strict=True):
            figures.append(self.clip(f"recontrol_{angle:03.0f}", clip[0, 0], video, f"turned to {angle:.0f}°"))
        return figures


def loss_charts(lines: Sequence[Mapping[str, Any]], title: str, y_label: str, names: Mapping[str, str]) -> list[str]:
    """Returns the chart of a training log as SVG, or nothing where the log has none of the values.

    Args:
        lines: the log, see `training.writers.read_metrics`.
        title, y_label: see `charts.line_chart`.
        names: label of a curve -> its name in the log.
    """
    curves = {label: series(lines, name) for label, name in names.items()}
    curves = {label: points for label, points in curves.items() if points}
    return [charts.svg(charts.line_chart(curves, title, "training step", y_label))] if curves else []
