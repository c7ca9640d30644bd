"""Convolutions, spectral norm and resampling against their definitions."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.models import convolution, cpu_convolution, resampling
from i2v_jax.models.layers import Conv, ConvTranspose, Linear
from i2v_jax.models.norms import GroupNorm
from i2v_jax.models.video_decoder import AdaptiveInstanceNorm
from tests.models.plain_convolution import direct

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


CONVOLUTIONS = [  # size, kernel, channels in and out, strides, padding
    ((6, 8, 8), (3, 7, 7), (3, 8), (2, 2, 2), (1, 3, 3)),  # RGB stem
    ((5, 6, 6), (3, 7, 7), (3, 8), (1, 2, 2), (1, 3, 3)),
    ((4, 5, 6), (3, 3, 3), (8, 3), (1, 1, 1), (1, 1, 1)),  # RGB output
    ((4, 6, 6), (3, 3, 3), (4, 8), (2, 2, 2), (1, 1, 1)),
    ((3, 5, 7), (3, 3, 3), (4, 4), (2, 2, 2), (1, 1, 1)),  # odd sizes
    ((4, 6, 6), (3, 3, 3), (4, 8), (2, 1, 1), (1, 1, 1)),
    ((1, 4, 4), (3, 3, 3), (4, 4), (1, 1, 1), (1, 1, 1)),  # taps that see only padding
    ((4, 8, 6), (3, 3, 3), (4, 8), (1, 1, 1), (1, 1, 1)),
    ((2, 4, 4), (1, 1, 1), (4, 6), (1, 1, 1), (0, 0, 0)),
    ((4, 4), (4, 4), (4, 6), (1, 1), (0, 0)),  # a kernel as large as its input
    ((9, 8), (4, 4), (4, 6), (2, 2), (1, 1)),
    ((6, 6), (3, 3), (4, 4), (1, 1), (1, 1)),
    ((8, 5), (3, 3), (4, 6), (1, 1), (1, 1)),
    ((10, 7), (3, 5), (4, 6), (1, 1), (0, 2)),
    ((8, 8), (1, 1), (4, 4), (2, 2), (0, 0)),
]


@pytest.fixture(params=["Winograd by size", "Winograd wherever possible", "XLA's", "XLA's for GPUs"])
def formulations(request, monkeypatch):
    if request.param in ("Winograd by size", "XLA's"):
        with convolution.formulation("xla" if request.param == "XLA's" else "auto"):
            yield
        return
    jax.clear_caches()
    if request.param == "XLA's for GPUs":
        monkeypatch.setattr(jax.lax, "platform_dependent", lambda *args, cuda, default: cuda(*args))
        with convolution.formulation("xla"):
            yield
    else:
        monkeypatch.setattr(cpu_convolution, "_WINOGRAD_CHANNELS", 1)
        monkeypatch.setattr(cpu_convolution, "_WINOGRAD_POSITIONS", 1)
        yield
    jax.clear_caches()


@pytest.mark.usefixtures("formulations")
@pytest.mark.parametrize(("size", "kernel_size", "channels", "strides", "padding"), CONVOLUTIONS)
def test_convolve_and_its_derivatives(size, kernel_size, channels, strides, padding):
    """Value, gradients, and gradients of a gradient penalty, against those that JAX derives from XLA's convolution."""
    x = normal(2, *size, channels[0])
    kernel = normal(*kernel_size, *channels) / np.sqrt(np.prod(kernel_size) * channels[0])

    def everything(function):
        def value(x, kernel):
            return jnp.sum(jnp.sin(function(x, kernel, strides, padding)))

        def penalty(x, kernel):
            return jnp.sum(jnp.cos(jax.grad(value)(x, kernel)))

        return jax.jit(
            lambda x, kernel: (
                function(x, kernel, strides, padding),
                jax.grad(value, (0, 1))(x, kernel),
                jax.grad(penalty, (0, 1))(x, kernel),
            )
        )(x, kernel)

    for ours, expected in zip(
        jax.tree.leaves(everything(convolution.convolve)), jax.tree.leaves(everything(direct)), strict=True
    ):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-5 * np.max(np.abs(expected)))


