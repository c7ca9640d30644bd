"""Trains on a procedural data set and writes a page of what the model does: the sky, or plants that are poked.

python -m launch.demo --workdir=runs/demo
python -m launch.demo --config=configs/plants.py:demo --workdir=runs/plants

A second run continues what was interrupted, reuses what is finished, and writes the page again.
"""

import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags
from ml_collections import config_flags

from i2v_jax.errors import UserError
from launch._app import run

CONFIG = config_flags.DEFINE_config_file("config", "configs/sky.py:demo", "Config of sky or plants and its arguments.")
WORKDIR = flags.DEFINE_string("workdir", "runs/demo", "Folder of checkpoints, logs and the page.")
CLIPS = flags.DEFINE_integer("clips", 64, "Held-out clips to measure on.", lower_bound=8)


def main(argv: Sequence[str]) -> None:
    from i2v_jax.distributed import runtime
    from i2v_jax.training.run import train_stages

    config = CONFIG.value
    write_report = _report_writer(config)
    runtime.initialize_distributed()
    began = time.monotonic()
    if (pathlib.Path(WORKDIR.value) / "config.json").is_file():
        print(f"{WORKDIR.value} holds a run already: it is continued where it stopped and reused where it is finished")
    if not train_stages(config, WORKDIR.value):
        return
    trained = time.monotonic()
    print(f"trained in {(trained - began) / 60:.1f} min; measuring and writing the page")
    numbers = write_report(WORKDIR.value, CLIPS.value)
    for name, value in numbers.items():
        print(f"  {name:32s} {value:8.2f}")
    print(f"measured in {(time.monotonic() - trained) / 60:.1f} min: {pathlib.Path(WORKDIR.value) / 'index.html'}")


def _report_writer(config: Any) -> Callable[[str, int], dict[str, float]]:
    """What measures and shows the model of a work directory. Raises UserError for data whose motion is not known."""
    from i2v_jax.report import demo, poke_demo
    from i2v_jax.sampling.load import is_poke_model, load_poke_synthesizer, load_synthesizer

    if config.data.name == "plants" and is_poke_model(config):
        return lambda folder, clips: poke_demo.write_report(load_poke_synthesizer(folder), folder, clips)
    if config.data.name == "sky" and config.control == "direction":
        return lambda folder, clips: demo.write_report(load_synthesizer(folder), folder, clips)
    raise UserError(
        "the demo measures known directions of the procedural sky, or pokes of the procedural plants: give "
        "--config=configs/sky.py or --config=configs/plants.py with arguments"
    )


if __name__ == "__main__":
    run(main)
