"""Tai-Chi-HD (Siarohin et al. 2019), 64x64 or 128x128: people from the web, every second frame.

Commands:  python -m launch.prepare --dataset=taichi --raw_dir=RAW --data_dir=PREPARED --max_size=128 \
               --flow=dis --flow_distance=20
           python -m launch.train --config=configs/taichi.py --workdir=RUN --config.data.dir=PREPARED
Hardware:  one 80 GB GPU; `:devices=N` adapts it to N devices, see docs/scaling.md.
Time:      not timed here on a GPU.
Metric:    poke paper, Table 1 (64x64): FVD 171.74; not reproduced here.
"""

from i2v_jax.config import Config
from i2v_jax.configs import common


def get_config(argument: str | None = "") -> Config:
    """Arguments: `model` ("poke" or "sequence"), `size` (64 or 128), the poke model's ablations, `stage`, `runlocal`,
    `devices`, `preset`.
    """
    parsed = common.arguments(argument, size=64, models=("poke", "sequence"))
    config = common.base(parsed.size, parsed.model, parsed.preset)
    config.data.update(name="taichi", frame_stride=2)
    config.data.clips_per_video.train = 0
    config.data.poke.update(flow="stored", mask="grabcut", mask_size=64 if parsed.preset == "default" else 0)
    if parsed.model == "sequence":
        config.data.poke.flow_frames = 5
        config.data.poke.sequence.amplitude_cutoff = 0.1
    elif parsed.preset == "release":
        config.poke.batch_size = 9
        if parsed.size <= 64:
            config.poke.loss.temporal = 10.0
    return common.finish(config, parsed)
