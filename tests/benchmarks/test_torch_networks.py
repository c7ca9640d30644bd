"""The PyTorch networks of the benchmarks compute what the authors' networks compute."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks import torch_networks as networks  # noqa: E402
from benchmarks.torch_poke_step import PokeStep, PokeWeights  # noqa: E402
from benchmarks.torch_steps import Crop, VideoStep, VideoWeights, gradient_penalty  # noqa: E402
from tests.reference.fixtures import load  # noqa: E402

pytestmark = pytest.mark.slow


def load_network(module, name):
    """Returns `module` in eval mode with the fixture's weights in double precision, and the fixture.

    In single precision some results are further from the fixture than its tolerance, which ones depends on the
    processor: rounding flips the decisions of ReLUs and of max-pooling.
    """
    fixture = load(name)
    module.load_state_dict({key: torch.from_numpy(np.asarray(value)) for key, value in fixture.state.items()})
    return module.double().eval(), fixture


def tensors(fixture):
    """Returns the inputs, in double instead of single precision."""
    inputs = {key: torch.from_numpy(np.asarray(value)) for key, value in fixture.inputs.items()}
    return {key: value.double() if value.is_floating_point() else value for key, value in inputs.items()}


def channels_first(video):
    """Returns [B, T, C, H, W] as [B, C, T, H, W], and the other way around."""
    return video.transpose(1, 2)


def assert_output(fixture, key, actual, tolerance=None):
    """Checks `actual` with a tolerance, by default the fixture's, relative to the largest value of that output."""
    expected = fixture.outputs[key]
    actual = actual.detach().numpy()
    assert actual.shape == expected.shape
    atol = (tolerance or fixture.tolerance) * np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol, err_msg=key)


def assert_gradient_norms(fixture, module, prefix="grad_norm/", vanishing=()):
    """Checks that every gradient norm is the fixture's; those whose key ends in `vanishing` are zero up to rounding."""
    expected = {key: value for key, value in fixture.outputs.items() if key.startswith(prefix)}
    actual = {prefix + key: parameter.grad.norm().item() for key, parameter in module.named_parameters()}
    assert actual.keys() == expected.keys()
    for key, value in expected.items():
        if key.endswith(vanishing):
            assert actual[key] < 1e-12, key
        else:
            assert actual[key] == pytest.approx(float(value), rel=1e-3, abs=1e-6), key


def make_decoder(config):
    return networks.VideoDecoder(config["channel_factor"], config["z_dim"], config["upsample_s"], config["upsample_t"])


def make_encoder(config):
    return networks.VideoEncoder(config["channels"], config["stride_t"], config["stride_s"], config["z_dim"])


def make_temporal(config):
    return networks.TemporalDiscriminator(config["channels"], config["stride_t"], config["stride_s"])


# The fixture's single precision is 3.6e-4 from this: one rounding of the image, enlarged by instance norms over as few
# as 2x2 pixels, moves the mean by 3.3e-5, and 53 layers round twice each: 3.3e-5 * sqrt(106) = 3.4e-4.
ROUNDING_OF_BAIR = 4e-4


@pytest.mark.parametrize(("data", "encoder_tolerance"), [("bair", ROUNDING_OF_BAIR), ("landscape", None)])
def test_image_autoencoder(data, encoder_tolerance):
    name = f"image_autoencoder_{data}"
    config = load(name, with_state=False).config
    model, fixture = load_network(networks.ImageAutoencoder(config["in_size"], config["z_dim"], config["norm"]), name)
    inputs, stride = tensors(fixture), config["image_stride"]
    with torch.no_grad():
        mean, logvar = model.encoder(inputs["image"])
        reconstruction = model.decoder(torch.from_numpy(fixture.outputs["mean"]).double())
        decoded = model.decoder(inputs["code"].flatten(1))
    assert_output(fixture, "mean", mean, encoder_tolerance)
    assert_output(fixture, "logvar", logvar, encoder_tolerance)
    assert_output(fixture, "reconstruction", reconstruction[..., ::stride, ::stride])
    assert_output(fixture, "decoded_code", decoded[..., ::stride, ::stride])


@pytest.mark.parametrize("name", ["flow_cond64", "flow_cond128", "flow_control"])
def test_flow(name):
    config = load(name, with_state=False).config
    condition_dim = load(name, with_state=False).inputs["embedding"].shape[1]
    model, fixture = load_network(
        networks.ConditionalFlow(
            config["z_dim"],
            condition_dim,
            control=config["control"],
            n_flows=config["n_flows"],
            hidden_dim=config["hidden_dim"],
            hidden_depth=config["hidden_depth"],
        ),
        name,
    )
    inputs = tensors(fixture)
    residual, log_det = model(inputs["z"], inputs["embedding"])
    loss = networks.flow_loss(residual, log_det)
    loss.backward()
    assert_output(fixture, "residual_of_z", residual)
    assert_output(fixture, "logdet", log_det)
    assert_output(fixture, "loss", loss)
    assert_output(fixture, "z_of_residual", model.reverse(inputs["residual"], inputs["embedding"]))
    assert_gradient_norms(fixture, model)


