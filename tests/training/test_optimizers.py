"""Optimizers do what their names say."""

import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.config import Config
from i2v_jax.configs import common, plants, sky, stage_fields
from i2v_jax.distributed.mesh import traced_on
from i2v_jax.hlo import text
from i2v_jax.hlo.collectives import KINDS
from i2v_jax.tasks.base import Update
from i2v_jax.training.optimizers import learning_rate_schedule, make_optimizer, make_optimizers


def test_muon_moves_all_directions_of_a_kernel_alike_and_vectors_as_adam():
    config = sky.get_config("demo").video_vae.optimizer
    config.update(name="muon", learning_rate=1e-2, b1=0.9, b2=0.99, decay=1.0)
    rng = np.random.default_rng(0)
    left, right = np.linalg.qr(rng.normal(size=(36, 4)))[0], np.linalg.qr(rng.normal(size=(4, 4)))[0]
    kernel = (left * [1.0, 0.3, 0.1, 0.05]) @ right.T
    gradients = {"kernel": jnp.asarray(kernel.reshape(3, 3, 4, 4)), "bias": jnp.asarray([1.0, -0.1, 0.01, -1e-3])}
    optimizer = make_optimizer(config.copy_and_resolve_references(), steps_per_epoch=10)
    updates, _ = optimizer.update(gradients, optimizer.init(gradients), gradients)
    step = np.asarray(updates["kernel"]).reshape(36, 4)
    strengths = np.diag(left.T @ step @ right)
    # The Newton-Schulz iterations bring every singular value into about 0.7 to 1.2; 36x4 of root mean square 1 has 6.
    assert np.all(strengths < 0)
    assert np.all(np.abs(strengths) > 0.65 * 6 * 1e-2)
    assert np.all(np.abs(strengths) < 1.25 * 6 * 1e-2)
    first = 1 + 0.9 / (1 + 0.9)  # Nesterov's look ahead on the first of Adam's steps, which is a sign
    np.testing.assert_allclose(updates["bias"], -1e-2 * first * np.sign(gradients["bias"]), rtol=1e-3)


def test_muon_takes_stacked_kernels_one_by_one_and_their_biases_as_vectors():
    config = sky.get_config("demo").video_vae.optimizer
    config.name = "muon"
    optimizer = make_optimizer(config.copy_and_resolve_references(), steps_per_epoch=10)
    gradients = {"kernel": jax.random.normal(jax.random.key(0), (2, 6, 4)), "bias": jnp.ones((2, 4))}
    together, _ = optimizer.update(gradients, optimizer.init(gradients), gradients)
    for member in range(2):
        alone = jax.tree.map(operator.itemgetter(member), gradients)
        expected, _ = optimizer.update(alone, optimizer.init(alone), alone)
        for name, update in expected.items():
            np.testing.assert_allclose(together[name][member], update, rtol=1e-5, atol=1e-7)


def test_muon_takes_the_gates_of_a_gru_one_by_one():
    config = plants.get_config("demo").poke.optimizer
    optimizer = make_optimizer(config.copy_and_resolve_references(), steps_per_epoch=10)
    gates = [jax.random.normal(jax.random.key(gate), (3, 3, 5, 4)) for gate in range(3)]
    together = {"kernel_of_3": jnp.concatenate(gates, axis=-1)}
    step, _ = optimizer.update(together, optimizer.init(together), together)
    for gate, expected in zip(jnp.split(step["kernel_of_3"], 3, axis=-1), gates, strict=True):
        alone = {"kernel": expected}
        np.testing.assert_allclose(
            gate, optimizer.update(alone, optimizer.init(alone), alone)[0]["kernel"], rtol=1e-5, atol=1e-7
        )


def test_muon_exchanges_nothing_in_branches():
    """A CPU runs branches side by side: processes would exchange arrays there in different orders."""
    config = plants.get_config("demo").poke.optimizer
    optimizer = make_optimizer(config.copy_and_resolve_references(), steps_per_epoch=10)
    mesh = jax.make_mesh((8,), ("fsdp",), axis_types=(jax.sharding.AxisType.Auto,))
    shared = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, None, None, "fsdp"))
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    kernels = {"kernel": jax.random.normal(jax.random.key(0), (3, 3, 16, 32))}
    arguments = kernels, optimizer.init(kernels)
    shardings = jax.tree.map(lambda leaf: shared if leaf.ndim > 2 else whole, arguments)
    kernels, state = jax.device_put(arguments, shardings)
    update = jax.jit(traced_on(mesh, optimizer.update), out_shardings=shardings)
    np.testing.assert_allclose(
        update(kernels, state, kernels)[0]["kernel"],
        optimizer.update(kernels, optimizer.init(kernels), kernels)[0]["kernel"],
        rtol=1e-4,
        atol=1e-6,
    )
    program = text.parse(update.lower(kernels, state, kernels).compile().as_text())

    def exchanges(name):
        return any(
            each.opcode.removesuffix("-start") in KINDS or any(map(exchanges, each.called))
            for each in program.computations[name].values()
        )

    instructions = [each for computation in program.computations.values() for each in computation.values()]
    branches = [name for each in instructions if each.opcode == "conditional" for name in each.called]
    assert exchanges(program.entry)
    assert not any(map(exchanges, branches))


