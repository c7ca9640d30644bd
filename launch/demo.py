"""Trains the three stages on the procedural sky and writes a page of what they do.

python -m launch.demo --workdir=runs/demo

A second run continues what was interrupted, reuses what is finished, and writes the page again.
"""

import pathlib
import time
from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from i2v_jax.errors import UserError
from launch._app import run

CONFIG = config_flags.DEFINE_config_file("config", "configs/sky.py:demo", "Config of the sky and its arguments.")
WORKDIR = flags.DEFINE_string("workdir", "runs/demo", "Folder of checkpoints, logs and the page.")
CLIPS = flags.DEFINE_integer("clips", 64, "Held-out clips to measure on.", lower_bound=8)


def main(argv: Sequence[str]) -> None:
    from i2v_jax.distributed import runtime
    from i2v_jax.report.demo import write_report
    from i2v_jax.sampling.load import load_synthesizer
    from i2v_jax.training.run import train_stages

    config = CONFIG.value
    if config.data.name != "sky" or config.control != "direction":
        raise UserError(
            "the demo measures known directions of the procedural sky: give --config=configs/sky.py with arguments"
        )
    runtime.initialize_distributed()
    began = time.monotonic()
    if (pathlib.Path(WORKDIR.value) / "config.json").is_file():
        print(f"{WORKDIR.value} holds a run already: it is continued where it stopped and reused where it is finished")
    if not train_stages(config, WORKDIR.value):
        return
    trained = time.monotonic()
    print(f"trained in {(trained - began) / 60:.1f} min; measuring and writing the page")
    numbers = write_report(load_synthesizer(WORKDIR.value), WORKDIR.value, CLIPS.value)
    for name, value in numbers.items():
        print(f"  {name:32s} {value:8.2f}")
    print(f"measured in {(time.monotonic() - trained) / 60:.1f} min: {pathlib.Path(WORKDIR.value) / 'index.html'}")


if __name__ == "__main__":
    run(main)
