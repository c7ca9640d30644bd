"""Your own clips: a folder of video files or of frame folders.

Commands:  python -m launch.prepare --dataset=folder --raw_dir=CLIPS --data_dir=PREPARED
           python -m launch.train --config=configs/folder.py --workdir=RUN --config.data.dir=PREPARED
           with `--config=configs/folder.py:model=poke` the clips become an image that answers to pokes
Hardware:  one GPU at 64 or 128 pixels; a CPU at 32 or 64 pixels for a handful of clips.
Expected:  not timed and not measured: both follow from your clips. `runlocal` shows in minutes whether all stages run.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(argument: str | None = "") -> ConfigDict:
    """Arguments: `model` ("cinn" or "poke"), `size` (32, 64 or 128), `stage`, `runlocal`, and dotted names."""
    parsed = common.arguments(argument, size=64, models=("cinn", "poke"))
    config = common.base(parsed.size, parsed.model)
    config.data.name = "folder"
    config.data.clips_per_video.update(train=10, eval=5, test=5)
    if parsed.model == "cinn":
        config.data.jitter.update(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05)
        config.video_vae.loss.kl = 1e-6
    return common.finish(config, parsed)
