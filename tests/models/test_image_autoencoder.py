"""The image autoencoder: layout, sizes, batch statistics and types. Interop checks its values against the fixtures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.models import biggan
from i2v_jax.models.image_autoencoder import ImageAutoencoder, ImageDecoder, ImageEncoder
from i2v_jax.models.resnet2d import ResNet
from tests.models.random_variables import random_variables


def _small(**options) -> ImageAutoencoder:
    defaults = {
        "z_dim": 24,
        "size": 32,
        "depth": "resnet18",
        "encoder_width": 8,
        "channels": 4,
        "mlp_width": 16,
        "num_classes": 10,
    }
    return ImageAutoencoder(**{**defaults, **options})


def _images(batch: int = 4, size: int = 32):
    return jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (batch, size, size, 3)), jnp.float32)


@pytest.fixture(scope="module")
def autoencoder():
    module = _small(norm="bn")
    return module, random_variables(module, _images())


@pytest.fixture(scope="module")
def reconstructed(autoencoder):
    module, variables = autoencoder
    return jax.jit(module.apply)(variables, _images())


@pytest.fixture(scope="module")
def trained(autoencoder):
    """Gradients and changed collections of one training step."""
    module, variables = autoencoder
    frozen = {key: value for key, value in variables.items() if key != "params"}

    @jax.jit
    def step(params):
        def loss(params):
            (images, posterior), updates = module.apply(
                {**frozen, "params": params},
                _images(),
                jnp.ones((4, 24)),
                train=True,
                mutable=["batch_stats", "spectral"],
            )
            return jnp.mean(jnp.abs(images - _images())) + 1e-3 * jnp.mean(posterior.kl()), updates

        return jax.grad(loss, has_aux=True)(params)

    return step(variables["params"])


# What torchvision's models have without their last layer.
@pytest.mark.parametrize(
    ("depth", "count"), [("resnet18", 11_176_512), ("resnet34", 21_284_672), ("resnet50", 23_508_032)]
)
def test_resnet_has_as_many_parameters_as_torchvision_s(depth, count):
    shapes = jax.eval_shape(ResNet(depth, norm="bn").init, jax.random.key(0), _images(1, 64))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == count


@pytest.mark.parametrize(
    ("size", "widths", "code"), [(32, (16, 8, 1), 5), (64, (16, 8, 4, 1), 10), (128, (16, 8, 4, 2, 1), 20)]
)
def test_decoder_sizes(size, widths, code):
    assert biggan.widths(size) == widths
    assert biggan.code_size(size) == code
    decoder = ImageDecoder(128, size, channels=8, mlp_width=16, num_classes=10)
    images, variables = jax.eval_shape(decoder.init_with_output, jax.random.key(0), jnp.zeros((2, 128)))
    assert images.shape == (2, size, size, 3)
    assert ("attention" in variables["params"]["generator"]) == (size == 128)


def test_unsupported_sizes_are_named():
    with pytest.raises(UserError) as raised:
        biggan.widths(48)
    assert (raised.value.field, raised.value.value) == ("size", 48)
    decoder = ImageDecoder(15, 32, channels=4, mlp_width=16, num_classes=10)
    with pytest.raises(UserError) as raised:
        jax.eval_shape(decoder.init, jax.random.key(0), jnp.zeros((1, 15)))
    assert (raised.value.field, raised.value.value) == ("z_dim", 15)
    with pytest.raises(UserError) as raised:
        jax.eval_shape(ImageEncoder(8, depth="resnet18").init, jax.random.key(0), _images(1, 16))
    assert (raised.value.field, raised.value.value) == ("images", (16, 16))


def test_instance_norm_encoder_sees_32x32_images():
    """With torchvision's max pool the last maps would be single pixels and every image would get the same code."""
    encoder = ImageEncoder(8, norm="in", depth="resnet18", width=8)
    variables = random_variables(encoder, _images())
    variables["params"]["head"]["bias"][8:] = [50, -50, *[0] * 6]
    posterior = jax.jit(encoder.apply)(variables, _images())
    assert np.min(np.std(posterior.mean, axis=0)) > 1e-3
    np.testing.assert_array_equal(posterior.logvar[:, :2], [[10.0, -30.0]] * 4)  # clamped


def test_training_changes_batch_statistics_and_never_the_stored_u(autoencoder, trained):
    _, variables = autoencoder
    _, updates = trained
    assert set(variables["params"]) == {"encoder", "decoder"}
    jax.tree.map(np.testing.assert_array_equal, updates["spectral"], variables["spectral"])
    before, after = (jax.tree.leaves(tree["batch_stats"]) for tree in (variables, updates))
    assert all(np.any(old != new) for old, new in zip(before, after, strict=True))


def test_every_parameter_gets_a_finite_gradient(trained):
    gradients, _ = trained
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.all(np.isfinite(leaf)), path
        assert np.any(leaf != 0), path


def test_the_mean_is_decoded_without_noise(autoencoder, reconstructed):
    module, variables = autoencoder
    reconstruction, posterior = reconstructed
    decode = jax.jit(lambda code: module.apply(variables, code, method="decode"))
    np.testing.assert_allclose(reconstruction, decode(posterior.mean), atol=1e-5)
    noisy, _ = jax.jit(module.apply)(variables, _images(), jnp.ones((4, 24)))
    np.testing.assert_allclose(noisy, decode(posterior.mean + jnp.exp(posterior.logvar / 2)), atol=1e-5)


def test_bfloat16_computes_the_same_with_float32_parameters(autoencoder, reconstructed):
    _, variables = autoencoder
    module = _small(norm="bn", dtype=jnp.bfloat16)
    shapes = jax.eval_shape(module.init, jax.random.key(0), _images())
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype(jnp.float32)}
    images, posterior = jax.jit(module.apply)(variables, _images())
    expected, wide = reconstructed
    assert images.dtype == posterior.mean.dtype == posterior.logvar.dtype == jnp.float32
    # 8 bits of mantissa through some twenty layers
    np.testing.assert_allclose(posterior.mean, wide.mean, atol=0.05 * np.max(np.abs(wide.mean)))
    assert np.mean(np.abs(images - expected)) < 0.02