def optimizer_config(**changes):
    config = Config(stage_fields.optimizer(b1=0.7, b2=0.9))
    config.update(changes)
    return config


def moments(gradients, b1, b2):
    """Bias-corrected first and second moments after each gradient (Kingma and Ba 2015, algorithm 1)."""
    first, second = np.zeros_like(gradients[0]), np.zeros_like(gradients[0])
    for step, gradient in enumerate(gradients, start=1):
        first, second = b1 * first + (1 - b1) * gradient, b2 * second + (1 - b2) * gradient**2
        yield first / (1 - b1**step), second / (1 - b2**step)


def updates_of(config, gradients, params=None):
    optimizer = make_optimizer(config, steps_per_epoch=100)
    params = np.zeros_like(gradients[0]) if params is None else params
    state = optimizer.init({"w": jnp.asarray(params)})
    for gradient in gradients:
        update, state = optimizer.update({"w": jnp.asarray(gradient)}, state, {"w": jnp.asarray(params)})
        yield np.asarray(update["w"])


GRADIENTS = np.float32([[3.0, -1.0, 0.2], [0.1, -2.0, 0.1], [-0.5, 0.3, 0.1], [0.2, 0.1, -0.3]])


def test_adam_and_amsgrad_are_their_formulas():
    largest = np.zeros(3)
    adam = list(updates_of(optimizer_config(), GRADIENTS))
    amsgrad = list(updates_of(optimizer_config(name="amsgrad"), GRADIENTS))
    for step, (mean, square) in enumerate(moments(GRADIENTS, 0.7, 0.9)):
        largest = np.maximum(largest, square)
        np.testing.assert_allclose(adam[step], -2e-4 * mean / np.sqrt(square), rtol=1e-5)
        np.testing.assert_allclose(amsgrad[step], -2e-4 * mean / np.sqrt(largest), rtol=1e-5)
    assert np.all(np.abs(amsgrad[3][:2]) < np.abs(adam[3][:2]))  # the large first gradients are not forgotten


def test_weight_decay_is_added_to_the_gradient():
    params = np.float32([100.0, -50.0, 0.0])
    decayed = list(updates_of(optimizer_config(weight_decay=0.1), GRADIENTS, params))
    for ours, (mean, square) in zip(decayed, moments(GRADIENTS + 0.1 * params, 0.7, 0.9), strict=True):
        np.testing.assert_allclose(ours, -2e-4 * mean / np.sqrt(square), rtol=1e-5)


def test_gradients_are_clipped_by_their_norm_before_the_moments():
    norms = np.linalg.norm(GRADIENTS, axis=1, keepdims=True)
    assert norms.min() < 1 < norms.max()
    clipped = GRADIENTS / np.maximum(1, norms)
    ours = list(updates_of(optimizer_config(clip_norm=1.0), GRADIENTS))
    for update, (mean, square) in zip(ours, moments(clipped, 0.7, 0.9), strict=True):
        np.testing.assert_allclose(update, -2e-4 * mean / np.sqrt(square), rtol=1e-5)


@pytest.mark.parametrize("last", [False, True])
def test_the_rate_is_halved_where_the_reconstruction_stops_improving(last):
    """As PyTorch's plateau schedule with patience 1, an absolute threshold of 1e-4 and a smallest rate of 1e-8."""
    epochs = [9.0, 8.0, 8.0, 7.0, 7.5, 7.2, 6.99995, 6.99, 6.99, 6.98995, 7.0, 7.1, 6.0, 6.1, 6.2, 6.3, 6.4, 6.5, 6.6]
    rate, best, bad, expected = 1e-7, np.inf, 0, []
    for value in epochs:
        best, bad = (value, 0) if value < best - 1e-4 else (best, bad + 1)
        if bad > 1:
            rate, bad = max(rate / 2, 1e-8), 0
        expected.append(rate)
    assert expected[-1] == 1e-8 and len(set(expected)) == 5
    config = optimizer_config(learning_rate=1e-7, plateau=True, plateau_last=last)
    optimizer = make_optimizer(config, steps_per_epoch=2)
    params = {"w": jnp.zeros(())}
    step = jax.jit(lambda state, value: optimizer.update({"w": jnp.ones(())}, state, params, value=value))
    state, rates = optimizer.init(params), []
    for value in epochs:
        for deviation in (100.0, 0.0) if last else (0.5, -0.5):  # the last of an epoch's steps counts, or the mean
            update, state = step(state, value + deviation)
        rates.append(-float(update["w"]))
    np.testing.assert_allclose(rates, expected, rtol=1e-4)


