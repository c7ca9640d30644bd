"""The demo page of a model of the procedural sky: measurements, clips and loss curves."""

import os
import pathlib
from collections.abc import Mapping

from ml_collections import ConfigDict

from i2v_jax.errors import UserError
from i2v_jax.evaluation import sky_measurements
from i2v_jax.reports import exhibits
from i2v_jax.reports.exhibits import Gallery
from i2v_jax.reports.page import Number, Part, Report, Section
from i2v_jax.sampling.cinn import CinnGenerator
from i2v_jax.tasks.control import DIRECTION
from i2v_jax.training.writers import read_metrics

CLIPS = 64  # held-out clips to measure on
SHOWN = 5  # index of the clip whose start frame is used for samples and the wheel


def report(
    generator: CinnGenerator, data: ConfigDict, workdir: str | os.PathLike[str], clips: int = CLIPS, seed: int = 0
) -> Report:
    """Measures a model and writes clips into its work directory.

    Args:
        generator: a model that is controlled by direction.
        data: the data settings of its configuration.
        workdir: the work directory of the model; its logs become the loss curves.
        clips: number of held-out clips to measure on, at least 8.
        seed: seed of the samples.

    Returns:
        The numbers of `sky_measurements.measure` and this model's part of the page.

    Raises:
        UserError: the model is not controlled by direction, or a file cannot be written.
    """
    if generator.control is not DIRECTION:
        raise UserError(
            "the demo needs a model that is controlled by direction: train one with config.control = 'direction'"
        )
    folder = pathlib.Path(workdir)
    held_out = sky_measurements.held_out(clips, data.size)
    numbers = sky_measurements.measure(generator, held_out, seed)
    sections = [
        *_sections(generator, Gallery(folder, held_out), numbers, seed),
        Section("Training", _TRAINING, charts=_charts(folder)),
    ]
    lead = _LEAD.format(size=generator.size)
    return Report(numbers, Part("One image, many futures", lead, tiles(numbers), sections, _FOOTER))


_LEAD = (
    "A conditional invertible network turns a still picture of a sky into videos of its clouds. The model was trained "
    "on procedurally drawn clips with known motion. All pictures have {size}x{size} pixels and are shown enlarged, so "
    "they look blocky. Everything below was measured on clips that were not used for training. Directions are angles "
    "on the screen: 0° is right, 90° up, 180° left and 270° down."
)
_TRAINING = (
    "The three stages were trained one after the other: the video autoencoder, the image autoencoder that describes "
    "the start frame, and the flow. Held-out clips are evaluated with the averaged parameters, which are also used for "
    "sampling."
)
_FOOTER = (
    "Directions are requested in bins of ten degrees. Directions of videos are measured by dense optical flow (OpenCV "
    "DIS), averaged over the sky. numbers.json holds all values."
)


def tiles(numbers: Mapping[str, float]) -> list[Number]:
    """Returns the main ones of the numbers of `sky_measurements.measure`."""
    return [
        Number(
            f"{numbers['reconstruction_psnr_db']:.1f} dB",
            f"PSNR of reconstructions; repeating the start frame gives {numbers['copied_start_frame_psnr_db']:.1f} dB",
        ),
        Number(
            f"{numbers['control_error_degrees']:.0f}°",
            f"mean angle between the requested and the measured direction; chance gives "
            f"{numbers['chance_degrees']:.0f}°, the measurement itself is off by "
            f"{numbers['estimator_error_degrees']:.1f}°",
        ),
        Number(
            f"{numbers['transfer_error_degrees']:.0f}°",
            "mean angle between the motion of a clip and the same motion transferred to another start frame",
        ),
        Number(
            f"{numbers['free_samples_spread_degrees']:.0f}°",
            f"spread (circular standard deviation) of the directions of samples; the data has "
            f"{numbers['data_spread_degrees']:.0f}°",
        ),
    ]


def _sections(generator: CinnGenerator, gallery: Gallery, numbers: Mapping[str, float], seed: int) -> list[Section]:
    count = f"{numbers['clips']:.0f}"
    return [
        Section(
            "Reconstruction",
            "Top: held-out clips. Bottom: the same clips after encoding into a start frame and a short code of the "
            f"motion. Over {count} clips the PSNR is {numbers['reconstruction_psnr_db']:.1f} dB and the SSIM "
            f"{numbers['reconstruction_ssim']:.2f}; repeating the start frame gives "
            f"{numbers['copied_start_frame_psnr_db']:.1f} dB and {numbers['copied_start_frame_ssim']:.2f}.",
            gallery.reconstructions(generator),
        ),
        Section(
            "Eight samples of one start frame",
            "One start frame, eight random residuals, with the direction drawn at random as well. The captions give "
            f"the measured directions. Over {numbers['spread_samples']:.0f} samples per start frame, the circular "
            f"standard deviation of the directions is {numbers['free_samples_spread_degrees']:.0f}°; the same number "
            f"of true clips has {numbers['data_spread_degrees']:.0f}°.",
            gallery.samples(generator, SHOWN, seed),
        ),
        Section(
            "A wheel of requested directions",
            "One start frame and one residual. Only the requested direction differs, and each clip is placed on the "
            f"side that it should move to. Over {count} other start frames, the mean angle between the requested and "
            f"the measured direction is {numbers['control_error_degrees']:.0f}° (median "
            f"{numbers['control_error_median_degrees']:.0f}°).",
            gallery.wheel(generator, SHOWN, seed),
            columns=3,
            kind="wheel",
        ),
        Section(
            "Motion transfer",
            "The residual of the first clip is applied to the start frames of other clips. Over "
            f"{count} such pairs, the mean angle to the original motion is {numbers['transfer_error_degrees']:.0f}°.",
            gallery.transfers(generator, 0, (1, 2, 3)),
        ),
        Section(
            "One clip in other directions",
            "Video-to-video control: the residual of a clip is kept, its direction is replaced. Over "
            f"{count} clips, the mean angle to the new direction is {numbers['recontrol_error_degrees']:.0f}°.",
            gallery.recontrolled(generator, 4),
        ),
    ]


def _charts(folder: pathlib.Path) -> list[str]:
    vae, image, flow = (read_metrics(folder / stage) for stage in ("video_vae", "image_ae", "flow"))
    error, bits = "mean absolute error of pixels in [-1, 1]", "bits per dimension of z"
    return [
        chart
        for title, lines, y_label, names in (
            ("Video autoencoder", vae, error, {"training": "l1", "held out": "eval/l1"}),
            ("Image autoencoder", image, error, {"training": "l1", "held out": "eval/l1"}),
            (
                "Flow, held-out clips",
                flow,
                bits,
                {"flow": "eval/bits_per_dimension", "standard normal": "eval/bits_per_dimension_standard_normal"},
            ),
        )
        for chart in exhibits.loss_charts(lines, title, y_label, names)
    ]
