"""Transfers the motion of a clip to other images, or changes its control.

    python -m launch.transfer --workdir=RUN --clip=a.mp4 --image=b.jpg --image=c.jpg --out=DIR
    python -m launch.transfer --workdir=RUN --clip=a.mp4 --set=direction=120 --out=DIR

The direction of the clip is measured unless --direction gives it; an end point is given with --endpoint.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from i2v_jax.commands import command
from i2v_jax.errors import UserError
from i2v_jax.input import images
from i2v_jax.launch import _checkpoint, _synthesis
from i2v_jax.launch._app import run
from i2v_jax.media.paths import short_name, unique_names
from i2v_jax.tasks import control as controls

CLIP = flags.DEFINE_string(
    "clip",
    None,
    "Clip whose motion is transferred: a video file or a folder of frames, 17 frames or more.",
    required=True,
)
IMAGE = flags.DEFINE_multi_string("image", [], "Image file: a start frame to which the motion is transferred.")
SET = flags.DEFINE_string(
    "set", None, "New control for the residual of the clip: direction=120 or endpoint=0.6,0.1,0.25."
)
START = flags.DEFINE_integer("start", 0, "Index of the first frame of the clip.", lower_bound=0)
STRIDE = flags.DEFINE_integer("stride", 1, "Take every n-th frame of the clip.", lower_bound=1)
FRAMES = flags.DEFINE_integer("frames", 16, "Length of the videos.", lower_bound=1)

_LONGEST_LABEL = 60  # characters above a video, which is widened to hold them


def main(argv: Sequence[str]) -> None:
    from i2v_jax import media
    from i2v_jax.sampling.generator import FEW
    from i2v_jax.sampling.load import describe, load_generator
    from i2v_jax.workdir import read_workdir

    if not IMAGE.value and SET.value is None:
        raise UserError(
            "--image and --set are missing: give images for the motion (--image=b.jpg), another control "
            "(--set=direction=120), or both",
            "image",
        )
    config = read_workdir(_synthesis.WORKDIR.value)
    about, crop, resize = describe(config), _synthesis.CROP.value or config.data.crop, config.data.resize
    if not about.latent_dimensions:
        raise UserError(
            f"{_synthesis.WORKDIR.value} has no latent motion to transfer: "
            f"poke an image with {command('sample', '--poke=x,y,dx,dy')}",
            "workdir",
            _synthesis.WORKDIR.value,
        )
    clip = images.read_clip(
        CLIP.value, about.frames + 1, about.size, crop, resize=resize, start=START.value, stride=STRIDE.value
    )
    names = unique_names(IMAGE.value or [CLIP.value])
    start_frames = _synthesis.read_start_frames(IMAGE.value, about.size, crop, resize) if IMAGE.value else clip[:1]
    own = own_control(about.control, clip)
    new = about.control.request(_synthesis.named_control("--set", SET.value), about.size) if SET.value else own
    output = _synthesis.Output(about.size)
    generator: Any = load_generator(_synthesis.WORKDIR.value, checkpoint=_checkpoint.chosen(), quick=len(names) <= FEW)
    videos = generator.transfer(generator.encode_motion(clip[None], own), start_frames, new, FRAMES.value)

    columns = [("clip", media.enlarge(clip, output.scale))]
    for name, start_frame, video in zip(names, start_frames, videos, strict=True):
        label = f"{name} {SET.value}" if SET.value else name
        whole = media.with_start(start_frame, video)
        output.video(short_name(label.replace(" ", "_").replace("=", "_")), whole)
        columns.append(
            (
                label if len(label) <= _LONGEST_LABEL else f"{label[:_LONGEST_LABEL]}...",
                media.enlarge(whole, output.scale),
            )
        )
    output.overview("comparison", media.side_by_side(columns, pad=8))


def own_control(control: controls.Control, clip: np.ndarray) -> np.ndarray | None:
    """Returns the clip's eta [1, n]: from the flags, or measured; None without control."""
    size = clip.shape[1]
    own = control.request(_synthesis.requested_controls(), size)
    if own is not None or not control.width:
        return own
    measured = control.measure(clip)
    print(
        f"the clip's own {control.name} is {measured} (measured; --control={control.name}={control.form} sets another)"
    )
    return control.request({control.name: measured}, size)


if __name__ == "__main__":
    run(main, buckets=("workdir", "out"))
