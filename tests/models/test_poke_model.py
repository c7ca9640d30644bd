"""The poke model at small sizes: its recurrence written out, its variants, its gradients inside the scan."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.models import convgru, convolution, poke_model
from i2v_jax.models.poke_model import PokeModel
from tests.models.random_variables import random_variables

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)
POKE = np.zeros((2, 16, 16, 2), np.float32)
POKE[:, 4:7, 8:11] = (3.0, -2.0)
SIZES = {"size": 16, "features": 16, "min_spatial_size": 4}


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def make(frames=3, **options):
    model = PokeModel(**poke_model.build(**SIZES, **options), frames=frames)
    return model, random_variables(model, IMAGES, POKE)


def direct(x, kernel, pads):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))


@pytest.mark.parametrize("pads", [((1, 1), (1, 1)), ((0, 1), (0, 1))])
def test_convolution_for_loops_and_its_derivatives(pads):
    size = 3 if pads[0][0] else 2
    x, kernel = normal(2, 4, 5, 3), normal(size, size, 3, 4)

    def derivatives(function):
        def value(x, kernel):
            return jnp.sum(jnp.sin(function(x, kernel, pads)))

        def penalty(x, kernel):
            return jnp.sum(jnp.cos(jax.grad(value)(x, kernel)))

        return jax.jit(lambda x, k: (value(x, k), jax.grad(value, (0, 1))(x, k), jax.grad(penalty, (0, 1))(x, k)))(
            x, kernel
        )

    for ours, expected in zip(
        jax.tree.leaves(derivatives(convolution.convolve_in_loop)),
        jax.tree.leaves(derivatives(direct)),
        strict=True,
    ):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-5 * np.max(np.abs(expected)))


def test_transposed_convolution_is_the_transpose():
    """<up(x), y> = <x, conv(y)> with stride 2 and padding 1, for every x and y."""
    x, kernel, y = normal(2, 3, 4, 5), normal(3, 3, 5, 6), normal(2, 6, 8, 6)
    up = convolution.convolve_transposed(x, convolution.transposed_windows(kernel))
    down = convolution.convolve(y, kernel.swapaxes(2, 3), (2, 2), (1, 1))
    assert up.shape == y.shape
    assert np.vdot(up, y) == pytest.approx(np.vdot(x, down), rel=1e-4)


def test_the_cell_is_the_equation():
    cell = convgru.ConvGRUCell(4)
    variables = {"params": {convgru.KERNEL: normal(3, 3, 7, 12) / 8, "bias": normal(12)}}
    x, state = normal(1, 5, 5, 3), normal(1, 5, 5, 4)
    kernels = cell.apply(variables, 3)
    ours = kernels.advance(kernels.share(x), state)

    def gate(index, state):
        columns = slice(4 * index, 4 * index + 4)
        kernel, bias = (variables["params"][name][..., columns] for name in (convgru.KERNEL, "bias"))
        return convolution.convolve(np.concatenate([x, state], -1), kernel, (1, 1), (1, 1)) + bias

    update, reset = jax.nn.sigmoid(gate(0, state)), jax.nn.sigmoid(gate(1, state))
    candidate = jnp.tanh(gate(2, reset * state))
    np.testing.assert_allclose(ours, state * (1 - update) + candidate * update, atol=1e-5)


def test_gates_start_orthogonal():
    kernel = convgru.ConvGRUCell(4).init(jax.random.key(0), 3)["params"][convgru.KERNEL].reshape(-1, 3, 4)
    for gate in range(3):
        np.testing.assert_allclose(kernel[:, gate].T @ kernel[:, gate], np.eye(4), atol=1e-5)


@pytest.mark.parametrize("over_time", ["constant", "impulse", "decay"])
def test_the_scan_is_the_recurrence(over_time):
    """Computes the hierarchy step by step, with the poke of each step encoded anew."""
    model, variables = make(poke_over_time=over_time, poke_frames=3)
    strengths = {"constant": [1, 1, 1, 1], "impulse": [1, 0, 0, 0], "decay": [1, 0.5, 0, 0]}[over_time]
    np.testing.assert_allclose(convgru.poke_strengths(4, over_time, 3), strengths)

    def run(model):
        states, latent = model.encode(IMAGES), model.encode_poke(POKE)
        return states, latent, model.predict(states, latent, 4)

    states, latent, predicted = jax.jit(lambda v: model.apply(v, method=run))(variables)
    cells = [
        convgru.ConvGRUCell(state.shape[-1], index > 1).apply(
            {"params": variables["params"]["dynamics"][f"cell{index}"]}, x.shape[-1]
        )
        for index, (x, state) in enumerate(zip((latent, *states), states, strict=False))
    ]
    for step, strength in enumerate(strengths):
        x, new = strength * latent, []
        for cell, state in zip(cells, states, strict=True):
            x = cell.advance(cell.share(x), state)
            new.append(x)
        states = tuple(new)
        for ours, expected in zip(predicted, states, strict=True):
            np.testing.assert_allclose(ours[:, step], expected, atol=1e-5)


@pytest.mark.parametrize(
    "options", [{"poke_over_time": "decay", "poke_frames": 3, "copies": True}, {"levels": 1, "bottleneck_cells": 3}]
)
def test_a_roll_out_in_parts_is_one_at_once(options):
    model, variables = make(**options)

    def in_parts(model):
        latent = model.encode_poke(POKE)
        cells, first = model.advance(model.begin(model.encode(IMAGES)), latent, IMAGES, 1, 0)
        _, rest = model.advance(cells, latent, IMAGES, 3, 1)
        return jnp.concatenate([first, rest], axis=1)

    def at_once(model):
        return model.decode(model.predict(model.encode(IMAGES), model.encode_poke(POKE), 4), IMAGES)

    both = [jax.jit(lambda v, run=run: model.apply(v, method=run))(variables) for run in (in_parts, at_once)]
    np.testing.assert_allclose(*both, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "cells", "states"),
    [
        ({}, 3, 3),
        ({"levels": 2}, 2, 2),
        ({"levels": 1}, 1, 1),
        ({"levels": 1, "bottleneck_cells": 3}, 3, 1),  # Ours RNN
    ],
)
def test_levels(options, cells, states):
    """There are as many cells and object states as `levels`, and the decoder sees no others."""
    model, variables = make(**options)
    assert len(variables["params"]["dynamics"]) == cells
    encoded = jax.eval_shape(lambda v: model.apply(v, IMAGES, method="encode"), variables)
    assert [state.shape for state in encoded] == [(2, 4, 4, 16), (2, 4, 4, 16), (2, 8, 8, 16)][:states]
    video = jax.jit(model.apply)(variables, IMAGES, POKE)
    assert video.shape == (2, 3, 16, 16, 3)
    assert not np.allclose(video[:, 0], video[:, 2])
    other = jax.jit(model.apply)(variables, IMAGES, -POKE)
    assert not np.allclose(video, other)


@pytest.mark.parametrize(("norm", "feels_length"), [("instance", False), ("none", True)])
def test_the_length_of_a_poke_reaches_the_latent_without_norm(norm, feels_length):
    """The release's instance norm removes the length of the poke, which `poke_norm` can keep."""
    model, variables = make(poke_norm=norm)
    encode = jax.jit(lambda poke: model.apply(variables, poke, method="encode_poke"))
    once, twice = encode(POKE), encode(2 * POKE)
    difference = np.linalg.norm(twice - once) / np.linalg.norm(once)
    assert difference > 0.3 if feels_length else difference < 0.03


