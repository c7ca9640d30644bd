"""PokingPlants (Blattmann et al. 2021), 64x64 or 128x128: 27 videos of 13 pot plants that are pushed and swing.

At 128x128 clips take every second frame: there it is --flow_distance=20.

Commands:  python -m launch.prepare --dataset=poking_plants --raw_dir=RAW --data_dir=PREPARED --max_size=128 \
               --flow=dis --flow_distance=10
           python -m launch.train --config=configs/poking_plants.py --workdir=RUN --config.data.dir=PREPARED
Hardware:  one 80 GB GPU; `:devices=N` adapts it to N devices, see docs/scaling.md.
Time:      not timed here on a GPU.
Metric:    poke paper, Table 1 (64x64): FVD 89.67; not reproduced here.
"""

from i2v_jax.config import Config
from i2v_jax.configs import common


def get_config(argument: str | None = "") -> Config:
    """Arguments: `model` ("poke" or "sequence"), `size` (64 or 128), `vegetation`, the poke model's ablations,
    `stage`, `runlocal`, `devices`, `preset`.

    `vegetation` trains on the vegetation of DTDB, too, for plants that were never seen (poke paper, appendix B.3).
    """
    parsed = common.arguments(argument, size=64, models=("poke", "sequence"), vegetation=False)
    config = common.base(parsed.size, parsed.model, parsed.preset)
    config.data.update(name="poking_plants", frame_stride=1 if parsed.size <= 64 else 2)
    config.data.clips_per_video.update(train=0, eval=10, test=20)
    config.data.poke.update(flow="stored", object_weighting=parsed.model == "sequence" or parsed.preset == "default")
    if parsed.vegetation:
        config.data.mixture.names = ("dtdb_vegetation",)
    if parsed.model == "sequence":
        config.data.poke.flow_frames = 10 // config.data.frame_stride
        config.data.poke.sequence.amplitude_cutoff = 0.4
    elif parsed.preset == "release":
        config.poke.batch_size = 8 if parsed.size <= 64 else 9
    return common.finish(config, parsed)
