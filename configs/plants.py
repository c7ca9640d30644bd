"""The embedded procedural plants: articulated stems and leaves that are pulled and swing. No download.

Commands:  python -m launch.train --config=configs/plants.py:demo --workdir=RUN     (32x32, small networks)
           python -m launch.train --config=configs/plants.py --workdir=RUN     (64x64, half the release's width)
           python -m launch.train --config=configs/plants.py:bundled --workdir=RUN     (64x64, with discriminators)
           python -m launch.train --config=configs/plants.py:model=cinn,demo --workdir=RUN     (many answers to a poke)
Hardware:  two CPU cores for `demo`, which trains without discriminators, and for `bundled`, whose cost is in
           docs/training.md; otherwise one GPU.
Metric:    `demo`: target error 1.4 px (4.7 px without motion), PSNR 23.4 dB (18.6 dB when copying the start frame),
           after 1450 steps on two CPU cores. `model=cinn,demo`: target error 2.2 px (5.6 px without motion), mean
           difference between samples 1.2 px, after half an hour; see docs/poke.md. `bundled`: target error 1.9 px
           (9.2 px without motion), LPIPS 0.090 (0.148 when copying the start frame). The other configurations have
           not been trained to the end.
"""

from i2v_jax.config import Config
from i2v_jax.configs import common, fields, small


def get_config(argument: str | None = "") -> Config:
    """Arguments: `model`, `demo`, `bundled`, `size`, `ablation`, `stage`, `runlocal`, `devices`, `preset`.

    `model=poke` is the poke model, with one answer to a poke; `model=cinn` is the cINN with the poke as its control.
    `bundled` is the poke model at 64x64 that comes with the package.
    """
    parsed = common.arguments(argument, size=64, models=("poke", "cinn"), demo=False, bundled=False)
    size = 32 if parsed.demo else parsed.size
    config = common.base(size, parsed.model, parsed.preset)
    config.data.name = "plants"
    config.data.num_clips.update(train=4000, eval=64, test=64)
    if parsed.model == "cinn":
        _cinn(config, size, parsed.demo)
    else:
        _poke(config, parsed.demo or parsed.bundled)
        if parsed.bundled:
            _bundled(config)
    return common.finish(config, parsed)


def _poke(config: Config, narrow: bool) -> None:
    config.data.poke.flow = "exact"
    config.poke.epochs = 100
    config.poke.model.update(features=256, poke_norm="none")  # the answer depends on the length of the poke
    config.poke.loss.perceptual_network = "charbonnier"
    if not narrow:
        return
    # Small enough for two CPU cores.
    config.train.update(log_every=10, preview_every=200, checkpoint_every=200, evaluate_every=200, ema=0.98)
    config.data.workers = 0
    config.data.prefetch = 1  # a second drawing thread would mostly wait for the first
    config.data.frames = 6  # the same motion in fewer frames: half the time, and shorter sequences to learn
    config.data.num_clips.train = 11600  # one epoch
    config.data.poke.color_probability = 0.0  # no two plants are the same
    config.data.poke.geometry.probability = 0.0
    config.poke.update(batch_size=8, steps=1450, adversarial_step=10**6, single_stage=True)
    config.poke.model.update(features=64, narrowest=24, min_spatial_size=8)
    config.poke.model.update(image_norm="layer", update_bias=-3.0, bounded_states=True)
    config.poke.temporal_discriminator.width = 8
    config.poke.patch_discriminator.width = 16
    config.poke.optimizer.update(name="muon", learning_rate=4.5e-4, decay=0.7)
    config.poke.optimizer.milestones = (0.26, 0.39, 0.47, 0.56, 0.64, 0.71, 0.77, 0.81)  # of the one epoch


def _bundled(config: Config) -> None:
    """Changes the demo: 64x64, pixels of the start frame are copied, and discriminators from step 1600 on."""
    config.train.update(log_every=20, checkpoint_every=50, ema=0.99)
    config.data.num_clips.train = 22400  # one epoch
    config.data.poke.zeropoke_amount = 4  # with one in 8, the background moved twice as far
    config.poke.update(steps=2800, adversarial_step=1600)
    # At 64x64 plants move twice as many pixels between frames. States of 16x16 move as far as those of the demo do.
    config.poke.model.update(features=96, narrowest=16, levels=3, copies=True)
    config.poke.loss.update(spatial=0.1, temporal=0.5, feature_matching=2.0)  # VGG's distance is larger than this one
    config.poke.optimizer.milestones = (0.35, 0.45, 0.55, 0.62, 0.7, 0.78, 0.85, 0.9, 0.95)  # of the one epoch


def _cinn(config: Config, size: int, demo: bool) -> None:
    config.control = "poke"
    config.data.breeze = 0.75  # the poke does not determine how the other plants bend
    config.data.flip = 0.5  # of clips and pokes
    config.data.declare(poke=fields.poke_data(size))
    config.data.poke.flow = "exact"
    config.data.poke.color_probability = 0.0  # no two plants are the same
    config.data.poke.geometry.probability = 0.0
    small.narrow(config)
    if demo:
        small.demo(config)
        config.data.num_clips.train = 20000  # the flow would memorize fewer scenes
        config.video_vae.steps = 1600
        config.video_vae.optimizer.milestones = (0.16, 0.24, 0.31, 0.37, 0.43)  # of an epoch of 3333 steps
        config.image_ae.steps = 600
        config.flow.steps = 2000
