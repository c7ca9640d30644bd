"""Your own clips: a folder of video files or of frame folders.

Commands:  python -m launch.prepare --dataset=folder --raw_dir=CLIPS --data_dir=PREPARED
           python -m launch.train --config=configs/folder.py --workdir=RUN --config.data.dir=PREPARED
           `--config=configs/folder.py:model=poke` for the poke model
           `--config=configs/folder.py:demo` for a handful of clips on two CPU cores
Hardware:  one GPU at 64 or 128 pixels; two CPU cores for `demo`, without discriminators and pretrained weights.
Expected:  time and metrics depend on your clips; docs/training.md shows a run of `demo` on nine clips. `runlocal`
           tests in minutes whether all stages run.
"""

from i2v_jax.config import Config
from i2v_jax.configs import common, small
from i2v_jax.errors import UserError


def get_config(argument: str | None = "") -> Config:
    """Arguments: `model` ("cinn", "poke" or "sequence"), `demo`, `size` (32, 64 or 128), `stage`, `runlocal`,
    `devices`, `preset`.
    """
    parsed = common.arguments(argument, size=64, models=("cinn", "poke", "sequence"), demo=False)
    config = common.base(parsed.size, parsed.model, parsed.preset)
    config.data.name = "folder"
    config.data.clips_per_video.update(train=10 if parsed.model == "cinn" else 0, eval=5, test=5)
    if parsed.model == "cinn":
        config.data.jitter.update(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05)
        config.video_vae.loss.kl = 1e-6
    if parsed.model == "sequence":
        config.data.poke.update(flow="stored", object_weighting=False)
    if parsed.demo:
        _demo(config, parsed.model)
    return common.finish(config, parsed)


def _demo(config: Config, model: str) -> None:
    """Configures a handful of clips on two CPU cores. The flow soon memorizes them, so it is evaluated often."""
    if model != "cinn":
        raise UserError("demo is not available for model=poke: use --config=plants:demo", "demo", model)
    small.narrow(config)
    small.demo(config)
    config.train.update(preview_every=200, checkpoint_every=200, evaluate_every=50)
    config.data.clips_per_video.train = 40
    config.video_vae.loss.kl = 1e-4
    config.video_vae.decoder.channel_factor = 8
    config.video_vae.update(batch_size=4, steps=600)
    config.image_ae.update(batch_size=16, steps=200)
    config.flow.steps = 200
