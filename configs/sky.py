"""The embedded procedural sky: clouds drift over still ground in a known direction. No download.

Commands:  make demo     (`sky.py:demo`: 32x32, three stages on two CPU cores, 14 min and 1.4 min for the page)
           python -m launch.train --config=configs/sky.py --workdir=RUN     (64x64, narrower networks than DTDB's)
Metric:    of the demo on 64 test clips: reconstruction 31.8 dB (copying the start frame: 24.5); angle between requested
           and seen motion 6.3 degrees (chance: 90), of transferred motion 4.5; the estimator's own error 0.8.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(argument: str | None = "") -> ConfigDict:
    """Arguments: `demo`, `size`, `stage`, `runlocal`, and dotted names."""
    parsed = common.arguments(argument, size=64, demo=False)
    config = common.base(32 if parsed.demo else parsed.size)
    config.control = "direction"
    config.data.name = "sky"
    config.data.flip = 0.0  # a mirrored clip moves elsewhere
    config.data.num_clips.update(train=600, eval=64, test=64)
    config.video_vae.loss.update(perceptual=0.5, kl=1e-3, perceptual_network="laplacian")
    config.image_ae.loss.perceptual_network = "laplacian"
    config.video_vae.encoder.channels = (32, 32, 64, 128, 128)
    config.video_vae.decoder.channel_factor = 16
    config.video_vae.temporal_discriminator.channels = (32, 32, 64, 128, 128)
    config.image_ae.encoder.update(depth="resnet18", width=32)
    config.image_ae.decoder.update(channels=32, mlp_width=256, num_classes=128)
    config.flow.encode_once = True  # its clips are not augmented
    if parsed.demo:
        _demo(config)
    return common.finish(config, parsed)


def _demo(config: ConfigDict) -> None:
    """Small enough for two CPU cores."""
    config.train.update(log_every=10, preview_every=400, checkpoint_every=400, evaluate_every=400, ema=0.98)
    config.data.workers = 0
    config.data.num_clips.train = 2400
    config.video_vae.update(batch_size=6, steps=800, adversarial_epoch=100.0)
    config.video_vae.encoder.update(channels=(16, 16, 32, 64, 64), z_dim=32)
    config.video_vae.decoder.update(channel_factor=6, z_dim=32)
    config.video_vae.temporal_discriminator.channels = (16, 16, 32, 64, 64)
    config.video_vae.patch_discriminator.width = 16
    config.video_vae.optimizer.update(name="muon", learning_rate=2e-3, b1=0.9, b2=0.99, decay=0.6)
    config.image_ae.update(batch_size=32, steps=200, adversarial_epoch=1000.0)
    config.image_ae.encoder.update(z_dim=32, width=16)
    config.image_ae.decoder.update(channels=16, mlp_width=64, num_classes=32)
    config.image_ae.patch_discriminator.width = 16
    config.image_ae.optimizer.update(learning_rate=1e-3)
    config.flow.update(batch_size=50, steps=800)
    config.flow.network.update(blocks=8, hidden=128, scale="softclamp")
    config.flow.optimizer.update(learning_rate=1e-3, decay=1.0)