def test_large_convolutions_multiply_half_as_often():
    """Large ones use six products for four rows, one per row of kernels; bfloat16 would lose digits, so it does not."""

    def kernels(rows, channels, dtype):
        x, kernel = jnp.zeros((2, rows, 32, channels), dtype), jnp.zeros((3, 3, channels, 64), dtype)
        program = jax.make_jaxpr(lambda x, kernel: convolution.convolve(x, kernel, (1, 1), (1, 1)))(x, kernel)
        return str(program).count("conv_general_dilated[")

    assert kernels(32, 64, jnp.float32) == 6
    assert kernels(30, 64, jnp.float32) == kernels(16, 64, jnp.float32) == kernels(32, 16, jnp.float32) == 1
    assert kernels(32, 64, jnp.bfloat16) == 1


@pytest.mark.parametrize("frames", [1, 4])
def test_convolution_of_repeated_frames(frames):
    x, kernel = normal(2, frames, 5, 6, 4), normal(3, 3, 3, 4, 3)
    ours = convolution.convolve_repeated_frames(x, kernel, 2, (1, 1, 1))
    expected = direct(np.repeat(x, 2, axis=1), kernel, (1, 1, 1), (1, 1, 1))
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5 * np.max(np.abs(expected)))


@pytest.mark.parametrize(
    "layer", [Conv(5, (3, 3), padding=1, spectral_norm="power_iteration"), Linear(5, spectral_norm="power_iteration")]
)
def test_power_iteration_finds_the_largest_singular_value(layer):
    x = normal(2, 4, 4, 3)
    variables = layer.init(jax.random.key(0), x)
    kernel = np.asarray(variables["params"]["kernel"]).reshape(-1, 5)

    @jax.jit
    def train(variables):
        return layer.apply(variables, x, train=True, mutable=["spectral"])[1]

    spectral = variables["spectral"]
    for _ in range(60):
        spectral = train({"params": variables["params"], "spectral": spectral})["spectral"]
    sigma = spectral["v"] @ kernel @ spectral["u"]
    assert sigma == pytest.approx(np.linalg.svd(kernel, compute_uv=False)[0], rel=1e-4)
    plain = layer.clone(spectral_norm="none")
    scaled = {"params": {**variables["params"], "kernel": variables["params"]["kernel"] / sigma}}
    ours = layer.apply({"params": variables["params"], "spectral": spectral}, x)
    np.testing.assert_allclose(ours, plain.apply(scaled, x), rtol=1e-4, atol=1e-5)


def test_spectral_vectors_change_in_training_only():
    layer = Linear(4, spectral_norm="power_iteration")
    x = normal(2, 3)
    variables = layer.init(jax.random.key(0), x)
    _, changed = layer.apply(variables, x, train=False, mutable=["spectral"])
    jax.tree.map(np.testing.assert_array_equal, changed["spectral"], variables["spectral"])


def test_stored_spectral_vector_never_changes():
    layer = Linear(4, spectral_norm="stored")
    x = normal(2, 3)
    variables = layer.init(jax.random.key(0), x)
    _, changed = layer.apply(variables, x, train=True, mutable=["spectral"])
    np.testing.assert_array_equal(changed["spectral"]["u"], variables["spectral"]["u"])


def test_bilinear_resize_aligns_corners():
    ramp = np.linspace(0, 1, 9, dtype=np.float32)[None, :, None, None] * np.ones((1, 9, 5, 1), np.float32)
    resized = np.asarray(resampling.resize_bilinear(ramp, 4, 3))
    np.testing.assert_allclose(resized[0, :, 1, 0], [0, 1 / 3, 2 / 3, 1], atol=1e-6)


@pytest.mark.parametrize("outside", ["constant", "nearest"])
def test_warp(outside):
    """Pixel (x, y) shows what is 1 to the right and 2 above, of each channel."""
    images = normal(2, 5, 4, 3)
    flow = np.broadcast_to(np.array([1, -2], np.float32), (2, 5, 4, 2))
    modes = {"constant": "constant", "nearest": "edge"}
    expected = np.pad(images, ((0, 0), (2, 0), (0, 1), (0, 0)), modes[outside])[:, :5, 1:]
    np.testing.assert_allclose(resampling.warp(images, flow, outside), expected, atol=1e-6)


@pytest.mark.parametrize("size", [(4, 6, 6), (3, 7, 5)])
def test_max_pool(size):
    x = normal(2, *size, 3)
    expected = nn.max_pool(x, (3, 3, 3), (1, 2, 2), [(1, 1)] * 3)
    np.testing.assert_array_equal(resampling.max_pool(x, (1, 2, 2)), expected)


