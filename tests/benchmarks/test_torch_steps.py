"""The PyTorch steps of the benchmarks train the networks that they should."""

import pytest

torch = pytest.importorskip("torch")

from benchmarks import torch_networks as networks  # noqa: E402
from benchmarks.torch_poke_step import PokeStep, PokeWeights  # noqa: E402
from benchmarks.torch_steps import FlowStep, ImageStep, VideoStep, VideoWeights  # noqa: E402

pytestmark = pytest.mark.slow


def parameters_changed(module, before):
    return any(not torch.equal(before[key], value) for key, value in module.named_parameters())


def snapshot(module):
    return {key: value.detach().clone() for key, value in module.named_parameters()}


def small_video_networks():
    """Stage 1's networks at 64x64, as narrow as the group norms allow."""
    return {
        "encoder": networks.VideoEncoder((16, 16, 16, 16, 16), (1, 2, 2, 2), (1, 2, 2, 2), 8),
        "decoder": networks.VideoDecoder(channel_factor=16, z_dim=8),
        "temporal": networks.TemporalDiscriminator((16, 16, 16, 16, 16), (2, 2, 2, 2), (1, 1, 2, 2)),
        "patch": networks.PatchDiscriminator(ndf=8),
    }


def test_video_step_updates_every_network():
    torch.manual_seed(0)
    modules = small_video_networks()
    before = {name: snapshot(module) for name, module in modules.items()}
    step = VideoStep(**modules, lpips=networks.LPIPS(), weights=VideoWeights())
    losses = step(torch.rand(1, 3, 17, 64, 64) * 2 - 1)
    assert all(torch.isfinite(value) for value in losses.values())
    for name, module in modules.items():
        assert parameters_changed(module, before[name]), name
        assert all(parameter.requires_grad for parameter in module.parameters())


def test_image_step_updates_both_networks():
    torch.manual_seed(0)
    autoencoder, patch = networks.ImageAutoencoder(64, 64, "in"), networks.PatchDiscriminator(ndf=8)
    before = snapshot(autoencoder), snapshot(patch)
    losses = ImageStep(autoencoder, patch, networks.LPIPS(), w_kl=1e-5)(torch.rand(2, 3, 64, 64) * 2 - 1)
    assert all(torch.isfinite(value) for value in losses.values())
    assert 0 < losses["weight"] <= 1e4
    assert parameters_changed(autoencoder, before[0])
    assert parameters_changed(patch, before[1])


def test_flow_step_lowers_the_loss_and_keeps_the_encoders():
    torch.manual_seed(0)
    encoder = networks.VideoEncoder((16, 16, 16, 16, 16), (1, 2, 2, 2), (1, 2, 2, 2), z_dim=8)
    images = networks.ImageEncoder(z_dim=8, norm="in")
    before = snapshot(encoder), snapshot(images)
    flow = networks.ConditionalFlow(z_dim=8, condition_dim=8, n_flows=2, hidden_dim=16)
    step = FlowStep(flow, encoder, images)
    z, condition = step.encode(torch.rand(4, 3, 17, 64, 64) * 2 - 1)
    losses = [step.update(z, condition).item() for _ in range(20)]
    assert losses[-1] < losses[0]
    assert not parameters_changed(encoder, before[0])
    assert not parameters_changed(images, before[1])


@pytest.mark.parametrize("adversarial", [False, True])
def test_poke_step_updates_its_networks(adversarial):
    torch.manual_seed(0)
    modules = {
        "model": networks.PokeModel(32, features=8, min_spatial_size=8, frames=2, narrowest=4),
        "temporal": networks.PokeTemporalDiscriminator(frames=2, width=2),
        "patch": networks.PokePatchDiscriminator(width=2),
    }
    before = {name: snapshot(module) for name, module in modules.items()}
    step = PokeStep(**modules, distance=networks.VGGDistance(), weights=PokeWeights(), spatial_frames=2)
    losses = step(torch.rand(1, 3, 3, 32, 32) * 2 - 1, torch.rand(1, 2, 32, 32), adversarial)
    assert all(torch.isfinite(value) for value in losses.values())
    for name, module in modules.items():
        assert parameters_changed(module, before[name]) == (adversarial or name == "model"), name
        assert all(parameter.requires_grad for parameter in module.parameters())
