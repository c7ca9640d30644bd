"""The embedded procedural sky: clouds drift over still ground in a known direction. No download.

Commands:  make demo     (`sky.py:demo`: 32x32, three stages on two CPU cores, 10.4 min, and the page 1.3 min)
           python -m launch.train --config=configs/sky.py:bundled --workdir=RUN     (64x64 on two CPU cores, 1.4 h)
           python -m launch.train --config=configs/sky.py --workdir=RUN     (64x64, narrower networks than DTDB's)
Hardware:  two CPU cores for `demo` and `bundled`, whose stages end before the discriminators start; otherwise one GPU.
Metric:    `demo` on 64 test clips: reconstruction 31.3 dB (24.4 dB when copying the start frame); angle between
           requested and measured motion 6.0 degrees (chance: 90), between transferred and measured motion 5.5; the
           error of the measurement itself is 0.8. `bundled`: 32.8 dB (22.3 dB when copying), 2.9 degrees, 1.7 and 0.5.
"""

from i2v_jax.config import Config
from i2v_jax.configs import common, small


def get_config(argument: str | None = "") -> Config:
    """Arguments: `demo`, `bundled`, `size`, `stage`, `runlocal`, `devices`, `preset`.

    `bundled` is the model at 64x64 that comes with the package.
    """
    parsed = common.arguments(argument, size=64, demo=False, bundled=False)
    config = common.base(32 if parsed.demo else parsed.size)
    config.control = "direction"
    config.data.name = "sky"
    config.data.flip = 0.0  # mirroring changes the direction
    config.data.num_clips.update(train=600, eval=64, test=64)
    small.narrow(config)
    if parsed.demo or parsed.bundled:
        small.demo(config)
        config.data.num_clips.train = 2400
        config.video_vae.loss.kl = 1e-4  # at 1e-3 it depends on rounding whether the direction is learned in time
    if parsed.bundled:
        _bundled(config)
    return common.finish(config, parsed)


def _bundled(config: Config) -> None:
    """Changes the demo: 64x64, smaller batches of clips that are never shown twice, and more steps."""
    config.train.update(log_every=20, checkpoint_every=50, preview_every=200, evaluate_every=200, ema=0.99)
    config.data.num_clips.train = 9600  # one epoch
    config.video_vae.update(batch_size=4, steps=2400)
    config.video_vae.decoder.channel_factor = 5
    config.video_vae.optimizer.update(learning_rate=1.6e-3, milestones=(0.4, 0.6, 0.75, 0.85, 0.95))
    config.image_ae.update(batch_size=16, steps=600)
    config.flow.data.num_clips.train = 2400
    config.flow.network.hidden = 64  # 128 is 0.2 degrees better, and the file 2 MB larger
