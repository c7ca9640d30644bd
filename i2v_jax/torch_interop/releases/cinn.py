"""The cINN release: converts its three folders to a configuration and networks of this package, and back."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from i2v_jax.data.registry import data_set, of_release
from i2v_jax.errors import UserError
from i2v_jax.models import resnet2d, resnet3d
from i2v_jax.sampling.cinn_core import CLIP_FRAMES
from i2v_jax.tasks import control as controls
from i2v_jax.torch_interop.releases import documents
from i2v_jax.torch_interop.releases.documents import Document, Field
from i2v_jax.torch_interop.releases.release import Imported, Part, Preset, load_parts, unsupported, write_parts

_VAE, _IMAGE = "video_vae", "image_ae"
_STAGE1 = (
    *(
        Field(f"Encoder.{name}", f"{_VAE}.encoder.{name}", True)
        for name in ("z_dim", "channels", "stride_t", "stride_s")
    ),
    Field("Encoder.res_type_encoder", f"{_VAE}.encoder.depth", True),
    Field("Encoder.use_max_pool", f"{_VAE}.encoder.max_pool", True),
    *(
        Field(f"Decoder.{name}", f"{_VAE}.decoder.{name}", True)
        for name in ("z_dim", "channel_factor", "upsample_s", "upsample_t", "spectral_norm")
    ),
    *(
        Field(f"Discriminator_Temporal.{name}", f"{_VAE}.temporal_discriminator.{name}")
        for name in ("channels", "stride_t", "stride_s", "spectral_norm")
    ),
    Field("Discriminator_Patch.ndf", f"{_VAE}.patch_discriminator.width"),
    Field("Discriminator_Patch.n_layers", f"{_VAE}.patch_discriminator.layers"),
    Field("Discriminator_Patch.spectral_norm", f"{_VAE}.patch_discriminator.spectral_norm"),
    Field("Training.w_recon", f"{_VAE}.loss.reconstruction"),
    Field("Training.w_percep", f"{_VAE}.loss.perceptual"),
    Field("Training.w_kl", f"{_VAE}.loss.kl"),
    Field("Training.w_coup_s", f"{_VAE}.loss.spatial"),
    Field("Training.w_coup_t", f"{_VAE}.loss.temporal"),
    Field("Training.w_fmap_t", f"{_VAE}.loss.feature_matching"),
    Field("Training.w_GP", f"{_VAE}.loss.gradient_penalty"),
    Field("Training.subsample_length", f"{_VAE}.loss.window"),
    Field("Training.pretrain", f"{_VAE}.adversarial_epoch"),
    Field("Training.n_epochs", f"{_VAE}.epochs"),
    Field("Training.bs", f"{_VAE}.batch_size"),
    Field("Training.lr", f"{_VAE}.optimizer.learning_rate"),
    Field("Training.weight_decay", f"{_VAE}.optimizer.weight_decay"),
    Field("Training.lr_gamma", f"{_VAE}.optimizer.decay"),
    Field("Data.sequence_length", "data.frames"),
    Field("Data.img_size", "data.size", True),
    *(Field(f"Data.iter_{split}", f"data.clips_per_video.{split}") for split in ("train", "eval", "test")),
    *(
        Field(f"Data.Augmentation.{name}", f"data.jitter.{name}")
        for name in ("brightness", "contrast", "saturation", "hue")
    ),
    Field("Data.Augmentation.prob_hflip", "data.flip"),
)
_AE = (
    Field("AE.z_dim", f"{_IMAGE}.encoder.z_dim", True),
    Field("AE.norm", f"{_IMAGE}.encoder.norm", True),
    Field("AE.encoder_type", f"{_IMAGE}.encoder.depth", True),
    Field("AE.in_size", "data.size", True),
    Field("Discriminator_Patch.ndf", f"{_IMAGE}.patch_discriminator.width"),
    Field("Discriminator_Patch.n_layers", f"{_IMAGE}.patch_discriminator.layers"),
    Field("Discriminator_Patch.spectral_norm", f"{_IMAGE}.patch_discriminator.spectral_norm"),
    Field("Training.w_kl", f"{_IMAGE}.loss.kl"),
    Field("Training.n_epochs", f"{_IMAGE}.epochs"),
    Field("Training.pretrain", f"{_IMAGE}.adversarial_epoch"),
    Field("Training.bs", f"{_IMAGE}.batch_size"),
    Field("Training.lr", f"{_IMAGE}.optimizer.learning_rate"),
    Field("Training.weight_decay", f"{_IMAGE}.optimizer.weight_decay"),
)
_STAGE2 = (
    Field("Flow.n_flows", "flow.network.blocks", True),
    Field("Flow.flow_hidden_depth", "flow.network.depth", True),
    Field("Conditioning_Model.z_dim", f"{_IMAGE}.encoder.z_dim"),
    Field("Training.n_epochs", "flow.epochs"),
    Field("Training.bs", "flow.batch_size"),
    Field("Training.lr", "flow.optimizer.learning_rate"),
    Field("Training.weight_decay", "flow.optimizer.weight_decay"),
    Field("Training.gamma", "flow.optimizer.decay"),
    Field("Training.step_size", "flow.optimizer.decay_epochs"),
    Field("Training.beta1", "flow.optimizer.b1"),
    Field("Training.beta2", "flow.optimizer.b2"),
)
_CONTROLS = (controls.NONE.name, controls.ENDPOINT.name)  # that the release has
_CONFIGS = {"stage1": "config_stage1.yaml", "ae": "config_stage2_AE.yaml", "stage2": "config_stage2.yaml"}


@dataclasses.dataclass(frozen=True)
class Folders:
    """The folders of a model's three parts in the release."""

    stage1: pathlib.Path
    ae: pathlib.Path
    stage2: pathlib.Path

    def documents(self) -> dict[str, Document]:
        """Returns the configs. Raises UserError if one is missing or not plain YAML."""
        return {part: documents.read(getattr(self, part) / name) for part, name in _CONFIGS.items()}