def test_videos_are_decoded_frame_by_frame():
    model, variables = make()
    states = model.apply(variables, IMAGES, method="encode")
    stacked = tuple(jnp.stack([state, -state], axis=1) for state in states)
    video = model.apply(variables, stacked, method="decode")
    np.testing.assert_allclose(video[:, 0], model.apply(variables, states, method="decode"), atol=1e-5)


def test_bfloat16_computes_nearly_the_same():
    model, variables = make()
    half = PokeModel(**poke_model.build(**SIZES, dtype=jnp.bfloat16), frames=3)
    shapes = jax.eval_shape(half.init, jax.random.key(0), IMAGES, POKE)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), shapes) == jax.tree.map(
        lambda leaf: (leaf.shape, jnp.dtype(jnp.float32)), variables
    )
    ours, full = jax.jit(half.apply)(variables, IMAGES, POKE), jax.jit(model.apply)(variables, IMAGES, POKE)
    assert ours.dtype == jnp.float32
    assert np.mean(np.abs(ours - full)) < 0.05 * np.mean(np.abs(full))


@pytest.mark.parametrize(
    ("field", "value"), [("min_spatial_size", 5), ("min_spatial_size", 16), ("levels", 4), ("bottleneck_cells", 0)]
)
def test_impossible_sizes(field, value):
    with pytest.raises(UserError) as raised:
        poke_model.build(**{**SIZES, field: value})
    assert (raised.value.field, raised.value.value) == (field, value)


