"""Measures a trained poke model of the procedural plants and shows it."""

import os
import pathlib
from collections.abc import Mapping

import numpy as np
from ml_collections import ConfigDict

from i2v_jax import media
from i2v_jax.evaluation import poke_measurements
from i2v_jax.evaluation.poke_measurements import Measured
from i2v_jax.evaluation.poked_clips import CLIPS, PokedClips, held_out
from i2v_jax.input.procedural import plants
from i2v_jax.reports import curves
from i2v_jax.reports.exhibits import Exhibits, Figure
from i2v_jax.reports.page import Number, Part, Report, Section
from i2v_jax.sampling.poke_synthesizer import PokeSynthesizer, likeness
from i2v_jax.training.writers import read_metrics

SHOWN = 3  # the clip that is poked in many ways
_STRENGTHS = (0.25, 0.5, 1.0, 1.5)


def report(
    synthesizer: PokeSynthesizer, data: ConfigDict, workdir: str | os.PathLike[str], clips: int = CLIPS
) -> Report:
    """Measures, and writes clips into the work directory.

    Args:
        synthesizer: of a model of `plants`.
        data: of its configuration.
        workdir: where the model was trained; its metrics become the loss curves.
        clips: held-out clips to measure on, at least 4.

    Returns:
        The numbers of `poke_measurements.measure_pokes`, the same by frame, and the part of the page.

    Raises:
        UserError: a file cannot be written.
    """
    folder = pathlib.Path(workdir)
    poked = held_out(data, clips)
    measured = poke_measurements.measure(synthesizer, poked)
    sections = [*_sections(synthesizer, PokeGallery(folder, poked), measured), _training(folder)]
    part = Part("Poke an image", _LEAD, _tiles(measured.numbers), sections, _FOOTER)
    return Report(measured.numbers, part, measured.curves)


_LEAD = (
    "A picture of plants answers when one of its pixels is pulled somewhere. The model was trained here, on "
    "procedurally drawn clips whose motion is known; everything below is measured on clips that it never saw."
)
_FOOTER = (
    "Lengths are in pixels at the model's resolution. Where a point ends is measured by optical flow (OpenCV DIS) over "
    "the answer; the same measurement on true clips has the error that is called the tracker's. All numbers are in "
    "numbers.json."
)


def _tiles(numbers: Mapping[str, float]) -> list[Number]:
    return [
        Number(
            f"{numbers['target_error_model']:.2f} px",
            f"from where the poked point ends to where it was sent; not moving at all is off by "
            f"{numbers['target_error_still']:.2f} px, the tracker by {numbers['target_error_truth']:.2f} px",
        ),
        Number(
            f"{numbers['background_motion_model']:.2f} px",
            f"mean motion after a poke of the background; true clips move by {numbers['motion_truth']:.2f} px",
        ),
        Number(
            f"{numbers['psnr_db_model']:.1f} dB",
            f"PSNR of the answers; copying the start frame gives {numbers['psnr_db_still']:.1f} dB, moving it as a "
            f"whole {numbers['psnr_db_translation']:.1f} dB",
        ),
        Number(
            f"{numbers['ssim_model']:.3f}",
            f"SSIM; copying {numbers['ssim_still']:.3f}, moving as a whole {numbers['ssim_translation']:.3f}",
        ),
    ]


def _sections(synthesizer: PokeSynthesizer, gallery: "PokeGallery", measured: Measured) -> list[Section]:
    count = f"{measured.numbers['clips']:.0f}"
    plots = "".join(
        curves.line_plot({name: list(enumerate(curve, 1)) for name, curve in by_name.items()}, metric, "frames")
        for metric, by_name in measured.curves.items()
    )
    return [
        Section(
            "Held-out clips and the answers to their pokes",
            "Above, true clips; below, what the model makes of their first frame and the motion of one pixel. An arrow "
            "is the poke, a ring the place that the poked point is sent to.",
            gallery.answers(synthesizer),
        ),
        Section(
            "Four strengths at one place",
            "The same pixel and direction; what differs is how far the point is to go.",
            gallery.strengths(synthesizer, SHOWN),
        ),
        Section(
            "Different places",
            "Different pixels of the plants of one picture, pulled in the same direction.",
            gallery.places(synthesizer, SHOWN),
        ),
        Section(
            "The background",
            f"Nothing may move. Over {count} clips the mean motion is "
            f"{measured.numbers['background_motion_model']:.2f} px.",
            gallery.backgrounds(synthesizer),
        ),
        Section(
            "What belongs together",
            "A hundred random pokes at the ringed place; bright is what moves with it in all answers (variance over "
            "pokes of the difference in magnitude and angle of the flow).",
            gallery.structures(synthesizer, SHOWN),
        ),
        Section(
            "Numbers over time",
            f"Means over {count} clips by frame, next to copying the start frame and moving it as a whole.",
            markup=f'<div class="plots">{plots}</div>',
        ),
    ]


