"""Trains two stages whose networks are so small that starting takes most of the time, on any number of processes.

    python -m tests.end_to_end.tiny_job WORKDIR STEPS

Everything but the tasks is what `launch.train` runs. The second stage has STEPS steps.
"""

from collections.abc import Sequence

from i2v_jax.launch._app import run
from i2v_jax.training import interrupt
from i2v_jax.training.interrupt import INTERRUPTED, Interruption
from tests.compiling import HANG

FIRST, SECOND = "video_vae", "image_ae"
FIRST_STEPS = 25
interrupt._JOINING_SECONDS = HANG  # others may start late on a busy machine


def main(argv: Sequence[str], interruption: Interruption) -> int:
    from i2v_jax.distributed import runtime
    from i2v_jax.training import run as training
    from tests.training.tiny import MeanColor, tiny_config

    _, workdir, steps = argv
    config = tiny_config(keep=2)
    config.data.update(size=32, workers=1)
    # Prime numbers: most combinations of what is due at a step happen.
    config.train.update(checkpoint_every=2, evaluate_every=5, preview_every=1000000)
    config.image_ae.loss.perceptual_network = "laplacian"
    config.stages = (FIRST, SECOND)
    for stage, count in ((FIRST, FIRST_STEPS), (SECOND, int(steps))):
        config[stage].update(batch_size=8, steps=count)
    open_clips = training._open_clips
    training._open_clips = lambda config, _: open_clips(config, FIRST)
    training.make_task = lambda *_: MeanColor()
    runtime.initialize_distributed()
    interruption.connect()
    return 0 if training.train_stages(config, workdir, interruption) else INTERRUPTED


if __name__ == "__main__":
    run(main, positional="WORKDIR STEPS", buckets=("",), resumes=True)
