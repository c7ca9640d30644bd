"""The page of `launch.tryout`: what models of the embedded sky and plants do with held-out start frames.

Nothing is measured over many clips: numbers come from the card of the model's file, where they are.
"""

import html
import pathlib
from collections.abc import Callable

from ml_collections import ConfigDict

from i2v_jax.bundle import Card
from i2v_jax.errors import UserError
from i2v_jax.evaluation import poked_clips, sky_measurements
from i2v_jax.reports import plants_demo, sky_demo
from i2v_jax.reports.exhibits import Gallery
from i2v_jax.reports.page import Part, Report, Section
from i2v_jax.reports.plants_demo import PokeGallery
from i2v_jax.sampling.arrays import Array
from i2v_jax.sampling.cinn import CinnGenerator
from i2v_jax.sampling.generator import Generator
from i2v_jax.sampling.poke import PokeGenerator
from i2v_jax.tasks.control import DIRECTION

_SEED = 0
_POKED = 4  # clips; the last one is poked in many ways
_LEAD = "{summary} {pixels} Nothing on this page is from the clips of its training."
_PIXELS = "All pictures have {size}x{size} pixels and are shown enlarged."


def report(
    generator: Generator,
    data: ConfigDict,
    card: Card | None,
    folder: pathlib.Path,
    link: Callable[[Array], str] | None = None,
) -> Report:
    """Writes clips of a model into a folder, and returns its part of the page.

    Args:
        generator: the model: of the sky and controlled by direction, or a poke model of the plants.
        data: the data settings of its configuration.
        card: of its file; None for a work directory.
        folder: for its clips.
        link: returns the address where this model can be played with, from a picture [size, size, 3]; None if nowhere.

    Raises:
        UserError: another kind of model; a file cannot be written.
    """
    numbers = dict(card.numbers) if card else {}
    if data.name == "sky" and isinstance(generator, CinnGenerator) and generator.control is DIRECTION:
        title, summary = "One image, many futures", "A cINN turns a still picture of a sky into videos of its clouds."
        tiles = sky_demo.tiles(numbers) if "control_error_degrees" in numbers else []
        start, sections = _sky(generator, folder)
    elif data.name == "plants" and isinstance(generator, PokeGenerator):
        title, summary = "Poke an image", "Drag one pixel of a picture of plants: the poke model shows how they move."
        tiles = plants_demo.tiles(numbers) if "target_error_model" in numbers else []
        start, sections = _plants(generator, data, folder)
    else:
        raise UserError(
            f"this page shows models of the sky with directions and poke models of the plants, not one of {data.name}",
            "data.name",
            data.name,
        )
    if link:
        sections.insert(0, _interactive(link(start)))
    lead = _LEAD.format(summary=summary, pixels=_PIXELS.format(size=generator.size))
    footer = f"{card.name}: {card.summary}. Data: {card.data}. License: {card.license}." if card else ""
    return Report(numbers, Part(title, lead, tiles, sections, footer))


def _interactive(address: str) -> Section:
    """Returns the section that says where to go on."""
    link = f'<p><a href="{html.escape(address)}">Open this model and this picture</a></p>'
    return Section(
        "Do it yourself", "The interactive page is there while the command runs that wrote this one.", before=link
    )


def _sky(generator: CinnGenerator, folder: pathlib.Path) -> tuple[Array, list[Section]]:
    """Returns the start frame that most clips have, and the sections."""
    clips = sky_measurements.held_out(sky_demo.SHOWN + 1, generator.size)
    gallery = Gallery(folder, clips)
    return clips.video[sky_demo.SHOWN, 0], [
        Section(
            "Eight samples of one start frame",
            "One start frame and eight random residuals, with a random direction each. The captions give the direction "
            "in which the clouds move, measured by optical flow: 0° is right, 90° up.",
            gallery.samples(generator, sky_demo.SHOWN, _SEED),
        ),
        Section(
            "A wheel of requested directions",
            "One start frame and one residual. Only the requested direction differs, and each clip is on the side that "
            "it should move to.",
            gallery.wheel(generator, sky_demo.SHOWN, _SEED),
            columns=3,
            kind="wheel",
        ),
        Section(
            "Motion transfer",
            "The motion of the first clip, applied to the start frames of other clips.",
            gallery.transfers(generator, 0, (1, 2, 3)),
        ),
    ]


def _plants(generator: PokeGenerator, data: ConfigDict, folder: pathlib.Path) -> tuple[Array, list[Section]]:
    """Returns the start frame that is poked in many ways, and the sections."""
    clips = poked_clips.held_out(data, _POKED)
    gallery = PokeGallery(folder, clips)
    return clips.video[_POKED - 1, 0], [
        Section(
            "True clips and predictions",
            "Top: true clips. Bottom: what the model predicts from the first frame and the motion of one pixel. The "
            "arrow is the poke, the ring its target.",
            gallery.answers(generator, _POKED),
        ),
        Section(
            "Four strengths at one place",
            "The same pixel and direction, with four lengths of the poke.",
            gallery.strengths(generator, _POKED - 1),
        ),
        Section(
            "Different places",
            "Four pixels of the plants in one picture, dragged in the same direction.",
            gallery.places(generator, _POKED - 1),
        ),
        Section("The background", "Pokes of the background should move nothing.", gallery.backgrounds(generator)),
    ]