def read_release(folders: Folders) -> Imported:
    """Returns the configuration and the networks of a model of the authors.

    Raises:
      UserError: a file is missing, is damaged or holds another network; or the configs contradict each other or the
        arrays, or describe a model that is not supported.
    """
    found = folders.documents()
    _check(found)
    preset = _preset(found["stage1"], found["stage2"])
    config = _configure(preset.config(), found)
    return load_parts(preset, config, _parts(config), lambda part: _files(part, folders, found))


def _check(found: Mapping[str, Document]) -> None:
    stage1, ae, stage2 = found["stage1"], found["ae"], found["stage2"]
    stage1.require("Encoder.deterministic", [False])
    stage1.require("Encoder.res_type_encoder", resnet3d.BLOCKS)
    stage1.require("Discriminator_Temporal.res_type_encoder", ["resnet18"])
    stage1.require("Discriminator_Temporal.use_max_pool", [True])
    stage1.require("Discriminator_Patch.use_actnorm", [True])
    stage1.require("Training.GAN_Loss", ["hinge"])
    stage1.require("Data.sequence_length", [CLIP_FRAMES + 1])
    ae.require("AE.norm", ["in", "bn"])
    ae.require("AE.encoder_type", resnet2d.STAGES)
    documents.check_equal(stage1, "Encoder.z_dim", stage1, "Decoder.z_dim")
    documents.check_equal(stage1, "Data.img_size", ae, "AE.in_size")
    documents.check_equal(stage1, "Data.img_size", stage2, "Data.img_size")
    documents.check_equal(stage2, "Conditioning_Model.z_dim", ae, "AE.z_dim")


def _preset(stage1: Document, stage2: Document) -> Preset:
    found, arguments = (
        of_release("cinn", stage1.get("Data")),
        [f"size={stage1.get('Data.img_size')}"],
    )
    if stage2.get("Training.control", False):
        if controls.ENDPOINT.name not in found.labels:
            raise UserError(
                f"{stage2.path}: Training.control is True, but clips of {found.name} have no endpoint, "
                "which the release controls by"
            )
        arguments.append(f"control={controls.ENDPOINT.name}")
    return Preset.of(found.config, *arguments, "preset=release")


def _configure(config: ConfigDict, found: Mapping[str, Document]) -> ConfigDict:
    flip = config.data.flip
    for part, fields in (("stage1", _STAGE1), ("ae", _AE), ("stage2", _STAGE2)):
        documents.fill(config, found[part], fields)
    if controls.get(config.control).width:
        config.data.flip = flip  # a mirrored arm ends elsewhere
    factor = found["stage2"].get("Flow.flow_mid_channels_factor")
    config.flow.network.hidden = config.video_vae.decoder.z_dim * factor
    config.flow.optimizer.name = "amsgrad" if found["stage2"].get("Training.amsgrad", True) else "adam"
    return config


