"""Converts a checkpoint of the poke release and its config to our configuration and networks, and back."""

import pathlib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from i2v_jax import files
from i2v_jax.data.registry import data_set, of_release
from i2v_jax.errors import UserError
from i2v_jax.tasks.poke import MODEL
from i2v_jax.torch_interop import to_torch
from i2v_jax.torch_interop.releases import documents
from i2v_jax.torch_interop.releases.documents import Document, Field
from i2v_jax.torch_interop.releases.release import Imported, Part, Preset, load_part, unsupported
from i2v_jax.torch_interop.state_dicts import torch_files
from i2v_jax.torch_interop.state_dicts.poke_networks import MODEL_SWITCHES, NARROWEST

_FIELDS = (
    Field("architecture.nf_deep", "poke.model.features", True),
    Field("architecture.min_spatial_size", "poke.model.min_spatial_size", True),
    Field("data.poke_size", "data.poke.poke_size"),
    Field("data.subsample_step", "data.frame_stride"),
    Field("data.augment_b", "data.jitter.brightness"),
    Field("data.augment_c", "data.jitter.contrast"),
    Field("data.augment_s", "data.jitter.saturation"),
    Field("data.augment_h", "data.jitter.hue"),
    Field("data.p_col", "data.poke.color_probability"),
    Field("data.p_geom", "data.poke.geometry.probability"),
    Field("data.aug_deg", "data.poke.geometry.rotation"),
    Field("training.zeropoke_amount", "data.poke.zeropoke_amount"),
    Field("training.batch_size", "poke.batch_size"),
    Field("training.n_epochs", "poke.epochs"),
    Field("training.singlestage", "poke.single_stage"),
    Field("training.lr", "poke.optimizer.learning_rate"),
    Field("training.lr_reduce", "poke.optimizer.decay"),
    Field("training.vgg_dyn_weight", "poke.loss.perceptual"),
    Field("training.latent_dynamics_weight", "poke.loss.latent"),
    Field("gan.start_iteration", "poke.adversarial_step"),
    Field("gan.n_layers", "poke.patch_discriminator.layers"),
    Field("gan.n_examples", "poke.loss.spatial_frames"),
    Field("gan.gp_weight", "poke.loss.spatial_penalty"),
    Field("gan.gen_weight", "poke.loss.spatial"),
    Field("gan_temp.gp_weight", "poke.loss.temporal_penalty"),
    Field("gan_temp.gen_weight", "poke.loss.temporal"),
    Field("gan_temp.fmap_weight", "poke.loss.feature_matching"),
)
# What has one supported value in the section `architecture`.
_ARCHITECTURE: dict[str, Any] = {"nf_first": NARROWEST, **MODEL_SWITCHES}
_CHECKPOINT, _CONFIG = "reg_ckpt_checkpoint_0.pt", "config.yaml"


def read_release(checkpoint: pathlib.Path, config_file: pathlib.Path) -> Imported:
    """Returns the configuration and the networks of a poke model of the authors.

    Raises:
      UserError: a file is missing, is damaged or holds another network; or the config contradicts the arrays, or
        describes a model that is not supported.
    """
    document = documents.read(config_file)
    if not checkpoint.is_file():
        raise UserError(f"there is no file {checkpoint} for the poke_model", value=str(checkpoint))
    preset = _preset(document)
    config = configure(preset.config(), document)
    part = Part("poke_model", _network_config(config, document))
    state = torch_files.read_state_dict(checkpoint, "model")
    variables, report = load_part("poke/model", part, checkpoint, state, {})
    networks = {name: {"params": variables["params"][name]} for name in MODEL}
    return Imported(preset, config, {"poke": networks}, (report,))


def _size(document: Document) -> int:
    height, width = document.get("data.spatial_size")
    if height != width:
        raise UserError(
            f"{document.path}: unsupported value for data.spatial_size: {height}x{width} (must be square)",
            "data.spatial_size",
            (height, width),
        )
    return height


def _preset(document: Document) -> Preset:
    known = of_release("poke", document.get("data"))
    return Preset.of(known.config, "model=poke", f"size={_size(document)}", "preset=release")


