"""Your own clips: a folder of video files or of frame folders.

Commands:  python -m launch.prepare --dataset=folder --raw_dir=CLIPS --data_dir=PREPARED
           python -m launch.train --config=configs/folder.py --workdir=RUN --config.data.dir=PREPARED
Hardware:  one GPU at 64 or 128 pixels; a CPU at 32 or 64 pixels for a handful of clips.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(argument: str | None = "") -> ConfigDict:
    """Arguments: `size` (32, 64 or 128), `stage`, `runlocal`, and dotted names."""
    parsed = common.arguments(argument, size=64)
    config = common.base(parsed.size)
    config.data.name = "folder"
    config.data.clips_per_video.update(train=10, eval=5, test=5)
    config.data.jitter.update(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05)
    config.video_vae.loss.kl = 1e-6
    return common.finish(config, parsed)