def test_the_image_autoencoder_has_pytorchs_betas():
    """The spec only specifies Adam with a rate of 2e-4."""
    fields = common.base(64).image_ae.optimizer
    assert (fields.name, fields.learning_rate, fields.b1, fields.b2, fields.plateau) == ("adam", 2e-4, 0.9, 0.999, True)


def test_the_rate_falls_at_milestones():
    config = plants.get_config().poke.optimizer
    schedule = learning_rate_schedule(config, steps_per_epoch=4)
    rates = [float(schedule(step)) for step in (0, 39, 40, 99, 100, 199, 200, 10_000)]
    np.testing.assert_allclose(rates, 1e-4 * np.array([1, 1, 0.3, 0.3, 0.09, 0.09, 0.027, 0.027]), rtol=1e-5)


def test_epochs_of_a_schedule_count_from_the_first_one_in_which_a_network_trains():
    """As in the release: discriminators that start in step 4000, in the second of epochs of 3000 steps."""
    static = Update("static", ("encoder", "decoder"), loss=None, optimizer="static", constant_rate=("decoder",))
    dynamic = Update("dynamic", ("decoder",), loss=None, last_step=4000, optimizer="dynamic")
    later = Update("later", ("decoder",), loss=None, first_step=4000, optimizer="dynamic")
    critics = Update("critics", ("critic",), loss=None, first_step=4000)
    config = optimizer_config(learning_rate=1.0, milestones=(2,), decay=0.3)
    optimizers = make_optimizers([static, dynamic, later, critics], config, steps_per_epoch=3000)
    falls = {"encoder_static": 6000, "decoder_static": None, "decoder_dynamic": 6000, "critic": 9000 - 4000}
    assert set(optimizers) == set(falls)
    params = {"w": jnp.ones(())}
    for key, fall in falls.items():
        update = jax.jit(optimizers[key].update)

        def rate(step, optimizer=optimizers[key], update=update):
            state = optimizer.init(params)
            counted = jax.tree.map(
                lambda leaf: jnp.full_like(leaf, step) if jnp.issubdtype(leaf.dtype, jnp.integer) else leaf, state
            )
            return -float(update(params, counted, params)[0]["w"])

        before, after = (rate((fall or 6000) + offset) for offset in (-1, 0))
        assert after / before == pytest.approx(0.3 if fall else 1.0, rel=1e-2), key


def test_the_rate_falls_in_steps():
    config = sky.get_config().flow.optimizer
    config.update(learning_rate=1.0, decay=0.5, decay_epochs=2)
    schedule = learning_rate_schedule(config, steps_per_epoch=10)
    assert [float(schedule(step)) for step in (0, 19, 20, 39, 40)] == [1.0, 1.0, 0.5, 0.5, 0.25]


@pytest.mark.parametrize(("rule", "factor"), [("none", 1.0), ("linear", 9.0), ("sqrt", 3.0)])
def test_the_rate_follows_the_size_of_the_batch(rule, factor):
    config = optimizer_config(scaling=rule, milestones=(2,), decay=0.5)
    rates = [float(learning_rate_schedule(config, steps_per_epoch=3, batch_ratio=9.0)(step)) for step in (0, 6)]
    np.testing.assert_allclose(rates, [2e-4 * factor, 1e-4 * factor], rtol=1e-6)
    assert float(learning_rate_schedule(config, 3, batch_ratio=1.0)(0)) == np.float32(2e-4)


@pytest.mark.parametrize("name", ["adam", "amsgrad", "muon"])
def test_only_first_moments_may_be_bfloat16(name):
    optimizer = make_optimizer(optimizer_config(name=name, mu_dtype="bfloat16"), steps_per_epoch=100)
    params = {"kernel": jnp.eye(3), "bias": jnp.ones(3)}
    _, state = optimizer.update(params, optimizer.init(params), params)
    flat = jax.tree_util.tree_flatten_with_path(state)[0]
    types = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf.dtype for path, leaf in flat}
    firsts = {path for path in types if "mu" in path.split("/")}
    assert len(firsts) == 2 and {path for path, dtype in types.items() if dtype == jnp.bfloat16} == firsts


@pytest.mark.parametrize("name", ["adam", "amsgrad"])
def test_steps_with_first_moments_in_bfloat16(name):
    """A rounding changes a moment by 2^-9 of it, at most of the largest gradient; b1 forgets it like a gradient."""
    (*_, whole), (*_, rounded) = (
        updates_of(optimizer_config(name=name, mu_dtype=mu_dtype), GRADIENTS) for mu_dtype in ("", "bfloat16")
    )
    (*_, (_, square)) = moments(GRADIENTS, 0.7, 0.9)
    error = 2**-9 * np.max(np.abs(GRADIENTS), axis=0) / (1 - 0.7) / (1 - 0.7**4)
    assert np.all(np.abs(rounded - whole) <= 2e-4 * error / np.sqrt(square))
    assert np.any(rounded != whole)
