"""Shows what the models that come with the package can do: a page of videos, then a page to play with.

    python -m launch.tryout
    python -m launch.tryout --workdir=runs/demo/plants --out=runs/try

Nothing is trained or downloaded: the start frames are held-out frames of the embedded sky and plants.
"""

import functools
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from i2v_jax import bundle
from i2v_jax.commands import command
from i2v_jax.errors import UserError
from i2v_jax.launch._app import run
from i2v_jax.serving import start

if TYPE_CHECKING:
    from i2v_jax.reports.page import Report

WORKDIR = flags.DEFINE_multi_string(
    "workdir",
    [],
    "Work directory or file of a model of the sky or the plants; by default all that come with the package.",
)
OUT = flags.DEFINE_string("out", "runs/try", "Folder for the page of videos.")
PORT = flags.DEFINE_integer(
    "port", 8000, "Port of the page to play with; if it is taken, the next free one.", lower_bound=0, upper_bound=65535
)
SERVE = flags.DEFINE_bool("serve", True, "Serve the page to play with, until Ctrl-C.")

_HOST = "127.0.0.1"


def main(argv: Sequence[str]) -> None:
    workdirs = WORKDIR.value or [f"bundled:{name}" for name in bundle.bundled_names()]
    if not workdirs:
        raise UserError(
            "no models come with this version: train some with "
            f"{command('demo')}, then show them with --workdir=runs/demo/sky --workdir=runs/demo/plants",
            "workdir",
        )
    if SERVE.value:
        start.require_extra()
    port = start.free_port(_HOST, PORT.value) if SERVE.value else 0
    _write_page(workdirs, pathlib.Path(OUT.value), f"http://{_HOST}:{port}" if port else "")
    if SERVE.value:
        served = [f"--workdir={workdir}" for workdir in workdirs]
        arguments = [sys.executable, "-m", "i2v_jax.launch.serve", *served, f"--host={_HOST}", f"--port={port}"]
        sys.stdout.flush()
        os.execv(sys.executable, arguments)


def _write_page(workdirs: Sequence[str], folder: pathlib.Path, address: str) -> None:
    from i2v_jax.reports import tour
    from i2v_jax.reports.page import write_page
    from i2v_jax.sampling.load import load_generator
    from i2v_jax.sampling.stages import model_name
    from i2v_jax.serving import links
    from i2v_jax.workdir import read_workdir

    reports: dict[str, Report] = {}
    for workdir, served in zip(workdirs, links.names(workdirs), strict=True):
        print(f"{workdir}: making videos", flush=True)
        card = bundle.read_card(workdir) if bundle.is_bundle(workdir) else None
        name = model_name(workdir)
        name = f"{name}~{len(reports) + 1}" if name in reports else name
        generator = load_generator(workdir, quick=True)
        link = functools.partial(links.link, address, served) if address else None
        reports[name] = tour.report(generator, read_workdir(workdir).data, card, folder / name, link)
    write_page(folder, reports)
    print(f"the page: {folder / 'index.html'}", flush=True)


if __name__ == "__main__":
    run(main)
