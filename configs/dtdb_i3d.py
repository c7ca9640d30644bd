"""The dynamic-texture classifier (DTI3D) whose features DTFVD compares: I3D, 18 classes, clips of 16 or 32 frames.

Commands:  python -m launch.prepare --dataset=folder --raw_dir=DTDB --data_dir=PREPARED     (DTDB/CLASS/VIDEO.mp4)
           python -m launch.train --config=configs/dtdb_i3d.py:frames=32 --workdir=RUN --config.data.dir=PREPARED
           python -m launch.weights --import i3d_dynamic_textures_32=RUN                    (then DTFVD takes it)
Embedded:  python -m launch.train --config=configs/dtdb_i3d.py:embedded --workdir=RUN      (six kinds of motion, a CPU)
Hardware:  one 80 GB GPU or a TPU v4-8; not timed here.
"""

from ml_collections import ConfigDict

from i2v_jax.config import Arguments
from i2v_jax.configs import common
from i2v_jax.errors import UserError

_EMBEDDED_CLASSES = 6


def get_config(argument: str | None = "") -> ConfigDict:
    """Arguments: `frames` (16 or 32), `size`, `embedded`, `stage`, `runlocal`, and dotted names."""
    parsed = Arguments(argument, frames=16, size=0, embedded=False, stage="", runlocal=False)
    if parsed.frames not in (16, 32):
        raise UserError(f"frames={parsed.frames}: the classifiers of DTFVD see 16 or 32 frames")
    config = common.base(64)
    for section in config.stages:
        del config[section]
    config.stages = ("classifier",)
    if parsed.stage not in ("", "classifier"):
        raise UserError(f"stage={parsed.stage}: this config has the stage classifier")
    config.stage = parsed.stage
    config.data.update(name="folder", frames=parsed.frames, size=parsed.size or 224, flip=0.5)
    config.data.classified = True  # a video's folder is its class
    config.data.clips_per_video.update(train=10, eval=2, test=2)
    config.data.jitter.update(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.15)
    config.train.evaluate_clips = 0
    config.classifier = ConfigDict(
        {
            "batch_size": 16,
            "epochs": 30,
            "steps": 0,
            "network": {"classes": 18, "pool_frames": parsed.frames // 8, "eps": 1e-5, "dropout": 0.5, "narrower": 1},
            "optimizer": common.optimizer(learning_rate=1e-4, b1=0.9, b2=0.999, decay=0.9),
        }
    )
    if parsed.embedded or parsed.runlocal:
        _embedded(config, parsed.size or 32)
    if parsed.runlocal:
        config.data.num_clips.update(train=16, eval=8, test=8)
        config.classifier.update(batch_size=8, steps=4)
        config.classifier.network.narrower = 16
        config.train.update(log_every=1, preview_every=4, checkpoint_every=4, evaluate_every=4, previews=2)
    return parsed.apply(config)


def _embedded(config: ConfigDict, size: int) -> None:
    """Procedural textures, small enough for two CPU cores."""
    config.data.update(name="textures", size=size, workers=0)
    config.data.clips_per_video.update(train=1, eval=1, test=1)
    config.data.num_clips.update(train=4800, eval=120, test=120)
    config.train.update(log_every=10, preview_every=200, checkpoint_every=100, evaluate_every=50, ema=0.98)
    config.classifier.update(batch_size=24, steps=1000)
    config.classifier.network.update(classes=_EMBEDDED_CLASSES, narrower=4, dropout=0.0)
    config.classifier.optimizer.update(learning_rate=2e-3, decay=0.95)
