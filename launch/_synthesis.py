"""What `sample` and `transfer` share: flags, and files written."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from absl import flags

from i2v_jax import files, media
from i2v_jax.errors import UserError
from i2v_jax.input import images
from i2v_jax.input.flow import estimate
from i2v_jax.pixels import to_uint8

WORKDIR = flags.DEFINE_string("workdir", None, "Work directory of a trained model, or its file.", required=True)
OUT = flags.DEFINE_string("out", None, "Folder for the videos.", required=True)
DIRECTION = flags.DEFINE_float("direction", None, "Direction of the motion in degrees: 0 is right, 90 is up.")
ENDPOINT = flags.DEFINE_string(
    "endpoint", None, "Position x,y,z of the end effector in the last frame, in the coordinates of the data set."
)
CONTROL = flags.DEFINE_string(
    "control", None, "Control of the motion, NAME=VALUE. --direction and --endpoint are short for it."
)
CROP = flags.DEFINE_enum("crop", None, ["resize", "center"], "How images are made square; by default as in training.")
FPS = flags.DEFINE_float("fps", 8, "Frames per second of the videos.", lower_bound=0.1)
CODEC = flags.DEFINE_enum("codec", media.CODECS[0], media.CODECS, "How mp4 files are encoded.")
SCALE = flags.DEFINE_integer(
    "scale", 0, "Factor by which videos are enlarged; 0 enlarges them to about 256 pixels.", lower_bound=0
)


def requested_controls() -> dict[str, str | None]:
    """Returns control name -> the text of its flag, None if not given. Raises UserError for an invalid --control."""
    direction = None if DIRECTION.value is None else str(DIRECTION.value)
    given = {"direction": direction, "endpoint": ENDPOINT.value}
    return given if CONTROL.value is None else given | named_control("--control", CONTROL.value)


def named_control(flag: str, text: str) -> dict[str, str | None]:
    """Returns {control name: value} of NAME=VALUE. Raises UserError for another form, and for an unknown name."""
    from i2v_jax.tasks import control as controls

    name, _, value = text.partition("=")
    known = {control.name: control.form for control in controls.every() if control.form}
    if name not in known or not value:
        forms = [f"{name}={form}" for name, form in known.items()]
        raise UserError(f"{flag}={text}: write {', '.join(forms[:-1])} or {forms[-1]}", flag.lstrip("-"), text)
    return {name: value}


def refuse(*names: str, why: str) -> None:
    """Raises UserError if one of these flags, which the model does not use, was given."""
    given = [f"--{name}" for name in names if flags.FLAGS[name].present]
    if given:
        raise UserError(f"{', '.join(given)}: {why}", given[0].lstrip("-"))


def read_start_frames(paths: Sequence[str], size: int, crop: str, resize: str) -> np.ndarray:
    """Returns image files as [B, size, size, 3] in [-1, 1]. Raises UserError for a file that is not an image."""
    return np.stack([images.read_image(path, size, crop, resize) for path in paths])


Draw = Callable[[media.Pixels, int], media.Pixels]  # (enlarged frames, how many times) -> frames


def enlarged(video: np.ndarray, scale: int, draw: Draw | None) -> media.Pixels:
    """Returns a video [T, H, W, 3] enlarged `scale` times, after `draw`."""
    frames = media.enlarge(video, scale)
    return draw(frames, scale) if draw else frames


@dataclasses.dataclass(frozen=True)
class Row:
    """A start frame that samples are drawn of."""

    name: str
    start_frame: np.ndarray  # [H, W, 3]

    @property
    def draw(self) -> Draw | None:
        """What is drawn on its videos."""
        return None


class Output:
    """The folder of results, as the flags say: writes files and says which."""

    def __init__(self, size: int) -> None:
        """Takes frames of `size` pixels. Raises UserError if nothing can be written to the folder."""
        self.folder = files.location(OUT.value)
        self.scale = SCALE.value or media.usual_scale(size)
        files.require_writable(self.folder)

    def video(self, name: str, video: np.ndarray, draw: Draw | None = None) -> None:
        """Writes a video [T, H, W, 3] as NAME.mp4, NAME.gif and NAME_strip.png; `draw` draws on the enlarged frames."""

        def drawn(scale: int) -> media.Pixels:
            return enlarged(video, scale, draw)

        whole = drawn(self.scale)
        media.write_mp4(self.folder / f"{name}.mp4", whole, FPS.value, codec=CODEC.value)
        media.write_gif(self.folder / f"{name}.gif", whole, FPS.value)
        media.write_png(self.folder / f"{name}_strip.png", media.stills(drawn, self.scale))
        self._say(f"{name}.mp4", f"{name}.gif", f"{name}_strip.png")

    def picture(self, name: str, image: np.ndarray) -> None:
        """Writes a picture [H, W, 3] as NAME.png."""
        media.write_png(self.folder / f"{name}.png", image, self.scale)
        self._say(f"{name}.png")

    def flow(self, name: str, videos: np.ndarray, draw: Draw | None = None) -> None:
        """Writes NAME_flow.png: start, middle and last frame of each video [S, T, H, W, 3], and the flow between.

        The flow from the first to the last frame is estimated by DIS, and shown in the colors of a wheel beside it.
        """
        levels = to_uint8(videos)
        flows = np.stack([estimate(video[0], video[-1]) for video in levels])
        longest = float(np.hypot(flows[..., 0], flows[..., 1]).max())
        times = [0, (videos.shape[1] - 1) // 2, videos.shape[1] - 1]
        rows: list[tuple[str, media.Pixels]] = []
        for video, found in zip(levels, flows, strict=True):
            frames = enlarged(video[times], self.scale, draw)
            cells = [(f"x_{time}", frame[None]) for time, frame in zip(times, frames, strict=True)]
            colors = media.enlarge(media.flow_colors(found, longest)[None], self.scale)
            cells.append((f"flow from x_0 to x_{times[-1]}, up to {longest:.1f} pixels", colors))
            if not rows:
                cells.append(("direction", media.flow_wheel(self.scale * videos.shape[2] // 2)[None]))
            rows.append(("", media.side_by_side(cells)))
        media.write_png(self.folder / f"{name}_flow.png", media.stack_rows(rows)[0])
        self._say(f"{name}_flow.png")

    def overview(self, name: str, video: np.ndarray) -> None:
        """Writes a composed video, already enlarged, as NAME.mp4 and its last frame as NAME.png."""
        media.write_mp4(self.folder / f"{name}.mp4", video, FPS.value, codec=CODEC.value)
        media.write_png(self.folder / f"{name}.png", video[-1])
        self._say(f"{name}.mp4", f"{name}.png")

    def _say(self, *names: str) -> None:
        print("wrote " + ", ".join(str(self.folder / name) for name in names))
