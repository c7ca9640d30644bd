"""The demo page of a poke model of the procedural plants: measurements, clips and loss curves."""

import os
import pathlib
from collections.abc import Mapping

import numpy as np
from ml_collections import ConfigDict

from i2v_jax import charts, media
from i2v_jax.errors import UserError
from i2v_jax.evaluation import poke_measurements
from i2v_jax.evaluation.poke_measurements import Measured
from i2v_jax.evaluation.poked_clips import CLIPS, PokedClips, held_out
from i2v_jax.input.procedural import plants
from i2v_jax.reports.exhibits import Exhibits, loss_charts
from i2v_jax.reports.page import Figure, Number, Part, Report, Section
from i2v_jax.sampling.poke import PokeGenerator, likeness
from i2v_jax.training.writers import read_metrics

SHOWN = 3  # index of the clip that is poked in many ways
_STRENGTHS = (0.25, 0.5, 1.0, 1.5)


def report(generator: PokeGenerator, data: ConfigDict, workdir: str | os.PathLike[str], clips: int = CLIPS) -> Report:
    """Measures a model and writes clips into its work directory.

    Args:
        generator: a model of `plants`.
        data: the data settings of its configuration.
        workdir: the work directory of the model; its logs become the loss curves.
        clips: number of held-out clips to measure on, at least 4.

    Returns:
        The numbers of `poke_measurements.measure`, their values by frame, and this model's part of the page.

    Raises:
        UserError: not a poke model; a file cannot be written.
    """
    if not isinstance(generator, PokeGenerator):
        raise UserError("this demo shows the poke model: leave model=cinn out of --arguments")
    folder = pathlib.Path(workdir)
    poked = held_out(data, clips)
    measured = poke_measurements.measure(generator, poked)
    sections = [*_sections(generator, PokeGallery(folder, poked), measured), _training(folder)]
    part = Part(
        "Poke an image",
        _LEAD.format(size=generator.size),
        tiles(measured.numbers),
        sections,
        _FOOTER.format(size=generator.size),
    )
    return Report(measured.numbers, part, measured.curves)


_LEAD = (
    "Drag one pixel of a picture of plants, and the model predicts a video of how the plants move. It was trained on "
    "procedurally drawn clips with known motion. All pictures have {size}x{size} pixels and are shown enlarged, so "
    "they look blocky. Everything below was measured on clips that were not used for training."
)
_FOOTER = (
    "Lengths are in pixels of the model's {size}x{size} pictures. The final position of a point is measured by optical "
    "flow (OpenCV DIS) over the video; the tracker's error is the error of this measurement on true clips. "
    "numbers.json holds all values."
)


def tiles(numbers: Mapping[str, float]) -> list[Number]:
    """Returns the main ones of the numbers of `poke_measurements.measure`."""
    return [
        Number(
            f"{numbers['target_error_model']:.2f} px",
            f"mean distance between the final position of the poked point and its target; a still video has "
            f"{numbers['target_error_still']:.2f} px, the tracker's error is {numbers['target_error_truth']:.2f} px",
        ),
        Number(
            f"{numbers['background_motion_model']:.2f} px",
            f"mean motion after a poke of the background, where nothing should move; true clips of moving plants have "
            f"{numbers['motion_truth']:.2f} px",
        ),
        Number(
            f"{numbers['psnr_db_model']:.1f} dB",
            f"PSNR; repeating the start frame gives {numbers['psnr_db_still']:.1f} dB, shifting it as a whole "
            f"{numbers['psnr_db_translation']:.1f} dB",
        ),
        Number(
            f"{numbers['ssim_model']:.3f}",
            f"SSIM; repeating the start frame gives {numbers['ssim_still']:.3f}, shifting it as a whole "
            f"{numbers['ssim_translation']:.3f}",
        ),
    ]


def _sections(generator: PokeGenerator, gallery: "PokeGallery", measured: Measured) -> list[Section]:
    count = f"{measured.numbers['clips']:.0f}"
    return [
        Section(
            "Held-out clips and predictions",
            "Top: true clips. Bottom: what the model predicts from the first frame and the motion of one pixel. The "
            "arrow is the poke, the ring its target.",
            gallery.answers(generator),
        ),
        Section(
            "Four strengths at one place",
            "The same pixel and direction, with four lengths of the poke.",
            gallery.strengths(generator, SHOWN),
        ),
        Section(
            "Different places",
            "Four pixels of the plants in one picture, dragged in the same direction.",
            gallery.places(generator, SHOWN),
        ),
        Section(
            "The background",
            f"Pokes of the background should move nothing. Over {count} clips the mean motion is "
            f"{measured.numbers['background_motion_model']:.2f} px.",
            gallery.backgrounds(generator),
        ),
        Section(
            "What moves together",
            "The model was given a hundred random pokes of the ringed pixel. Bright regions move with that pixel in "
            "all predictions (low variance of the difference in magnitude and angle of the flow).",
            gallery.structures(generator, SHOWN),
        ),
        Section(
            "Values by frame",
            f"Means over {count} clips, compared with repeating the start frame and with shifting it as a whole.",
            charts=_curves(measured),
        ),
    ]


