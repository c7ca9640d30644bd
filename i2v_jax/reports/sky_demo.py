"""Measures a trained model of the procedural sky and shows it."""

import os
import pathlib
from collections.abc import Mapping

from i2v_jax.errors import UserError
from i2v_jax.evaluation import sky_measurements
from i2v_jax.reports import curves
from i2v_jax.reports.exhibits import Gallery
from i2v_jax.reports.page import Number, Part, Report, Section
from i2v_jax.sampling.synthesizer import VideoSynthesizer
from i2v_jax.training.writers import read_metrics

CLIPS = 64  # held-out clips that the numbers come from
SHOWN = 5  # the clip that samples and wheel start from


def report(synthesizer: VideoSynthesizer, workdir: str | os.PathLike[str], clips: int = CLIPS, seed: int = 0) -> Report:
    """Measures, and writes clips into the work directory.

    Args:
        synthesizer: of a model with control by direction.
        workdir: where the model was trained; its metrics become the loss curves.
        clips: held-out clips to measure on, 8 or more.
        seed: of the samples.

    Returns:
        The numbers of `sky_measurements.measure`, and the part of the page.

    Raises:
        UserError: the model has no control by direction; a file cannot be written.
    """
    if synthesizer.control != "direction":
        raise UserError("the demo asks for directions: this model was trained without them (config.control)")
    folder = pathlib.Path(workdir)
    held_out = sky_measurements.held_out(clips, synthesizer.size)
    numbers = sky_measurements.measure(synthesizer, held_out, seed)
    sections = [
        *_sections(synthesizer, Gallery(folder, held_out), numbers, seed),
        Section("Training", _TRAINING, markup=f'<div class="plots">{_plots(folder)}</div>'),
    ]
    return Report(numbers, Part("One image, many futures", _LEAD, _tiles(numbers), sections, _FOOTER))


_LEAD = (
    "A conditional invertible network turns a still picture of a sky into videos of its clouds. It was trained here, "
    "on procedurally drawn clips whose motion is known; everything below is measured on clips that it never saw."
)
_TRAINING = (
    "The three stages one after the other: the video autoencoder, the image autoencoder that describes the start "
    "frame, and the flow. Held-out clips are scored with the averaged parameters that are used for sampling."
)
_FOOTER = (
    "Directions are in degrees on the screen: 0 is right, 90 is up. They are asked for in bins of ten degrees and "
    "measured by dense optical flow (OpenCV DIS) averaged over the sky. All numbers are in numbers.json."
)


def _tiles(numbers: Mapping[str, float]) -> list[Number]:
    return [
        Number(
            f"{numbers['reconstruction_psnr_db']:.1f} dB",
            f"reconstruction PSNR; copying the start frame gives {numbers['copied_start_frame_psnr_db']:.1f} dB",
        ),
        Number(
            f"{numbers['control_error_degrees']:.0f}°",
            f"mean angle between asked and seen motion; chance is {numbers['chance_degrees']:.0f}°, "
            f"the measurement itself {numbers['estimator_error_degrees']:.1f}°",
        ),
        Number(
            f"{numbers['transfer_error_degrees']:.0f}°",
            "mean angle between the motion of a clip and what another start frame makes of it",
        ),
        Number(
            f"{numbers['free_samples_spread_degrees']:.0f}°",
            f"circular standard deviation of the directions of free samples; that of the data is "
            f"{numbers['data_spread_degrees']:.0f}°",
        ),
    ]


def _sections(
    synthesizer: VideoSynthesizer, gallery: Gallery, numbers: Mapping[str, float], seed: int
) -> list[Section]:
    count = f"{numbers['clips']:.0f}"
    return [
        Section(
            "Reconstruction",
            "Above, held-out clips; below, what remains of them after the start frame and a short code of the motion. "
            f"Over {count} clips the PSNR is {numbers['reconstruction_psnr_db']:.1f} dB and the SSIM "
            f"{numbers['reconstruction_ssim']:.2f}; copying the start frame gives "
            f"{numbers['copied_start_frame_psnr_db']:.1f} dB and {numbers['copied_start_frame_ssim']:.2f}.",
            gallery.reconstructions(synthesizer),
        ),
        Section(
            "Eight samples of one start frame",
            "The same picture, eight random residuals, the direction left open and drawn with them. Each caption says "
            f"where the clouds are seen to move. Over {numbers['spread_samples']:.0f} samples per start frame the "
            f"circular standard deviation is {numbers['free_samples_spread_degrees']:.0f}°; as many true clips have "
            f"{numbers['data_spread_degrees']:.0f}°.",
            gallery.samples(synthesizer, SHOWN, seed),
        ),
        Section(
            "A wheel of requested directions",
            "One start frame and one residual; only the requested direction differs, and each clip stands where it "
            f"should move to. For {count} other start frames the mean angle between asked and seen is "
            f"{numbers['control_error_degrees']:.0f}° (median {numbers['control_error_median_degrees']:.0f}°).",
            gallery.wheel(synthesizer, SHOWN, seed),
            columns=3,
            kind="wheel",
        ),
        Section(
            "Motion transfer",
            "The residual of the first clip, on start frames of others. Over "
            f"{count} such pairs the mean angle to the true motion is {numbers['transfer_error_degrees']:.0f}°.",
            gallery.transfers(synthesizer, 0, (1, 2, 3)),
        ),
        Section(
            "The same clip, turned",
            "Video-to-video control: the residual of a clip stays, its direction is replaced. Over "
            f"{count} clips the mean angle to the new direction is {numbers['recontrol_error_degrees']:.0f}°.",
            gallery.recontrolled(synthesizer, 4),
        ),
    ]


def _plots(folder: pathlib.Path) -> str:
    vae, image, flow = (read_metrics(folder / stage) for stage in ("video_vae", "image_ae", "flow"))
    plots = (
        ("Video autoencoder: L1 per pixel", vae, {"training": "l1", "held out": "eval/l1"}),
        ("Image autoencoder: L1 per pixel", image, {"training": "l1", "held out": "eval/l1"}),
        (
            "Flow: bits per dimension, held out",
            flow,
            {"flow": "eval/bits_per_dimension", "standard normal": "eval/bits_per_dimension_standard_normal"},
        ),
    )
    return "".join(
        curves.line_plot({label: curves.series(lines, name) for label, name in names.items()}, title)
        for title, lines, names in plots
    )
