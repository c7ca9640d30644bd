"""The embedded procedural plants: articulated stems and leaves that are pulled and swing. No download.

Commands:  python -m launch.train --config=configs/plants.py:demo --workdir=RUN     (32x32, small networks)
           python -m launch.train --config=configs/plants.py --workdir=RUN     (64x64, half the release's width)
Metric:    none yet: no run of either has been taken to its end.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(argument: str | None = "") -> ConfigDict:
    """Arguments: `demo`, `size`, the poke model's ablations, `stage`, `runlocal`, and dotted names."""
    parsed = common.arguments(argument, size=64, models=("poke",), demo=False)
    config = common.base(32 if parsed.demo else parsed.size, "poke")
    config.data.name = "plants"
    config.data.num_clips.update(train=4000, eval=64, test=64)
    config.data.poke.flow = "exact"
    config.poke.epochs = 100
    config.poke.model.update(features=256, poke_norm="none")  # four strengths at one place are four answers
    config.poke.loss.perceptual_network = "laplacian"
    if parsed.demo:
        _demo(config)
    return common.finish(config, parsed)


def _demo(config: ConfigDict) -> None:
    """Small enough for two CPU cores."""
    config.train.update(log_every=10, preview_every=200, checkpoint_every=200, evaluate_every=200, ema=0.98)
    config.data.workers = 0
    config.data.num_clips.train = 1600
    config.data.poke.color_probability = 0.0  # no two plants are the same
    config.data.poke.geometry.probability = 0.0
    config.poke.update(batch_size=8, steps=800, adversarial_step=10**6, single_stage=True)
    config.poke.model.update(features=48, narrowest=16, min_spatial_size=8, image_norm="none", update_bias=-3.0)
    config.poke.temporal_discriminator.width = 8
    config.poke.patch_discriminator.width = 16
    config.poke.optimizer.update(name="muon", learning_rate=1.5e-3, decay=0.4, milestones=(2, 3))