def configure(config: ConfigDict, document: Document) -> ConfigDict:
    """Returns `config` of a poke model with the values of the authors' file. Raises UserError for invalid values."""
    documents.fill(config, document, _FIELDS)
    config.data.size = _size(document)
    config.data.frames = 1 + document.get("data.max_frames", config.data.frames - 1)
    config.data.poke.fill = "value" if document.get("data.equal_poke_val", True) else "patch"
    shift = document.get("data.aug_trans", (config.data.poke.geometry.shift,))
    config.data.poke.geometry.shift = float(shift[0])
    every_step = document.get("architecture.poke_every_t", True)
    config.data.poke.normalize = "none" if every_step else "impulse"
    config.poke.model.update(
        levels=0, bottleneck_cells=1, poke_norm="instance", poke_over_time="constant" if every_step else "impulse"
    )
    # PyTorch's defaults, which the release trains with; its milestones are shares of all epochs.
    config.poke.optimizer.update(name="adam", b1=0.9, b2=0.999)
    shares = document.get("training.tau", None)
    if shares is not None:
        config.poke.optimizer.milestones = tuple(round(share * config.poke.epochs) for share in shares)
    return config


def _network_config(config: ConfigDict, document: Document | None = None) -> dict[str, Any]:
    """Returns the hyper-parameters of the model under the release's names."""
    model = config.poke.model
    switches = {name: document.get(f"architecture.{name}", value) if document else value
                for name, value in _ARCHITECTURE.items()}  # fmt: skip
    return {
        **switches,
        "nf_deep": model.features,
        "min_spatial_size": model.min_spatial_size,
        "poke_every_t": model.poke_over_time == "constant",
        "image_size": config.data.size,
        "frames": config.data.frames - 1,
    }


def write_release(config: ConfigDict, stages: Mapping[str, Mapping[str, Any]], out: pathlib.Path) -> dict[str, int]:
    """Writes a checkpoint to `out`, as the authors' model loads it, and `config.yaml`, with its hyper-parameters.

    The authors' `main.py` reads more from its config: folders, sections for testing and logging, workers.

    Args:
      config: of the work directory.
      stages: stage -> network -> variables.
      out: a folder that does not exist yet, or is empty.
    Returns:
      File -> number of keys.
    Raises:
      UserError: the authors' code has no such model, or `out` is not empty or cannot be written.
    """
    _check_representable(config.poke.model)
    params = {name: stages["poke"][name]["params"] for name in MODEL}
    state = to_torch("poke_model", {"params": params}, _network_config(config))
    with files.new_folder(out) as target:
        torch_files.write(target / _CHECKPOINT, {"model": state})
        documents.write(target / _CONFIG, _authors_config(config))
    return {_CHECKPOINT: len(state)}


def _check_representable(model: ConfigDict) -> None:
    needed: dict[str, tuple[Any, ...]] = {
        "levels": (0,),
        "bottleneck_cells": (1,),
        "image_norm": ("instance",),
        "poke_norm": ("instance",),
        "narrowest": (NARROWEST,),
        "poke_over_time": ("constant", "impulse"),
    }
    for name, values in needed.items():
        if model[name] not in values:
            raise unsupported(f"poke.model.{name}", model[name], " or ".join(map(str, values)))


def _authors_config(config: ConfigDict) -> dict[str, Any]:
    fields, optimizer = documents.collect(config, _FIELDS), config.poke.optimizer
    data = data_set(config.data.name).release_fields.get("poke", {"dataset": config.data.name})
    fields["architecture"] |= {**_ARCHITECTURE, "poke_every_t": config.poke.model.poke_over_time == "constant"}
    fields["architecture"]["n_gru_layers"] = 3  # of a baseline only
    fields["data"] |= {**data, "spatial_size": [config.data.size] * 2}
    fields["data"] |= {"max_frames": config.data.frames - 1, "equal_poke_val": config.data.poke.fill == "value"}
    fields["data"]["aug_trans"] = [config.data.poke.geometry.shift] * 2
    fields["training"]["tau"] = [epoch / config.poke.epochs for epoch in optimizer.milestones]
    return fields
