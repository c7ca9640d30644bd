"""Human3.6M (Ionescu et al. 2014), 64x64 or 128x128: seven actors at 6.25 Hz, every eighth frame of the videos.

Commands:  python -m launch.prepare --dataset=human36m --raw_dir=RAW --data_dir=PREPARED --max_size=128 \
               --every=8 --flow=dis --flow_distance=10 (5 for `preset=release`)
           python -m launch.train --config=configs/human36m.py --workdir=RUN --config.data.dir=PREPARED
Hardware:  one 80 GB GPU; `:devices=N` adapts it to N devices, see docs/scaling.md.
Time:      not timed here on a GPU.
Metric:    poke paper, Table 1 (64x64): FVD 107.73; not reproduced here.
"""

from i2v_jax.config import Config
from i2v_jax.configs import common


def get_config(argument: str | None = "") -> Config:
    """Arguments: `model` ("poke" or "sequence"), `size` (64 or 128), the poke model's ablations, `stage`, `runlocal`,
    `devices`, `preset`.
    """
    parsed = common.arguments(argument, size=64, models=("poke", "sequence"))
    config = common.base(parsed.size, parsed.model, parsed.preset)
    config.data.update(name="human36m", crop="center")
    config.data.clips_per_video.update(train=0, eval=1, test=1)
    config.data.poke.update(flow="stored", patch="none" if parsed.preset == "paper" else "flow")
    if parsed.model == "sequence":
        config.data.poke.flow_frames = 5
        config.data.poke.sequence.amplitude_cutoff = 0.3
    elif parsed.preset == "release":
        config.data.crop = "resize"
        config.data.poke.flow_frames = 5
        config.poke.batch_size = 9
    return common.finish(config, parsed)