def test_actnorm_initialization():
    fixture = load("actnorm_init")
    layer = networks.ActNorm(fixture.config["channels"]).train()
    y, log_det = layer(tensors(fixture)["x"])
    assert_output(fixture, "y", y)
    assert_output(fixture, "logdet", log_det)
    assert_output(fixture, "loc", layer.loc.flatten())
    assert_output(fixture, "scale", layer.scale.flatten())


@pytest.mark.parametrize("data", ["bair", "landscape"])
def test_video_encoder(data):
    name = f"video_encoder_{data}"
    model, fixture = load_network(make_encoder(load(name, with_state=False).config), name)
    inputs = tensors(fixture)
    mean, logvar = model(channels_first(inputs["video"]))
    (mean * inputs["cotangent_mean"] + logvar * inputs["cotangent_logvar"]).mean().backward()
    assert_output(fixture, "mean", mean)
    assert_output(fixture, "logvar", logvar)
    assert_gradient_norms(fixture, model)


@pytest.mark.parametrize("data", ["bair", "landscape"])
def test_video_decoder(data):
    name = f"video_decoder_{data}_nf16"
    model, fixture = load_network(make_decoder(load(name, with_state=False).config), name)
    inputs, stride = tensors(fixture), fixture.config["video_stride"]
    video = channels_first(model(inputs["start_frame"], inputs["z"]))
    (video * inputs["cotangent"]).mean().backward()
    assert_output(fixture, "video", video[..., ::stride, ::stride])
    assert_output(fixture, "video_mean_per_frame", video.mean((2, 3, 4)))
    assert_output(fixture, "video_std_per_frame", video.std((2, 3, 4)))
    assert_gradient_norms(fixture, model)
    with torch.no_grad():
        trained = channels_first(model.train()(inputs["start_frame"], inputs["z"]))
    assert_output(fixture, "train_mode/video_std_per_frame", trained.std((2, 3, 4)))


@pytest.mark.parametrize("data", ["bair", "landscape"])
def test_temporal_discriminator(data):
    name = f"temporal_discriminator_{data}"
    model, fixture = load_network(make_temporal(load(name, with_state=False).config), name)
    video = channels_first(tensors(fixture)["video"]).requires_grad_(True)
    logits, maps = model(video)
    penalty = gradient_penalty(logits, video)
    (logits.mean() + 10 * penalty).backward()
    assert_output(fixture, "logits", logits)
    assert_output(fixture, "gradient_penalty", penalty)
    for index, features in enumerate(maps):
        assert list(features.shape) == fixture.outputs[f"feature_map_{index}/shape"].tolist()
        assert_output(fixture, f"feature_map_{index}/mean_abs", features.abs().mean())
    assert_gradient_norms(fixture, model)


def test_patch_discriminator():
    model, fixture = load_network(networks.PatchDiscriminator(), "patch_discriminator")
    logits = model(tensors(fixture)["images"])
    logits.mean().backward()
    assert_output(fixture, "logits", logits)
    assert_gradient_norms(fixture, model)


def test_lpips():
    model, fixture = load_network(networks.LPIPS(), "lpips_vgg16")
    inputs = tensors(fixture)
    b = inputs["b"].requires_grad_(True)
    distance = model(inputs["a"], b)
    distance.sum().backward()
    assert_output(fixture, "distance", distance)
    assert_output(fixture, "grad_b", b.grad[..., ::8, ::8])


def test_i3d():
    model, fixture = load_network(networks.I3D(), "i3d_kinetics")
    (video,) = tensors(fixture).values()
    frames = torch.nn.functional.interpolate(video[0], (224, 224), mode="bilinear", align_corners=True)
    with torch.no_grad():
        logits = model((frames.transpose(0, 1)[None] + 1) / 2)
    assert_output(fixture, "logits", logits)


