"""The folders of the cINN release, made of the fixtures: the authors' file names, keys and configs."""

import pathlib

import numpy as np

from i2v_jax.torch_interop.releases import cinn
from i2v_jax.torch_interop.state_dicts import torch_files
from tests.reference import fixtures

STAGE1 = """
Decoder:
  channel_factor: 16
  z_dim: 64
  upsample_s: [2, 1]
  upsample_t: [2, 1]
  spectral_norm: True
Encoder:
  res_type_encoder: 'resnet18'
  deterministic: false
  use_max_pool: false
  z_dim: 64
  channels: [64, 128, 256, 512, 512]
  stride_t: [1, 2, 2, 2]
  stride_s: [1, 2, 2, 2]
Discriminator_Temporal:
  res_type_encoder: 'resnet18'
  use_max_pool: true
  channels: [64, 64, 128, 256, 512]
  stride_t: [2, 2, 2, 2]
  stride_s: [1, 1, 2, 2]
  spectral_norm: True
Discriminator_Patch: {in_channels: 3, ndf: 64, n_layers: 3, use_actnorm: True, spectral_norm: True}
Training: {GAN_Loss: 'hinge', w_percep: 30, w_recon: 10, w_kl: 1e-5, pretrain: 1, n_epochs: 55, lr: 2e-4, bs: 10}
Data:
  sequence_length: 17
  img_size: 64
  dataset: 'BAIR'
  Augmentation: {brightness: 0.1, contrast: 0.1, saturation: 0.1, hue: 0, prob_hflip: 0.5}
"""
AE = """
AE: {deterministic: False, in_size: 64, norm: "in", encoder_type: "resnet50", use_actnorm_in_dec: False, z_dim: 64}
Training: {w_kl: 1e-5, n_epochs: 60, lr: 2e-4, bs: 30, weight_decay: 0, pretrain: 20}
"""
STAGE2 = """
Flow: {n_flows: 20, flow_hidden_depth: 2, flow_mid_channels_factor: 8}
Conditioning_Model: {z_dim: 64, checkpoint_name: 'Encoder_stage2', model_name: 'ae/', model_path: 'there'}
First_stage_model: {checkpoint_encoder: 'best_PFVD_ENC', checkpoint_decoder: 'best_PFVD_GEN'}
Training: {n_epochs: 31, lr: 1e-5, bs: 50, control: False, gamma: 0.5, step_size: 7, beta1: 0.9, amsgrad: True}
Data: {img_size: 64, dataset: 'BAIR'}
"""


def write_configs(folder: pathlib.Path, stage1: str = STAGE1, ae: str = AE, stage2: str = STAGE2) -> cinn.Folders:
    folders = cinn.Folders(folder / "stage1", folder / "ae", folder / "stage2")
    for part, text in (("stage1", stage1), ("ae", ae), ("stage2", stage2)):
        place = getattr(folders, part)
        place.mkdir(parents=True, exist_ok=True)
        (place / cinn._CONFIGS[part]).write_text(text)
    return folders


def states() -> dict[str, dict[str, np.ndarray]]:
    """File -> state dict."""
    autoencoder = fixtures.state("image_autoencoder_bair")
    encoder = {key.removeprefix("encoder."): value for key, value in autoencoder.items() if key.startswith("encoder.")}
    return {
        "stage1/best_PFVD_ENC.pth": fixtures.state("video_encoder_bair"),
        "stage1/best_PFVD_GEN.pth": fixtures.state("video_decoder_bair_nf16"),
        "stage1/latest_checkpoint_DISC_s.pth": fixtures.state("patch_discriminator"),
        "ae/encoder_stage2.pth": encoder,
        "stage2/cINN.pth": fixtures.state("flow_cond64"),
    }


def write_release(folder: pathlib.Path) -> cinn.Folders:
    """A BAIR model with a narrow decoder."""
    folders = write_configs(folder)
    for file, state in states().items():
        rest = {"optim_state_dict": {"state": {}, "param_groups": [{"lr": 2e-4, "betas": [0.5, 0.9]}]}}
        torch_files.write(folder / file, {"epoch": 40, "state_dict": state, **rest})
    return folders