def _parts(config: ConfigDict) -> dict[str, Part]:
    """Returns stage/network -> its name and hyper-parameters in the release."""
    control_width = controls.get(config.control).width
    vae, encoder, flow, size = config.video_vae, config.image_ae.encoder, config.flow.network, config.data.size
    clip: dict[str, Any] = {"image_size": size, "frames": CLIP_FRAMES}
    patch = {"in_channels": 3, "use_actnorm": True, "image_size": size}
    parts = {
        "video_vae/encoder": Part(
            "video_encoder",
            {**_strides(vae.encoder), "z_dim": vae.encoder.z_dim, **clip}
            | {"res_type_encoder": vae.encoder.depth, "use_max_pool": vae.encoder.max_pool},
        ),
        "video_vae/decoder": Part(
            "video_decoder",
            {
                name: vae.decoder[name]
                for name in ("channel_factor", "z_dim", "upsample_s", "upsample_t", "spectral_norm")
            }
            | clip,
        ),
        "video_vae/temporal_discriminator": Part(
            "temporal_discriminator",
            {**_strides(vae.temporal_discriminator), **clip, "res_type_encoder": "resnet18", "use_max_pool": True}
            | {"spectral_norm": vae.temporal_discriminator.spectral_norm},
            needed=False,
        ),
        "video_vae/patch_discriminator": Part(
            "patch_discriminator",
            {"ndf": vae.patch_discriminator.width, "n_layers": vae.patch_discriminator.layers, **patch}
            | {"spectral_norm": vae.patch_discriminator.spectral_norm},
            needed=False,
        ),
        "image_ae/encoder": Part(
            "image_encoder",
            {"z_dim": encoder.z_dim, "in_size": size, "norm": encoder.norm, "encoder_type": encoder.depth},
        ),
        "flow/flow": Part(
            "flow",
            {"z_dim": vae.encoder.z_dim, "embedding_dim": encoder.z_dim + control_width}
            | {"control": control_width > 0, "n_flows": flow.blocks}
            | {"hidden_dim": flow.hidden, "hidden_depth": flow.depth},
        ),
    }
    return {name: part for name, part in parts.items() if name.partition("/")[0] in config.stages}


def _strides(network: ConfigDict) -> dict[str, Any]:
    return {name: network[name] for name in ("channels", "stride_t", "stride_s")}


def _files(name: str, folders: Folders, found: Mapping[str, Document]) -> list[pathlib.Path]:
    """Returns the files that may hold a network: those named in config_stage2.yaml first, then the usual names."""
    stage2 = found["stage2"]
    encoder = stage2.get("First_stage_model.checkpoint_encoder", "best_PFVD_ENC")
    decoder = stage2.get("First_stage_model.checkpoint_decoder", "best_PFVD_GEN")
    image = stage2.get("Conditioning_Model.checkpoint_name", "encoder_stage2")
    stems = {
        "video_vae/encoder": (folders.stage1, [encoder, "best_PFVD_ENC", "latest_checkpoint_ENC"]),
        "video_vae/decoder": (folders.stage1, [decoder, "best_PFVD_GEN", "latest_checkpoint_GEN"]),
        "video_vae/temporal_discriminator": (folders.stage1, ["latest_checkpoint_DISC_t"]),
        "video_vae/patch_discriminator": (folders.stage1, ["latest_checkpoint_DISC_s"]),
        "image_ae/encoder": (folders.ae, [image, "encoder_stage2", "Encoder_stage2"]),
        "flow/flow": (folders.stage2, ["cINN"]),
    }
    folder, names = stems[name]
    return [folder / f"{stem}{suffix}" for stem in names for suffix in (".pth", ".pth.tar")]


_WRITTEN = {
    "video_vae/encoder": "stage1/best_PFVD_ENC.pth",
    "video_vae/decoder": "stage1/best_PFVD_GEN.pth",
    "video_vae/temporal_discriminator": "stage1/latest_checkpoint_DISC_t.pth",
    "video_vae/patch_discriminator": "stage1/latest_checkpoint_DISC_s.pth",
    "image_ae/encoder": "ae/encoder_stage2.pth",
    "flow/flow": "stage2/cINN.pth",
}


