"""What all config files share: their arguments, the configuration they start from, ablations and `runlocal`."""

from i2v_jax.config import Arguments, Config, Field
from i2v_jax.configs import fields

# The papers' ablations, by model. cINN, tables 2 and 4: z ~ N(0, 1) without a flow; a decoder without SPADE; z only at
# the decoder's entrance. Poke, table 3 and appendix D: dynamics at so many resolutions; a baseline of one resolution
# with three GRU layers; one update of all networks; without L_traj.
_ABLATIONS = {
    "cinn": ("no_cinn", "no_start_frame", "no_adain"),
    "poke": ("one_level", "two_levels", "three_levels", "rnn", "single_stage", "no_trajectory"),
}


def arguments(text: str | None, *, size: int, models: tuple[str, ...] = ("cinn",), **declared: object) -> Arguments:
    """The arguments of a config: `size`, `stage`, `model`, `ablation`, `runlocal`, and those that it declares itself.

    Of `models` ("cinn", "poke") the first is what the config trains unless `model` names another.

    Raises:
      UserError: for an argument that there is not, and for a value that it may not have.
    """
    parsed = Arguments(
        text,
        size=Field(size, choices=tuple(fields.ARCHITECTURES)),
        stage="",
        ablation="",
        runlocal=False,
        model=Field(models[0], choices=models),
        **declared,
    )
    Field("", choices=("", *_ABLATIONS[parsed.model])).check("ablation", parsed.ablation)
    return parsed


def base(size: int, model: str = "cinn") -> Config:
    """The configuration of a model ("cinn", "poke" or "classifier") for square frames of `size` pixels."""
    config = Config(fields.run(size))
    match model:
        case "poke":
            config.declare(stages=("poke",))
            config.data.declare(poke=fields.poke_data(size))
            config.declare(poke=fields.poke(config.data))
            config.data.update(frames=11, flip=0.0)
            config.data.jitter.update(brightness=0.4, contrast=0.5, saturation=0.4, hue=0.15)
        case "classifier":
            config.declare(stages=("classifier",), classifier=fields.classifier(config.data))
        case _:
            config.declare(
                stages=("video_vae", "image_ae", "flow"),
                control=Field("none", "what the flow is given besides the start frame: direction, endpoint, poke"),
                video_vae=fields.video_vae(size, config.data),
                image_ae=fields.image_ae(size, config.data),
                flow=fields.flow(config.data),
            )
    return config


def finish(config: Config, parsed: Arguments) -> Config:
    """Applies `ablation`, `stage` and `runlocal`, in this order, after all that the config file sets."""
    _ablate(config, parsed.ablation)
    config.stage = Field("", choices=("", *config.stages)).check("stage", parsed.stage)
    if parsed.runlocal:
        _shrink(config)
    return config


def _ablate(config: Config, ablation: str) -> None:
    match ablation:
        case "no_cinn":  # nothing to tell the motion by, and nothing after the first stage
            config.control, config.stages = "none", ("video_vae",)
        case "no_start_frame":
            config.video_vae.decoder.use_start_frame = False
        case "no_adain":
            config.video_vae.decoder.use_adain = False
        case "one_level" | "two_levels" | "three_levels":
            config.poke.model.levels = ("one", "two", "three").index(ablation.partition("_")[0]) + 1
        case "rnn":
            config.poke.model.update(levels=1, bottleneck_cells=3)
        case "single_stage":
            config.poke.single_stage = True
        case "no_trajectory":
            config.poke.loss.latent = 0.0


def _shrink(config: Config) -> None:
    """`runlocal`: every stage in a few steps with narrow networks, to see on a laptop whether all of it works."""
    config.train.update(
        log_every=1, preview_every=4, checkpoint_every=4, evaluate_every=4, evaluate_clips=4, previews=2
    )
    config.data.workers = 0
    if config.data.num_clips.train:
        config.data.num_clips.update(train=16, eval=8, test=8)
    for stage in config.stages:
        config[stage].update(batch_size=4, steps=4)
    if "poke" in config:
        config.poke.adversarial_step = 2
        config.poke.model.update(features=16, narrowest=8)
        config.poke.temporal_discriminator.width = 4
        config.poke.patch_discriminator.width = 8
        return
    config.video_vae.adversarial_epoch = 0.0
    config.video_vae.encoder.update(channels=(16, 16, 16, 16, 16), z_dim=16)
    config.video_vae.decoder.update(channel_factor=4, z_dim=16)
    config.video_vae.temporal_discriminator.channels = (16, 16, 16, 16, 16)
    config.video_vae.patch_discriminator.width = 8
    config.image_ae.adversarial_epoch = 0.0
    config.image_ae.encoder.update(depth="resnet18", width=8)
    config.image_ae.decoder.update(channels=8, mlp_width=32, num_classes=16)
    config.image_ae.patch_discriminator.width = 8
    config.flow.network.update(blocks=4, hidden=32)