def _curves(measured: Measured) -> list[str]:
    names = {"model": "model", "still": "start frame repeated", "translation": "start frame shifted"}
    labels = {"psnr_db": "PSNR (dB)", "ssim": "SSIM", "lpips": "LPIPS", "laplacian": "Laplacian pyramid distance"}
    drawn = []
    for metric, by_name in measured.curves.items():
        label = labels.get(metric, metric)
        points = {names.get(name, name): list(enumerate(curve, start=1)) for name, curve in by_name.items()}
        drawn.append(charts.svg(charts.line_chart(points, label, "frame (the start frame is 0)", label)))
    return drawn


def _training(folder: pathlib.Path) -> Section:
    lines = read_metrics(folder / "poke")
    drawn = [
        *loss_charts(
            lines,
            "Frames",
            "perceptual distance to the truth",
            {"training": "perceptual", "held out": "eval/perceptual"},
        ),
        *loss_charts(lines, "States", "distance of predicted to true states", {"training": "latent"}),
    ]
    return Section("Training", "Held-out clips are evaluated with the averaged parameters.", charts=drawn)


def spread_places(index: int, size: int, count: int) -> np.ndarray:
    """Returns pixels (x, y) [count, 2] in the upper parts of the plants of a test clip, from left to right."""
    rows, columns = np.nonzero(plants.plants_mask("test", index, size))
    groups = np.array_split(np.argsort(columns, kind="stable"), count)
    chosen = [group[np.argsort(rows[group], kind="stable")[len(group) // 4]] for group in groups]
    return np.stack([columns[chosen], rows[chosen]], axis=-1).astype(np.float32)


class PokeGallery(Exhibits):
    """Writes predictions with the poke's arrow and target drawn in."""

    def __init__(self, folder: pathlib.Path, clips: PokedClips) -> None:
        super().__init__(folder, clips.video.shape[2])
        self._clips = clips

    def _poked(self, name: str, video: np.ndarray, position: np.ndarray, shift: np.ndarray, caption: str) -> Figure:
        """Writes a clip [1 + T, H, W, 3] that begins with the start frame."""
        marked = media.poked(media.enlarge(video, self.scale), self.scale, position, shift)
        return self.drawn(name, marked, caption)

    def _answer(
        self, generator: PokeGenerator, name: str, index: int, pokes: list[tuple[np.ndarray, np.ndarray, str]]
    ) -> list[Figure]:
        """Writes predictions for several pokes (position, displacement, caption) of one start frame."""
        start = self._clips.video[index, 0]
        positions, shifts = (np.stack([poke[side] for poke in pokes]) for side in (0, 1))
        videos = generator.respond(start[None], positions, shifts)
        return [
            self._poked(f"{name}_{number}", media.with_start(start, video), *poke)
            for number, (video, poke) in enumerate(zip(videos, pokes, strict=True))
        ]

    def answers(self, generator: PokeGenerator, count: int = 4) -> list[Figure]:
        """Returns `count` true clips followed by the predictions."""
        clips = self._clips
        start, position, shift = clips.video[:count, 0], clips.position[:count], clips.displacement[:count]
        videos = np.concatenate([start[:, None], generator.respond(start, position, shift)], axis=1)
        rows = {"truth": clips.video[:count], "prediction": videos}
        return [
            self._poked(f"{row}_{index}", video, position[index], shift[index], row)
            for row, shown in rows.items()
            for index, video in enumerate(shown)
        ]

    def strengths(self, generator: PokeGenerator, index: int) -> list[Figure]:
        """Returns predictions for pokes of one pixel in one direction with four lengths."""
        position, shift = self._clips.position[index], self._clips.displacement[index]
        pokes = [(position, share * shift, f"{np.hypot(*(share * shift)):.1f} px") for share in _STRENGTHS]
        return self._answer(generator, "strength", index, pokes)

    def places(self, generator: PokeGenerator, index: int) -> list[Figure]:
        """Returns predictions for pokes of four pixels of the plants to the right."""
        chosen = spread_places(index, generator.size, 4)
        shift = np.array([0.07 * generator.size, 0.0], np.float32)
        return self._answer(generator, "place", index, [(place, shift, "") for place in chosen])

    def backgrounds(self, generator: PokeGenerator, count: int = 4) -> list[Figure]:
        """Returns predictions for pokes of the background."""
        figures = []
        for index in range(count):
            poke = (self._clips.background[index], self._clips.displacement[index], "background")
            figures += self._answer(generator, f"background_{index}", index, [poke])
        return figures

    def structures(self, generator: PokeGenerator, index: int) -> list[Figure]:
        """Returns heat maps of what moves with four pixels."""
        start, figures = self._clips.video[index, 0], []
        for number, place in enumerate(spread_places(index, generator.size, 4)):
            heat = media.enlarge(media.heat(start, likeness(generator.structure(start, place)))[None], self.scale)
            ringed = media.target(heat, (place + 0.5) * self.scale, 0.03 * heat.shape[1], (255, 255, 255))
            figures.append(self.drawn(f"structure_{number}", ringed, ""))
        return figures
