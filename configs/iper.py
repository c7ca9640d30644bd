"""iPER (Liu et al. 2019), 64x64: people in diverse clothing performing random actions.

Command:   python -m launch.train --config=configs/iper.py --workdir=RUN --config.data.dir=PREPARED
Hardware:  one 80 GB GPU; `:devices=N` adapts it to N devices, see docs/scaling.md.
           `:model=poke` trains the poke model: add --flow=dis --flow_distance=10 to launch.prepare, which stores the
           optical flow (9 for `preset=release` at 64x64, which predicts 9 frames). `:model=sequence` trains the
           sequence model on the same data, see docs/poke.md.
Time:      video_vae 100 epochs, image_ae 140, flow 31; poke 1000; not timed here on a GPU.
Metric:    cINN paper, Table 2: FVD 132.9; poke paper, Table 1: FVD 144.92; not reproduced here.
"""

from i2v_jax.config import Config
from i2v_jax.configs import common


def get_config(argument: str | None = "") -> Config:
    """Arguments: `model` ("cinn", "poke" or "sequence"), `size`, `stage`, `runlocal`, `devices`, `preset`."""
    parsed = common.arguments(argument, size=64, models=("cinn", "poke", "sequence"))
    config = common.base(parsed.size, parsed.model, parsed.preset)
    config.data.name = "iper"
    config.data.clips_per_video.update(train=60, eval=15, test=15)
    if parsed.model != "cinn":
        config.data.repeats = False
        config.data.splits.update(train="train+eval", eval="test")  # the authors' two lists: 164 and 42 videos
        config.data.clips_per_video.train = 0
        config.data.poke.update(flow="stored", mask="grabcut", mask_size=64 if parsed.preset == "default" else 0)
        if parsed.model == "sequence":
            config.data.poke.flow_frames = 10
            config.data.poke.sequence.amplitude_cutoff = 0.6
            config.data.poke.patch = "none" if parsed.preset == "paper" else "mask"
        elif parsed.preset == "release":
            config.poke.batch_size = 8 if parsed.size <= 64 else 9
            config.data.frames = 10 if parsed.size <= 64 else 11
        return common.finish(config, parsed)
    config.data.jitter.update(brightness=0.2, contrast=0.2, saturation=0.2)
    config.image_ae.data.clips_per_video.train = 100
    config.image_ae.data.jitter.update(brightness=0.1, contrast=0.1)
    config.flow.data.clips_per_video.train = 80
    config.video_vae.epochs = 100
    config.video_vae.loss.update(perceptual=40.0, kl=1e-5 if parsed.preset == "paper" else 1e-4)
    config.image_ae.epochs = 140
    config.image_ae.encoder.z_dim = 128
    config.flow.optimizer.decay_epochs = 7
    if parsed.preset != "default":
        config.train.evaluate_metric = "pfvd"
    return common.finish(config, parsed)
