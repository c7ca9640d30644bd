"""The parts that config files share: arguments, base configurations, ablations and `runlocal`."""

from i2v_jax.config import Arguments, Config, Field
from i2v_jax.configs import fields, scaling, small, stage_fields

# The papers' ablations, by model. cINN, tables 2 and 4: z ~ N(0, 1) without a flow; a decoder without SPADE; z only as
# the decoder's input. Poke, table 3 and appendix D: dynamics at one, two or three resolutions; a baseline of one
# resolution with three GRU layers; a single update of all networks; no L_traj.
_ABLATIONS = {
    "cinn": ("no_cinn", "no_start_frame", "no_adain"),
    "poke": ("one_level", "two_levels", "three_levels", "rnn", "single_stage", "no_trajectory"),
}
_ABLATIONS["sequence"] = _ABLATIONS["poke"]


# default: what this package recommends. release: what the authors' released code does, its faults left out. paper: the
# release, but what the papers say where their text differs.
PRESETS = ("default", "release", "paper")


def arguments(text: str | None, *, size: int, models: tuple[str, ...] = ("cinn",), **declared: object) -> Arguments:
    """Returns the parsed arguments of a config: those that all have, from `size` to `preset`, and `declared` ones.

    Args:
      text: the arguments as a user writes them, like "size=64,runlocal".
      size: the default frame size.
      models: the models ("cinn", "poke", "sequence") that the config can train; the first is the default.
      declared: further arguments with their defaults, as `Field`s or values.

    Raises:
      UserError: an argument is unknown or has an invalid value.
    """
    parsed = Arguments(
        text,
        size=Field(size, choices=tuple(stage_fields.ARCHITECTURES)),
        stage="",
        ablation="",
        runlocal=False,
        devices=Field(0, at_least=0),
        preset=Field(PRESETS[0], choices=PRESETS),
        model=Field(models[0], choices=models),
        **declared,
    )
    Field("", choices=("", *_ABLATIONS[parsed.model])).check("ablation", parsed.ablation)
    return parsed


def base(size: int, model: str = "cinn", preset: str = PRESETS[0]) -> Config:
    """Returns the base configuration of a model for square frames of `size` pixels.

    Models are "cinn", "poke", "classifier" and "sequence", the poke model trained on clips of varying length.
    """
    config = Config(fields.run(size))
    match model:
        case "poke" | "sequence":
            config.declare(stages=("poke",))
            config.data.declare(poke=fields.poke_data(size))
            config.declare(poke=stage_fields.poke(config.data))
            config.data.update(frames=11, flip=0.0)
            config.data.jitter.update(brightness=0.4, contrast=0.5, saturation=0.4, hue=0.15, hue_forward=0.3)
            if preset != "default":
                config.data.poke.min_motion = 0.0
                config.data.poke.zeropoke_amount = {"release": 0, "paper": 10}[preset]
            if preset == "release":
                config.poke.static_decoder_decays = False
                config.poke.optimizer.b2 = 0.999  # PyTorch's default; the paper writes 0.99
                config.data.poke.geometry.whole_pixels = True
            if model == "sequence":
                _train_on_sequences(config, preset)
        case "classifier":
            config.declare(stages=("classifier",), classifier=stage_fields.classifier(config.data))
        case _:
            config.declare(
                stages=("video_vae", "image_ae", "flow"),
                control=Field(
                    "none", "what the flow is given besides the start frame: direction, endpoint, poke", stage="flow"
                ),
                video_vae=stage_fields.video_vae(size, config.data),
                image_ae=stage_fields.image_ae(size, config.data),
                flow=stage_fields.flow(config.data),
            )
            if preset != "default":
                _train_cinn_as_released(config)
            if preset == "paper":
                config.video_vae.loss.window = 16
    if preset != "default":
        config.data.resize = "release"
        config.train.ema = 0.0
        config.select = "release"
    return config


def _train_cinn_as_released(config: Config) -> None:
    """Sets what the authors' release does with the clips of all its data sets, and how it selects checkpoints."""
    config.data.jitter.kind = "kornia"
    config.data.eval_starts = "random"
    config.flow.drop_last = False
    config.image_ae.optimizer.plateau_last = True
    config.train.update(evaluate_every=0, evaluate_clips=0)


def _train_on_sequences(config: Config, preset: str) -> None:
    """Sets what the release's sequence model has of its own: 5 to 13 frames after an impulse."""
    config.data.frames = 14
    config.data.poke.update(normalize="impulse", zeropoke_amount=0, object_weighting=True)
    config.data.poke.sequence.shortest = 5
    config.poke.update(batch_size=8, static_epochs=100)
    # Appendix B pokes before the first frame, the configuration that the authors released before every frame.
    config.poke.model.poke_over_time = "constant" if preset == "release" else "impulse"
    config.poke.temporal_discriminator.scores = "frames"
    config.poke.loss.update(latent=5.0, temporal=1.0, window=5)
    config.poke.optimizer.milestones = (200, 450, 700)


def finish(config: Config, parsed: Arguments) -> Config:
    """Returns the configuration after applying `ablation`, `stage`, `runlocal` and `devices`; call it last in a file.

    Batch sizes that are changed later, on the command line, scale what depends on them.
    """
    _ablate(config, parsed.ablation)
    config.stage = Field("", choices=("", *config.stages)).check("stage", parsed.stage)
    chosen = Field(parsed.preset, "set by :preset=NAME after the config", choices=(parsed.preset,), may_change=True)
    config.declare(preset=chosen)  # it decides nothing itself: the fields that it chose do
    if parsed.runlocal:
        small.local(config)
    scaling.scale(config, parsed.devices)
    return config


def _ablate(config: Config, ablation: str) -> None:
    match ablation:
        case "no_cinn":  # z is unconditional, and the later stages are not needed
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