def test_repeat():
    x = normal(1, 2, 2, 2, 1)
    y = np.asarray(resampling.repeat(x, (2, 1, 3)))
    np.testing.assert_array_equal(y[0, :, 0, 0, 0], x[0, [0, 0, 1, 1], 0, 0, 0])
    np.testing.assert_array_equal(y[0, 0, 0, :, 0], x[0, 0, 0, [0, 0, 0, 1, 1, 1], 0])


@pytest.mark.parametrize("strides", [(1, 1, 1), (2, 2, 2)])
def test_convolution_over_a_sharded_batch(strides):
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    x, kernel = normal(jax.device_count(), 4, 6, 6, 4), normal(3, 3, 3, 4, 4) / 10
    sharded = jax.device_put(x, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data")))

    @jax.jit
    def gradients(x, kernel):
        return jax.grad(lambda *a: jnp.sum(jnp.sin(convolution.convolve(*a, strides, (1, 1, 1)))), (0, 1))(x, kernel)

    whole, parts = gradients(x, kernel), gradients(sharded, kernel)
    assert parts[0].sharding.spec[0] == "data"
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.max(np.abs(a)))


def test_a_single_frame_needs_one_time_tap():
    """The other two taps see only padding: a third of the operations remains."""
    x, kernel = normal(1, 1, 4, 4, 8), normal(3, 3, 3, 8, 8)
    compiled = jax.jit(lambda x, k: convolution.convolve(x, k, (1, 1, 1), (1, 1, 1))).lower(x, kernel).compile()
    middle = jax.jit(lambda x, k: convolution.convolve(x[:, 0], k, (1, 1), (1, 1))).lower(x, kernel[1]).compile()
    assert compiled.cost_analysis()["flops"] == pytest.approx(middle.cost_analysis()["flops"], rel=0.01)


def test_xla_convolves_where_it_is_asked_to():
    x, kernel = jnp.zeros((2, 4, 32, 32, 64)), jnp.zeros((3, 3, 3, 64, 64))

    def operations(name):
        with convolution.formulation(name):
            program = jax.make_jaxpr(lambda x, kernel: convolution.convolve(x, kernel, (1, 1, 1), (1, 1, 1)))(x, kernel)
        return str(program).count("conv_general_dilated[")

    assert operations("xla") == 1
    assert operations("auto") == 6  # Winograd's products
    assert operations("portable") == 7


@pytest.mark.parametrize(
    "make",
    [
        lambda dtype: Conv(4, (1, 1, 1), dtype=dtype),
        lambda dtype: Linear(4, dtype=dtype),
        lambda dtype: GroupNorm(),
        AdaptiveInstanceNorm,
    ],
    ids=["convolution", "linear", "group norm", "AdaIN"],
)
def test_gradients_of_scales_and_biases_are_summed_in_float32(make):
    """Over 16 384 positions: in bfloat16 such a sum stops growing after some hundred, and is wrong by half or more."""
    x = normal(1, 4, 64, 64, 4)
    weight = x + 1.0  # the terms of neither sum cancel out
    others = (normal(1, 3),) if isinstance(make(jnp.float32), AdaptiveInstanceNorm) else ()
    params = make(jnp.float32).init(jax.random.key(0), x, *others)["params"]

    def gradients(dtype):
        def loss(params, x, weight):
            y = make(dtype).apply({"params": params}, x.astype(dtype), *others)
            return jnp.mean(y.astype(jnp.float32) * weight)

        return jax.jit(jax.grad(loss))(params, x, weight)

    # Both factors of each term are rounded, by at most 2^-9 each, and a parameter once more.
    for exact, ours in zip(
        jax.tree.leaves(gradients(jnp.float32)), jax.tree.leaves(gradients(jnp.bfloat16)), strict=True
    ):
        assert np.linalg.norm(ours - exact) <= 3 * 2**-9 * np.linalg.norm(exact)


def test_transposed_convolutions_sum_their_bias_in_float32_too():
    x = normal(1, 64, 64, 4)
    params = ConvTranspose(4).init(jax.random.key(0), x)["params"]
    module = ConvTranspose(4, dtype=jnp.bfloat16)
    gradient = jax.jit(jax.grad(lambda params, x: jnp.mean(module.apply({"params": params}, x).astype(jnp.float32))))
    np.testing.assert_allclose(gradient(params, x)["bias"], 0.25, rtol=2**-9)