def test_vgg16():
    model, fixture = load_network(networks.VGG16(), "torchvision_vgg16")
    with torch.no_grad():
        outputs = model(tensors(fixture)["images"])
    assert {f"layer_{index}/mean_abs" for index in outputs} <= fixture.outputs.keys()
    for index, features in outputs.items():
        stride = max(1, features.numel() // 97)
        assert_output(fixture, f"layer_{index}/mean_abs", features.abs().mean())
        assert_output(fixture, f"layer_{index}/sample", features.flatten()[::stride][:97])


def make_poke_model(config):
    return networks.PokeModel(config["image_size"], config["nf_deep"], config["min_spatial_size"], config["frames"])


def test_poke_model():
    model, fixture = load_network(make_poke_model(load("poke_model_64", with_state=False).config), "poke_model_64")
    inputs, stride = tensors(fixture), fixture.config["image_stride"]
    video = model(inputs["start_frame"], inputs["poke"])
    (video * inputs["cotangent"]).mean().backward()
    assert_output(fixture, "video", video[..., ::stride, ::stride])
    assert_output(fixture, "video_std_per_frame", video.std((2, 3, 4)))
    # Instance norm removes whatever the bias before it adds.
    vanishing = tuple(f"{name}.conv.bias" for name in ("conv1", "conv2", "res_conv"))
    blocks = tuple(f"{name}.{index}.conv.bias" for name in ("blocks", "model") for index in range(3))
    assert_gradient_norms(fixture, model, vanishing=(*vanishing, *blocks))
    with torch.no_grad():
        reconstruction = model.dec(model.shape_enc(inputs["start_frame"]))
    assert_output(fixture, "reconstruction", reconstruction[..., ::stride, ::stride])


@pytest.mark.parametrize(
    ("name", "make", "weight"),
    [
        ("poke_patch_discriminator", networks.PokePatchDiscriminator, 1.0),
        ("poke_temporal_discriminator_64", lambda: networks.PokeTemporalDiscriminator(frames=10), 0.1),
    ],
)
def test_poke_discriminators(name, make, weight):
    model, fixture = load_network(make(), name)
    (inputs,) = tensors(fixture).values()
    inputs.requires_grad_(True)
    logits, maps = model(inputs)
    (slope,) = torch.autograd.grad(logits.sum(), inputs, create_graph=True)
    penalty = slope.square().sum() / len(inputs)
    (logits.mean() + weight * penalty).backward()
    assert_output(fixture, "logits", logits)
    assert_output(fixture, "gradient_penalty", penalty)
    for index, features in enumerate(maps):
        assert list(features.shape) == fixture.outputs[f"feature_map_{index}/shape"].tolist()
        assert_output(fixture, f"feature_map_{index}/mean_abs", features.abs().mean())
    assert_gradient_norms(fixture, model, vanishing=tuple(f"layers.{index}.bias" for index in range(3)))


@pytest.mark.long
def test_poke_training_losses():
    fixture = load("poke_training_losses_64")
    sources = fixture.config["weights"]
    model, _ = load_network(make_poke_model(load(sources["model"], with_state=False).config), sources["model"])
    vgg, _ = load_network(networks.VGG19(), sources["vgg19"])
    distance = networks.VGGDistance().double()
    distance.vgg.load_state_dict(vgg.state_dict(), strict=False)  # without the layers that the distance does not read
    step = PokeStep(
        model=model,
        temporal=networks.PokeTemporalDiscriminator(frames=2, width=2).double(),
        patch=networks.PokePatchDiscriminator(width=2).double(),
        distance=distance,
        weights=PokeWeights(),
    )
    inputs = tensors(fixture)
    video, poke = channels_first(inputs["video"]), inputs["poke"]
    model.frames = video.shape[2] - 1
    static, (losses, _) = step.static_loss(video[:, :, 0]), step.dynamic_losses(video, poke)
    assert_output(fixture, "loss/static_reconstruction", static)
    names = {"perceptual": "perceptual_dynamics", "latent": "latent_dynamics", "loss": "dynamics"}
    for ours, theirs in names.items():
        assert_output(fixture, f"loss/{theirs}", losses[ours])


@pytest.mark.long
def test_video_training_losses():
    fixture = load("cvae_training_losses_bair")
    sources, training = fixture.config["weights"], fixture.config["training"]
    modules = {
        "encoder": make_encoder(load(sources["encoder"], with_state=False).config),
        "decoder": make_decoder(load(sources["decoder"], with_state=False).config),
        "temporal": make_temporal(load(sources["temporal"], with_state=False).config),
        "patch": networks.PatchDiscriminator(),
        "lpips": networks.LPIPS(),
    }
    for key, module in modules.items():
        load_network(module, sources[key])
    weights = VideoWeights(
        recon=training["w_recon"],
        percep=training["w_percep"],
        kl=training["w_kl"],
        coup_s=training["w_coup_s"],
        coup_t=training["w_coup_t"],
        fmap_t=training["w_fmap_t"],
        gp=training["w_GP"],
    )
    step = VideoStep(**modules, weights=weights)
    inputs = tensors(fixture)
    start = int(inputs["window_start"])
    crop = Crop(slice(start, start + training["subsample_length"]), inputs["frame_indices"])

    generated = step.generate(channels_first(inputs["video"]), inputs["noise"])
    temporal, patch = step.temporal_losses(generated, crop), step.patch_losses(generated, crop)
    temporal.pop("total").backward()
    patch.pop("total").backward()
    # Read before the generator's backward pass, which runs through the discriminators too.
    assert_gradient_norms(fixture, step.temporal, "grad_norm/temporal/")
    assert_gradient_norms(fixture, step.patch, "grad_norm/patch/")
    generator = step.generator_losses(generated, crop)
    generator["Loss_VAE"].backward()
    assert_gradient_norms(fixture, step.encoder, "grad_norm/encoder/")
    # AdaIN's instance norm removes whatever the bias before it adds.
    assert_gradient_norms(fixture, step.decoder, "grad_norm/decoder/", vanishing=("conv_0.bias",))

    losses = temporal | patch | generator
    assert {f"loss/{name}" for name in losses} == {key for key in fixture.outputs if key.startswith("loss/")}
    for name, value in losses.items():
        assert_output(fixture, f"loss/{name}", value)
    spread = channels_first(generated.fake).std((2, 3, 4))
    assert_output(fixture, "generated_std_per_frame", spread)