def _training(folder: pathlib.Path) -> Section:
    lines = read_metrics(folder / "poke")
    plots = (
        ("Distance of the answers", {"training": "perceptual", "held out": "eval/perceptual"}),
        ("Distance of the states", {"training": "latent"}),
    )
    markup = "".join(
        curves.line_plot({label: curves.series(lines, name) for label, name in names.items()}, title)
        for title, names in plots
    )
    return Section(
        "Training", "Held-out clips are answered with averaged parameters.", markup=f'<div class="plots">{markup}</div>'
    )


def spread_places(index: int, size: int, count: int) -> np.ndarray:
    """Places [count, 2] on the plants of a test clip, from left to right, in their upper parts."""
    rows, columns = np.nonzero(plants.plants_mask("test", index, size))
    groups = np.array_split(np.argsort(columns, kind="stable"), count)
    chosen = [group[np.argsort(rows[group], kind="stable")[len(group) // 4]] for group in groups]
    return np.stack([columns[chosen], rows[chosen]], axis=-1).astype(np.float32)


class PokeGallery(Exhibits):
    """Answers to pokes as files, arrow and target drawn."""

    def __init__(self, folder: pathlib.Path, clips: PokedClips) -> None:
        super().__init__(folder, clips.video.shape[2])
        self._clips = clips

    def _poked(self, name: str, video: np.ndarray, position: np.ndarray, shift: np.ndarray, caption: str) -> Figure:
        """A clip [1 + T, H, W, 3], the start frame first."""
        marked = media.poked(media.enlarge(video, self.scale), self.scale, position, shift)
        return self.drawn(name, marked, caption)

    def _answer(
        self, synthesizer: PokeSynthesizer, name: str, index: int, pokes: list[tuple[np.ndarray, np.ndarray, str]]
    ) -> list[Figure]:
        """Several pokes (position, displacement, caption) of one start frame."""
        start = self._clips.video[index, 0]
        positions, shifts = (np.stack([poke[side] for poke in pokes]) for side in (0, 1))
        videos = synthesizer.respond(start[None], positions, shifts)
        return [
            self._poked(f"{name}_{number}", media.with_start(start, video), *poke)
            for number, (video, poke) in enumerate(zip(videos, pokes, strict=True))
        ]

    def answers(self, synthesizer: PokeSynthesizer, count: int = 4) -> list[Figure]:
        """The truth of `count` clips, then the answers."""
        clips = self._clips
        start, position, shift = clips.video[:count, 0], clips.position[:count], clips.displacement[:count]
        videos = np.concatenate([start[:, None], synthesizer.respond(start, position, shift)], axis=1)
        rows = {"truth": clips.video[:count], "answer": videos}
        return [
            self._poked(f"{row}_{index}", video, position[index], shift[index], row)
            for row, shown in rows.items()
            for index, video in enumerate(shown)
        ]

    def strengths(self, synthesizer: PokeSynthesizer, index: int) -> list[Figure]:
        """One place, one direction, four lengths."""
        position, shift = self._clips.position[index], self._clips.displacement[index]
        pokes = [(position, share * shift, f"{np.hypot(*(share * shift)):.1f} px") for share in _STRENGTHS]
        return self._answer(synthesizer, "strength", index, pokes)

    def places(self, synthesizer: PokeSynthesizer, index: int) -> list[Figure]:
        """Four pixels of the plants, from left to right, pulled to the right."""
        chosen = spread_places(index, synthesizer.size, 4)
        shift = np.array([0.07 * synthesizer.size, 0.0], np.float32)
        return self._answer(synthesizer, "place", index, [(place, shift, "") for place in chosen])

    def backgrounds(self, synthesizer: PokeSynthesizer, count: int = 4) -> list[Figure]:
        """Pokes where there is no plant."""
        figures = []
        for index in range(count):
            poke = (self._clips.background[index], self._clips.displacement[index], "background")
            figures += self._answer(synthesizer, f"background_{index}", index, [poke])
        return figures

    def structures(self, synthesizer: PokeSynthesizer, index: int) -> list[Figure]:
        """Heat maps of four places."""
        start, figures = self._clips.video[index, 0], []
        for number, place in enumerate(spread_places(index, synthesizer.size, 4)):
            heat = media.enlarge(media.heat(start, likeness(synthesizer.structure(start, place)))[None], self.scale)
            ringed = media.target(heat, (place + 0.5) * self.scale, 0.03 * heat.shape[1], (255, 255, 255))
            figures.append(self.drawn(f"structure_{number}", ringed, ""))
        return figures
