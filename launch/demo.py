"""Trains on procedural data and writes a page that shows the models: moving skies and plants that are poked.

    python -m launch.demo
    python -m launch.demo --demo=plants --workdir=runs/demo

The same command continues a demo that was interrupted, reuses models that are finished, and writes the page again.
"""

import pathlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from i2v_jax.commands import command
from i2v_jax.launch._app import run
from i2v_jax.training.interrupt import INTERRUPTED, Interruption

if TYPE_CHECKING:
    from i2v_jax.reports.page import Report

DEMO = flags.DEFINE_enum("demo", "all", ["all", "sky", "plants"], "Models to train and show.")
ARGUMENTS = flags.DEFINE_string("arguments", "demo", "Arguments of configs/sky.py and configs/plants.py.")
WORKDIR = flags.DEFINE_string("workdir", "runs/demo", "Folder for the page and the work directories of the models.")
CLIPS = flags.DEFINE_integer("clips", 64, "Number of held-out clips to evaluate on.", lower_bound=8)


def main(argv: Sequence[str], interruption: Interruption) -> int:
    from i2v_jax.configs import plants, sky
    from i2v_jax.distributed import runtime
    from i2v_jax.reports import plants_demo, sky_demo
    from i2v_jax.reports.page import write_page
    from i2v_jax.sampling.load import load_generator
    from i2v_jax.training.run import train_stages

    demos: dict[str, tuple[Any, Callable[..., Report]]] = {
        "sky": (sky, sky_demo.report),
        "plants": (plants, plants_demo.report),
    }
    chosen = demos if DEMO.value == "all" else {DEMO.value: demos[DEMO.value]}
    configs = {name: module.get_config(ARGUMENTS.value) for name, (module, _) in chosen.items()}
    folder = pathlib.Path(WORKDIR.value)
    runtime.initialize_distributed("off")
    interruption.connect()
    reports: dict[str, Report] = {}
    started = time.monotonic()
    for name, config in configs.items():
        began = time.monotonic()
        if (folder / name / "config.json").is_file():
            print(f"{folder / name} holds a run already: it is continued where it stopped, reused where it is finished")
        if not train_stages(config, str(folder / name), interruption) or interruption.begin():
            return INTERRUPTED
        trained = time.monotonic()
        print(f"{name}: trained in {(trained - began) / 60:.1f} min; measuring")
        _, report = chosen[name]
        reports[name] = report(load_generator(folder / name), config.data, folder / name, CLIPS.value)
        for number, value in reports[name].numbers.items():
            print(f"  {number:32s} {value:8.2f}")
        print(f"{name}: measured in {(time.monotonic() - trained) / 60:.1f} min")
    write_page(folder, reports)
    print(f"the page: {folder / 'index.html'}")
    print(f"all of it took {(time.monotonic() - started) / 60:.1f} min")
    print(f"to play with it: {command('serve', f'--workdir={folder / list(reports)[-1]}')}")
    return 0


if __name__ == "__main__":
    run(main, resumes=True)
