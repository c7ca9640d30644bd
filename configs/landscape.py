"""Landscape time-lapses (Xiong et al. 2018), 128x128: clouds, night skies.

Command:   python -m launch.train --config=configs/landscape.py --workdir=RUN --config.data.dir=PREPARED
Hardware:  one 80 GB GPU; `:devices=N` adapts it to N devices, see docs/scaling.md. A handful of clips at `size=64`
           also trains on a CPU.
Time:      video_vae 100 epochs, image_ae 200, flow 31 at the release's batch sizes; not timed here on a GPU.
Metric:    paper, Table 1 (32 frames, 3000 training videos): FVD 134.4, DTFVD 0.59, LPIPS 0.23; not reproduced here.
"""

from i2v_jax.config import Config
from i2v_jax.configs import common


def get_config(argument: str | None = "") -> Config:
    """Arguments: `size` (64 or 128), `stage`, `runlocal`, `devices`, `preset`."""
    parsed = common.arguments(argument, size=128)
    config = common.base(parsed.size, preset=parsed.preset)
    config.data.name = "landscape"
    config.data.clips_per_video.update(train=10, eval=7, test=6)
    config.data.crop_margin = 16
    config.data.jitter.update(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.15)
    config.image_ae.data.clips_per_video.update(train=20, eval=2)
    config.image_ae.data.jitter.hue = 0.1
    config.flow.data.jitter.update(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    config.video_vae.update(batch_size=7, epochs=100)
    config.video_vae.encoder.channels = (64, 128, 128, 256, 512)
    config.video_vae.decoder.channel_factor = 32
    if parsed.preset == "paper":
        config.video_vae.loss.update(reconstruction=10.0, kl=1e-5)
    else:
        config.video_vae.loss.update(reconstruction=20.0, kl=1e-6)
    config.image_ae.update(epochs=200)
    config.image_ae.encoder.norm = "bn"
    config.image_ae.loss.kl = 1e-4
    if parsed.preset != "default":
        config.train.evaluate_metric = "dtfvd_16_release"
    return common.finish(config, parsed)
