"""A trained model in a notebook: `i2v_jax.load(MODEL).show(IMAGE)` displays its videos."""

import base64
import dataclasses
import functools
import html
import os
import pathlib
from collections.abc import Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from i2v_jax import files, media
from i2v_jax.distributed.runtime import configure_platform
from i2v_jax.errors import UserError
from i2v_jax.input.images import AnyImage, pixels_of
from i2v_jax.sampling.arrays import Array
from i2v_jax.sampling.generator import Chain, Generator
from i2v_jax.sampling.load import Selection, load_generator
from i2v_jax.serving.answers import Clip, Mark, encode
from i2v_jax.serving.models import ServedModel, VideoRequest
from i2v_jax.serving.start import FPS
from i2v_jax.workdir import read_workdir

_FORMS = {".mp4": "mp4", ".gif": "gif", ".png": "strip", ".npz": "npz"}
_FIGURE = """<figure style="margin: 0">
<video src="data:video/mp4;base64,{video}" width="{width}" autoplay loop muted controls playsinline></video>
<figcaption style="font-size: smaller">{caption}</figcaption>
</figure>"""


@dataclasses.dataclass(frozen=True)
class Shown:
    """A clip, and what is written below it."""

    clip: Clip
    caption: str


@dataclasses.dataclass(frozen=True)
class Videos(Sequence[Array]):
    """Videos of one image, [1 + T, H, W, 3] in [-1, 1] each, the start frame first. A notebook displays them."""

    rows: Sequence[Sequence[Shown]]
    fps: float
    scale: int  # enlargement

    @property
    def clips(self) -> list[Clip]:
        """All videos with their pokes."""
        return [shown.clip for row in self.rows for shown in row]

    def __len__(self) -> int:
        return len(self.clips)

    @overload
    def __getitem__(self, index: int) -> Array: ...
    @overload
    def __getitem__(self, index: slice) -> list[Array]: ...
    def __getitem__(self, index: int | slice) -> Array | list[Array]:
        return [clip.frames for clip in self.clips][index]

    def __repr__(self) -> str:
        frames, height, width, _ = self[0].shape
        count = f"{len(self)} video{'s' * (len(self) > 1)}"
        return f"<{count} of {frames} frames of {width}x{height}: save(FILE) writes a file>"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes all videos as one .mp4 or .gif (a grid), .png (a strip of stills each) or .npz (arrays).

        Raises:
            UserError: the name has another ending, or the file cannot be written.
        """
        form = _FORMS.get(pathlib.Path(path).suffix.lower())
        if form is None:
            raise UserError(f"{path}: give a name that ends with {', '.join(_FORMS)}", "path", str(path))
        files.write_bytes(path, encode(self.clips, form, self.fps, self.scale))

    def _repr_html_(self) -> str:
        style = "display: flex; flex-wrap: wrap; gap: 8px; margin-bottom: 8px"
        rows = ("\n".join(map(self._figure, row)) for row in self.rows)
        return "\n".join(f'<div style="{style}">\n{row}\n</div>' for row in rows)

    def _figure(self, shown: Shown) -> str:
        video = base64.b64encode(encode([shown.clip], "mp4", self.fps, self.scale)).decode()
        width = shown.clip.frames.shape[2] * self.scale
        return _FIGURE.format(video=video, width=width, caption=html.escape(shown.caption))


class Model:
    """A trained model that answers requests with videos; `load` returns it."""

    def __init__(self, name: str, generator: Generator, crop: str, resize: str) -> None:
        """`crop` and `resize`: those of the configuration's `data`, how training made frames square."""
        self.generator = generator  # for arrays of any size
        self._name, self._served = name, ServedModel.loaded(generator, crop, resize)

    def __repr__(self) -> str:
        about = self.generator.describe()
        control = about.control
        takes = ["pokes=[(x, y, dx, dy)]"] if about.pokes else []
        takes += [] if about.deterministic else ["num_samples=4", "seed=0"]
        takes += [f"{control.name}={control.form}"] if control.form and not about.pokes else []
        return f"<{self._name}: {about.frames} frames of {about.size}x{about.size}; show(image, {', '.join(takes)})>"

    @functools.cached_property
    def examples(self) -> list[NDArray[np.uint8]]:
        """Held-out start frames of the model's data set, uint8 [h, w, 3]; none if the data set is not here."""
        from i2v_jax.serving.examples import from_data

        return [example.pixels for example in from_data(read_workdir(self._name).data).values()]

    def show(
        self,
        image: AnyImage,
        pokes: Sequence[Sequence[float]] = (),
        *,
        num_samples: int | None = None,
        frames: int | None = None,
        seed: int | None = None,
        temperature: float | None = None,
        chain: Chain | None = None,
        crop: str | None = None,
        fps: float = FPS,
        scale: int = 0,
        **control: Any,
    ) -> Videos:
        """Returns videos of an image, which a notebook displays.

        Args:
            image: path of an image file, an image of PIL, or an array [h, w, 3], uint8 or in [-1, 1].
            pokes: rows (x, y, dx, dy): pixel (x, y) of the image is to move by (dx, dy), y down. Each has its own
                videos. For models that were trained with pokes, which need at least one.
            num_samples: of the image, or of each poke, at most 8 (4). The poke model has one answer.
            frames: length without the start frame, at most 64; None: as in training.
            seed: of the samples (0).
            temperature: standard deviation of what is drawn (1).
            chain: see `Generator.generate` ("same_z").
            crop: "resize" or "center", how the image is made square; None: as in training.
            fps: frames per second.
            scale: enlargement; 0 enlarges to about 256 pixels.
            **control: what the model was trained to be controlled by, as direction=90 or endpoint=(x, y, z). None
                draws it for each sample.

        Raises:
            UserError: the image cannot be read; something is invalid, or not what this model takes.
        """
        about = self.generator.describe()
        if about.deterministic and num_samples is not None:
            raise UserError("this model has one answer to a poke: leave num_samples out", "num_samples", num_samples)
        moved = _rows(pokes)
        given = {
            "poke": moved or None,
            "samples": num_samples,
            "frames": frames,
            "seed": seed,
            "temperature": temperature,
            "chain": chain,
            "crop": crop,
            **{name: _plain(value) for name, value in control.items()},
        }
        values = {name: value for name, value in given.items() if value is not None}
        requests = self._served.requests(values, pixels_of(image))
        captions = [f"({x:g}, {y:g}) by ({dx:g}, {dy:g})" for x, y, dx, dy in moved]
        captions = captions or [", ".join(f"{name} {value}" for name, value in control.items())]
        rows = [self._row(request, caption) for request, caption in zip(requests, captions, strict=True)]
        if about.deterministic:  # one answer to each poke: all of them in one row
            rows = [[shown for row in rows for shown in row]]
        return Videos(rows, fps, scale or media.usual_scale(about.size))

    def _row(self, request: VideoRequest, caption: str) -> list[Shown]:
        """Returns the answer to a request, sample by sample."""
        marks: tuple[Mark, ...] = ()
        if request.poke is not None:
            marks = (Mark(0, *request.poke, self.generator.describe().impulse),)
        videos = np.concatenate([part for (part,) in self._served.run([request])], axis=1)
        clips = [Clip(media.with_start(request.start_frame, video), marks) for video in videos]
        if len(clips) == 1:
            return [Shown(clips[0], caption)]
        return [Shown(clip, f"{caption}, sample {number}".removeprefix(", ")) for number, clip in enumerate(clips, 1)]


def load(workdir: str | os.PathLike[str], *, checkpoint: Selection | None = None) -> Model:
    """Returns a trained model to use in a notebook.

    It is compiled for a few videos (`quick` of `load_generator`, which returns a generator for many).

    Args:
        workdir: of `launch.train`, or the file of a model: `launch.bundle` wrote it, or it is bundled:NAME.
        checkpoint: see `load_generator`.

    Raises:
        UserError: see `load_generator`.
    """
    configure_platform()
    data = read_workdir(workdir).data
    generator = load_generator(workdir, checkpoint=checkpoint, quick=True)
    return Model(str(workdir), generator, data.crop, data.resize)


def _rows(pokes: Sequence[Any]) -> list[list[float]]:
    """Returns pokes, or a single one, as lists."""
    single = len(pokes) > 0 and np.ndim(pokes[0]) == 0
    return [_plain(np.asarray(poke)) for poke in ([pokes] if single else pokes)]


def _plain(value: Any) -> Any:
    """Returns NumPy's values and tuples as Python's numbers and lists, which `serving.fields` takes."""
    return np.asarray(value).tolist() if isinstance(value, tuple | np.ndarray | np.generic) else value
