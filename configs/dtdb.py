"""Dynamic Texture DataBase (Hadji and Wildes 2018), 128x128: one model per texture.

Command:   python -m launch.train --config=configs/dtdb.py:texture=clouds --workdir=RUN --config.data.dir=PREPARED
           textures: clouds, fire, vegetation, waterfall; clouds with `control=direction` follow a requested direction.
           `:texture=vegetation,model=poke` trains the poke model: add --flow=dis --flow_distance=20 to launch.prepare.
Hardware:  one 80 GB GPU; `:devices=N` adapts it to N devices, see docs/scaling.md.
Time:      video_vae 60 epochs, image_ae 60 to 200 by texture, flow 31; not timed here on a GPU.
Metric:    paper, Table 3, DTFVD: fire 0.79, vegetation 0.52, waterfall 2.52, clouds 0.73; not reproduced here.
"""

from i2v_jax.config import Config, Field
from i2v_jax.configs import common

# Clips per training video, and those of the flow; epochs of the image autoencoder; its normalization.
_TEXTURES = {
    "clouds": (100, 50, 200, "in"),
    "fire": (80, 40, 120, "in"),
    "vegetation": (55, 40, 60, "in"),
    "waterfall": (120, 30, 100, "bn"),
}


def get_config(argument: str | None = "") -> Config:
    """Arguments: `texture`, `model` ("cinn", "poke", "sequence"), `control` ("none", "direction"), `size`, `stage`,
    `runlocal`, `devices`, `preset`.
    """
    texture = Field("clouds", choices=tuple(_TEXTURES))
    parsed = common.arguments(argument, size=128, models=("cinn", "poke", "sequence"), texture=texture, control="none")
    clips, flow_clips, image_epochs, norm = _TEXTURES[parsed.texture]
    config = common.base(parsed.size, parsed.model, parsed.preset)
    config.data.name = f"dtdb_{parsed.texture}"
    config.data.clips_per_video.update(train=clips, eval=5, test=5)
    if parsed.model != "cinn":
        config.data.frame_stride = 2
        config.data.clips_per_video.train = 0
        config.data.poke.flow = "stored"
        if parsed.model == "sequence":
            config.data.poke.flow_frames = 5
            config.data.poke.sequence.amplitude_cutoff = 0.3
        return common.finish(config, parsed)
    config.control = parsed.control
    config.data.crop_margin = 16
    config.data.jitter.update(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.15)
    config.flow.data.clips_per_video.train = flow_clips
    config.video_vae.update(batch_size=7, epochs=60)
    config.video_vae.encoder.channels = (64, 64, 128, 256, 512)
    config.video_vae.decoder.channel_factor = 32
    config.video_vae.loss.kl = 1e-5 if parsed.preset == "paper" else 1e-6
    config.image_ae.epochs = image_epochs
    config.image_ae.encoder.update(z_dim=128, norm=norm)
    if parsed.preset != "default":
        config.data.eval_starts = "first"
        config.train.evaluate_metric = "dtfvd_16_release"
    return common.finish(config, parsed)
