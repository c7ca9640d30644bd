"""Small networks: cINNs that need no pretrained weights, those of the demos for two CPU cores, and `runlocal`."""

from typing import Any

from i2v_jax.config import Config

# The fields of `runlocal` that make each stage narrow, and start its discriminators within four steps.
_LOCAL: dict[str, dict[str, Any]] = {
    "video_vae": {
        "adversarial_epoch": 0.0,
        "encoder": {"channels": (16, 16, 16, 16, 16), "z_dim": 16},
        "decoder": {"channel_factor": 4, "z_dim": 16},
        "temporal_discriminator": {"channels": (16, 16, 16, 16, 16)},
        "patch_discriminator": {"width": 8},
    },
    "image_ae": {
        "adversarial_epoch": 0.0,
        "encoder": {"depth": "resnet18", "width": 8},
        "decoder": {"channels": 8, "mlp_width": 32, "num_classes": 16},
        "patch_discriminator": {"width": 8},
    },
    "flow": {"network": {"blocks": 4, "hidden": 32}},
    "poke": {
        "adversarial_step": 2,
        "model": {"features": 16, "narrowest": 8},
        "temporal_discriminator": {"width": 4},
        "patch_discriminator": {"width": 8},
    },
}


def narrow(config: Config) -> None:
    """Sets half of the release's width or less, and encodes clips once for the flow, as there is no augmentation."""
    config.video_vae.loss.update(perceptual=0.5, kl=1e-3, perceptual_network="laplacian")
    config.image_ae.loss.perceptual_network = "laplacian"
    config.video_vae.encoder.channels = (32, 32, 64, 128, 128)
    config.video_vae.decoder.channel_factor = 16
    config.video_vae.temporal_discriminator.channels = (32, 32, 64, 128, 128)
    config.image_ae.encoder.update(depth="resnet18", width=32)
    config.image_ae.decoder.update(channels=32, mlp_width=256, num_classes=128)
    config.flow.encode_once = True


def demo(config: Config) -> None:
    """Configures two CPU cores at 32x32 or 64x64; both autoencoders end before the discriminators start."""
    config.train.update(log_every=10, preview_every=400, checkpoint_every=400, evaluate_every=400, ema=0.98)
    config.data.workers = 0
    config.video_vae.update(batch_size=6, steps=700, adversarial_epoch=100.0)
    config.video_vae.encoder.update(channels=(16, 16, 32, 64, 64), z_dim=32)
    config.video_vae.decoder.update(channel_factor=6, z_dim=32)
    config.video_vae.temporal_discriminator.channels = (16, 16, 32, 64, 64)
    config.video_vae.patch_discriminator.width = 16
    config.video_vae.optimizer.update(name="muon", learning_rate=2e-3, b1=0.9, b2=0.99, decay=0.6)
    config.image_ae.update(batch_size=32, steps=200, adversarial_epoch=1000.0)
    config.image_ae.encoder.update(z_dim=config.data.size, width=16)
    config.image_ae.decoder.update(channels=16, mlp_width=64, num_classes=32)
    config.image_ae.patch_discriminator.width = 16
    config.image_ae.optimizer.update(learning_rate=1e-3, b1=0.5, b2=0.9)
    config.flow.update(batch_size=50, steps=800)
    config.flow.network.update(blocks=8, hidden=128, scale="softclamp")
    config.flow.optimizer.update(learning_rate=1e-3, decay=1.0)


def local(config: Config) -> None:
    """Applies `runlocal`: a few steps of every stage with narrow networks, to test everything on a laptop."""
    config.train.update(
        log_every=1, preview_every=4, checkpoint_every=4, evaluate_every=4, evaluate_clips=4, previews=2
    )
    config.data.workers = 0
    if config.data.num_clips.train:
        config.data.num_clips.update(train=16, eval=8, test=8)
    for stage in config.stages:
        config[stage].update(batch_size=4, steps=4, **_LOCAL.get(stage, {}))