def test_the_update_gates_can_begin_nearly_closed():
    """With a bias of -30 a new model holds every state; with the release's 0 it does not."""
    states = tuple(jnp.asarray(normal(1, 4, 4, 8)) for _ in range(2))
    latent = jnp.asarray(normal(1, 4, 4, 8))
    for bias, still in ((-30.0, True), (0.0, False)):
        dynamics = convgru.Dynamics(update_bias=bias)
        variables = dynamics.init(jax.random.key(0, impl="rbg"), states, latent, 2)
        predicted = dynamics.apply(variables, states, latent, 2)
        for start, after in zip(states, predicted, strict=True):
            assert np.allclose(after[:, -1], start, atol=1e-5) == still


def test_bounded_states_are_those_of_the_release_through_tanh():
    images = normal(2, 16, 16, 3)
    encoder = poke_model.build(**SIZES)["object_encoder"]
    variables = random_variables(encoder, images)
    states = encoder.apply(variables, images)
    bounded = poke_model.build(**SIZES, bounded_states=True)["object_encoder"].apply(variables, images)
    assert max(np.abs(state).max() for state in states) > 1
    assert len(bounded) == len(states) == 3
    for one, other in zip(bounded, states, strict=True):
        assert np.allclose(one, np.tanh(other), atol=1e-6)


def test_the_narrowest_convolution_can_be_narrower():
    networks = poke_model.build(**SIZES, narrowest=4)
    assert networks["object_encoder"].widths == (4, 8)
    assert networks["poke_encoder"].widths == (4, 8)


def test_only_instance_norm_hides_the_brightness_of_a_uniform_picture():
    """After instance norm only the zero padding at the borders makes a difference."""
    spread = {}
    for norm in ("instance", "layer", "none"):
        encoder = poke_model.build(**SIZES, image_norm=norm)["object_encoder"]
        uniform = np.broadcast_to(np.array([-0.8, 0.8], np.float32)[:, None, None, None], (2, 16, 16, 3))
        states = encoder.apply(random_variables(encoder, uniform), uniform)
        middle = states[-1][:, 3:-3, 3:-3]
        spread[norm] = float(jnp.abs(middle[0] - middle[1]).mean())
    assert spread["layer"] > 0.5
    assert spread["none"] > 0.5
    assert spread["instance"] < min(spread["layer"], spread["none"])


def test_a_decoder_that_copies_mixes_what_it_paints_with_moved_pixels():
    """Every pixel comes from one column to the right and half a row below; beyond the edge the edge goes on."""
    model, variables = make(copies=True)
    source = variables["params"]["decoder"]["to_source"]
    states = model.apply(variables, IMAGES, method="encode")
    painted = model.apply(variables, states, method="decode")
    right = np.concatenate([IMAGES[:, :, 1:], IMAGES[:, :, -1:]], axis=2)
    moved = (right + np.concatenate([right[:, 1:], right[:, -1:]], axis=1)) / 2
    assert np.abs(moved - painted).mean() > 0.1
    for logit, share in ((-30.0, 0.0), (0.0, 0.5), (30.0, 1.0)):
        source.update(kernel=np.zeros_like(source["kernel"]), bias=np.array([1.0, 0.5, logit], np.float32))
        mixed = model.apply(variables, states, IMAGES, method="decode")
        np.testing.assert_allclose(mixed, painted + share * (moved - painted), atol=1e-5)


def test_an_untrained_decoder_copies_from_the_same_place():
    decoder = poke_model.FrameDecoder((4,), copies=True)
    variables = decoder.init(jax.random.key(0, impl="rbg"), (normal(1, 2, 2, 4),), normal(1, 4, 4, 3))
    source = variables["params"]["to_source"]
    assert source["bias"].shape == (3,) and not any(np.any(leaf) for leaf in source.values())
