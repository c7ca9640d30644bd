"""The embedded procedural sky: clouds drift over still ground in a known direction. No download.

Commands:  make demo     (`sky.py:demo`: 32x32, three stages on two CPU cores, 10.4 min, and the page 1.3 min)
           python -m launch.train --config=configs/sky.py --workdir=RUN     (64x64, narrower networks than DTDB's)
Hardware:  two CPU cores for `demo`, whose stages end before the discriminators start; otherwise one GPU.
Metric:    `demo` on 64 test clips: reconstruction 31.3 dB (24.4 dB when copying the start frame); angle between
           requested and measured motion 6.0 degrees (chance: 90), between transferred and measured motion 5.5; the
           error of the measurement itself is 0.8.
"""

from i2v_jax.config import Config
from i2v_jax.configs import common, small


def get_config(argument: str | None = "") -> Config:
    """Arguments: `demo`, `size`, `stage`, `runlocal`, `devices`, `preset`."""
    parsed = common.arguments(argument, size=64, demo=False)
    config = common.base(32 if parsed.demo else parsed.size)
    config.control = "direction"
    config.data.name = "sky"
    config.data.flip = 0.0  # mirroring changes the direction
    config.data.num_clips.update(train=600, eval=64, test=64)
    small.narrow(config)
    if parsed.demo:
        small.demo(config)
        config.data.num_clips.train = 2400
        config.video_vae.loss.kl = 1e-4  # at 1e-3 it depends on rounding whether the direction is learned in time
    return common.finish(config, parsed)