def write_release(config: ConfigDict, stages: Mapping[str, Mapping[str, Any]], out: pathlib.Path) -> dict[str, int]:
    """Writes the folders `stage1`, `ae` and `stage2` in `out`, as the authors' code expects them.

    Args:
      config: of the work directory.
      stages: stage -> network -> variables.
      out: a folder that does not exist yet, or is empty.
    Returns:
      File -> number of keys.
    Raises:
      UserError: the authors' code has no such model, or `out` is not empty or cannot be written.
    """
    _check_representable(config)
    parts = {name: part for name, part in _parts(config).items() if name.split("/")[1] in stages[name.split("/")[0]]}

    def write_configs(target: pathlib.Path) -> None:
        for part, fields in _authors_configs(config, out).items():
            if (target / part).is_dir():
                documents.write(target / part / _CONFIGS[part], fields)

    return write_parts(parts, stages, {name: _WRITTEN[name] for name in parts}, out, write_configs)


def _check_representable(config: ConfigDict) -> None:
    decoder, image, flow = config.video_vae.decoder, config.image_ae.encoder, config.flow.network
    rules: list[tuple[str, Any, Callable[[Any], bool], str]] = [
        ("video_vae.decoder.use_start_frame", decoder.use_start_frame, bool, "True"),
        ("video_vae.decoder.use_adain", decoder.use_adain, bool, "True"),
        ("video_vae.decoder.channel_factor", decoder.channel_factor, lambda factor: factor % 8 == 0, "a multiple of 8"),
        ("video_vae.patch_discriminator.norm", config.video_vae.patch_discriminator.norm, "actnorm".__eq__, "actnorm"),
    ]
    if "flow" in config.stages:
        divides = config.flow.network.hidden % config.video_vae.encoder.z_dim == 0
        rules += [
            ("image_ae.encoder.width", image.width, (64).__eq__, "64"),
            ("flow.network.scale", flow.scale, "exp".__eq__, "exp"),
            ("flow.network.hidden", flow.hidden, lambda _: divides, "a multiple of video_vae.encoder.z_dim"),
            ("control", config.control, _CONTROLS.__contains__, " or ".join(_CONTROLS)),
        ]
    for name, value, fits, needed in rules:
        if not fits(value):
            raise unsupported(name, value, needed)


def _authors_configs(config: ConfigDict, out: pathlib.Path) -> dict[str, dict[str, Any]]:
    stage1, ae, stage2 = (documents.collect(config, fields) for fields in (_STAGE1, _AE, _STAGE2))
    patch = {"in_channels": 3, "use_actnorm": True}
    data = data_set(config.data.name).release_fields.get("cinn", {"dataset": config.data.name})
    stage1["Encoder"]["deterministic"] = False
    stage1["Discriminator_Temporal"] |= {"res_type_encoder": "resnet18", "use_max_pool": True, "deterministic": False}
    stage1["Discriminator_Patch"] |= patch
    stage1["Training"] |= {"GAN_Loss": "hinge", "FVD": "FVD" if config.data.size == 64 else "DTFVD"}
    stage1["Data"] |= data
    ae["AE"] |= {"deterministic": False, "use_actnorm_in_dec": False, "pre_process": False, "pretrained": False}
    ae["Discriminator_Patch"] |= patch
    stage2["Flow"]["flow_mid_channels_factor"] = config.flow.network.hidden // config.video_vae.encoder.z_dim
    stage2["Conditioning_Model"] |= {"checkpoint_name": "encoder_stage2", "model_path": f"{out}/", "model_name": "ae"}
    stage2["First_stage_model"] = {"checkpoint_encoder": "best_PFVD_ENC", "checkpoint_decoder": "best_PFVD_GEN"}
    stage2["First_stage_model"] |= {"model_path": f"{out}/", "model_name": "stage1"}
    stage2["Training"] |= {
        "control": controls.get(config.control).width > 0,
        "amsgrad": config.flow.optimizer.name == "amsgrad",
    }
    stage2["Data"] = stage1["Data"]
    return {"stage1": stage1, "ae": ae, "stage2": stage2}
