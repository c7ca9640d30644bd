"""The dynamic-texture classifier (DTI3D) whose features DTFVD compares: I3D, 18 classes, clips of 16 or 32 frames.

Commands:  python -m launch.prepare --dataset=dtdb --raw_dir=DTDB --data_dir=PREPARED       (DTDB/CLASS/VIDEO.mp4)
           python -m launch.train --config=configs/dtdb_i3d.py:frames=32 --workdir=RUN --config.data.dir=PREPARED
           python -m launch.weights --import i3d_dynamic_textures_32=RUN                    (then DTFVD uses it)
Embedded:  python -m launch.train --config=configs/dtdb_i3d.py:embedded --workdir=RUN      (six motions, on a CPU)
Hardware:  one 80 GB GPU or a TPU v4-8; not timed here.
"""

from i2v_jax.config import Arguments, Config, Field
from i2v_jax.configs import common, scaling

_EMBEDDED_CLASSES = 6


def get_config(argument: str | None = "") -> Config:
    """Arguments: `frames` (16 or 32), `size`, `embedded`, `stage`, `runlocal`, `devices`."""
    frames = Field(16, choices=(16, 32))  # the clip lengths of DTFVD's classifiers
    stage = Field("", choices=("", "classifier"))
    devices = Field(0, at_least=0)
    parsed = Arguments(argument, frames=frames, size=0, embedded=False, stage=stage, runlocal=False, devices=devices)
    config = common.base(parsed.size or 224, "classifier")
    config.stage = parsed.stage
    config.data.update(name="dtdb", frames=parsed.frames, flip=0.5, classified=True)
    config.data.clips_per_video.update(train=10, eval=2, test=2)
    config.data.jitter.update(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.15)
    config.train.evaluate_clips = 0
    config.classifier.network.pool_frames = parsed.frames // 8
    if parsed.embedded or parsed.runlocal:
        _embedded(config, parsed.size or 32)
    if parsed.runlocal:
        config.data.num_clips.update(train=16, eval=8, test=8)
        config.classifier.update(batch_size=8, steps=4)
        config.classifier.network.width_divisor = 16
        config.train.update(log_every=1, preview_every=4, checkpoint_every=4, evaluate_every=4, previews=2)
    scaling.scale(config, parsed.devices)
    return config


def _embedded(config: Config, size: int) -> None:
    """Configures the procedural textures, small enough for two CPU cores."""
    config.data.update(name="textures", size=size, workers=0)
    config.data.clips_per_video.update(train=1, eval=1, test=1)
    config.data.num_clips.update(train=4800, eval=120, test=120)
    config.train.update(log_every=10, preview_every=200, checkpoint_every=100, evaluate_every=50, ema=0.98)
    config.classifier.update(batch_size=24, steps=1000)
    config.classifier.network.update(classes=_EMBEDDED_CLASSES, width_divisor=4, dropout=0.0)
    config.classifier.optimizer.update(learning_rate=2e-3, decay=0.95)
