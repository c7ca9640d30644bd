"""The conditional flow: Jacobian, round trip, likelihood, data-dependent initialization and control."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.models.flow import ConditionalFlow, bits_per_dimension, standard_normal_log_prob

Z, CONDITION = 6, 3


def _flow(**options) -> ConditionalFlow:
    return ConditionalFlow(**{"z_dim": Z, "blocks": 3, "hidden": 16, "depth": 1, **options})


def _inputs(batch: int = 4, dtype=np.float32):
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.standard_normal((batch, Z)), dtype), jnp.asarray(
        rng.standard_normal((batch, CONDITION)), dtype
    )


def _initialized(flow: ConditionalFlow, z, condition):
    variables = flow.init(jax.random.key(0), z, condition)
    _, updates = flow.apply(variables, z, condition, data_init=True, mutable=["params"])
    return {**variables, **updates}


def test_exact_log_det_is_that_of_the_jacobian():
    with jax.enable_x64(True):
        flow = _flow(exact_logdet=True, dtype=jnp.float64)
        z, condition = _inputs(dtype=np.float64)
        variables = _initialized(flow, z, condition)

        def one(z, condition):
            return flow.apply(variables, z[None], condition[None])[0][0]

        residual, log_det = jax.jit(lambda: flow.apply(variables, z, condition))()
        jacobians = jax.jit(jax.vmap(jax.jacfwd(one)))(z, condition)
        expected = jnp.linalg.slogdet(jacobians)[1]
        np.testing.assert_allclose(log_det, expected, atol=1e-10)
        _, inverse_log_det = flow.apply(variables, residual, condition, method="inverse")
        np.testing.assert_allclose(inverse_log_det, -expected, atol=1e-10)
        log_prob = flow.apply(variables, z, condition, method="log_prob")
        np.testing.assert_allclose(log_prob, standard_normal_log_prob(residual) + expected, atol=1e-10)


def test_log_prob_is_exact_even_when_the_objective_is_the_release_s():
    z, condition = _inputs()
    released, exact = _flow(), _flow(exact_logdet=True)
    variables = _initialized(released, z, condition)
    residual, log_det = exact.apply(variables, z, condition)
    _, released_log_det = released.apply(variables, z, condition)
    assert np.all(np.asarray(log_det) < np.asarray(released_log_det))
    log_prob = released.apply(variables, z, condition, method="log_prob")
    np.testing.assert_allclose(log_prob, standard_normal_log_prob(residual) + log_det, rtol=1e-5)


def _plane_flow():
    """A flow of two dimensions in double precision that bends the plane, with its variables and one condition."""
    flow = _flow(z_dim=2, blocks=2, exact_logdet=True, dtype=jnp.float64)
    rng = np.random.default_rng(1)
    z, condition = jnp.asarray(rng.standard_normal((64, 2))), jnp.asarray(np.repeat([[0.5, -1.0, 0.3]], 64, axis=0))
    return flow, _initialized(flow, z, condition), condition[:1]


def test_the_density_of_the_plane_integrates_to_one():
    """On a grid with step h the kinks of the activations cause an error of order h."""
    with jax.enable_x64(True):
        flow, variables, condition = _plane_flow()
        axis = jnp.linspace(-8, 8, 401)
        grid = jnp.stack(jnp.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
        area = float(axis[1] - axis[0]) ** 2

        @jax.jit
        def integrals(variables, grid):  # arguments: a compiler would compute with constants
            conditions = jnp.broadcast_to(condition, (len(grid), 3))
            both = [flow.apply(variables, grid, conditions, exact, method="log_prob") for exact in (True, False)]
            return [jnp.sum(jnp.exp(log_prob)) * area for log_prob in both]

        exact, released = integrals(variables, grid)
        assert exact == pytest.approx(1, abs=4e-3)
        # Without the activations' log-determinant a point with k negative entries on its way counts 0.9^-k times.
        assert 1.05 < released < 0.9**-4


def test_the_density_of_the_plane_is_that_of_finite_differences():
    with jax.enable_x64(True):
        flow, variables, condition = _plane_flow()
        points = jnp.asarray(np.random.default_rng(2).standard_normal((50, 2)))
        conditions, step = jnp.broadcast_to(condition, (50, 3)), 1e-6

        @jax.jit
        def both():
            residual = flow.apply(variables, points, conditions)[0]
            columns = [
                flow.apply(variables, points + sign * step * jnp.eye(2)[axis], conditions)[0]
                for axis in range(2)
                for sign in (1, -1)
            ]
            jacobian = jnp.stack([columns[0] - columns[1], columns[2] - columns[3]], axis=-1) / (2 * step)
            determinant = jacobian[:, 0, 0] * jacobian[:, 1, 1] - jacobian[:, 0, 1] * jacobian[:, 1, 0]
            expected = standard_normal_log_prob(residual) + jnp.log(jnp.abs(determinant))
            return flow.apply(variables, points, conditions, method="log_prob"), expected

        log_prob, expected = both()
        np.testing.assert_allclose(log_prob, expected, atol=1e-7)


@pytest.mark.parametrize("scale", ["exp", "sigmoid", "softclamp"])
def test_round_trip_in_float32(scale):
    flow = _flow(blocks=20, scale=scale)
    z, condition = _inputs(batch=16)
    variables = flow.init(jax.random.key(0), z, condition)

    @jax.jit
    def there_and_back():
        residual, log_det = flow.apply(variables, z, condition)
        return log_det, flow.apply(variables, residual, condition, method="inverse")

    log_det, (back, inverse_log_det) = there_and_back()
    assert log_det.dtype == jnp.float32
    np.testing.assert_allclose(back, z, atol=1e-4)
    np.testing.assert_allclose(inverse_log_det, -log_det, atol=1e-4)


def test_bijector_is_the_module():
    flow = _flow()
    z, condition = _inputs()
    variables = _initialized(flow, z, condition)
    bijector = flow.bind(variables).bijector(condition)
    expected = flow.apply(variables, z, condition)
    for actual, wanted in zip(bijector.forward_and_log_det(z), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-6, atol=1e-6)


def test_data_init_whitens_the_input_of_every_activation():
    flow = _flow()
    z, condition = _inputs(batch=64)
    z = 3 * z + 5
    bound = flow.bind(_initialized(flow, z, condition))
    for layer in bound.layers:
        whitened = layer.norm(z)
        np.testing.assert_allclose(np.mean(whitened, 0), 0, atol=1e-5)
        np.testing.assert_allclose(np.std(whitened, 0, ddof=1), 1, atol=1e-5)
        z = layer.bijector(condition, False).forward(z)


def test_control_hides_z_from_three_blocks_of_four():
    z, condition = _inputs()
    params = _flow(blocks=6, control=True).init(jax.random.key(0), z, condition)["params"]
    widths = [params[f"layers_{i}"]["couplings_0"]["layers_0"]["kernel"].shape[1] for i in range(6)]
    assert widths == [Z // 2 + CONDITION, *[CONDITION] * 3, Z // 2 + CONDITION, CONDITION]


@pytest.mark.parametrize("control", [False, True])
def test_blocks_drawn_at_once_are_as_those_of_init(control):
    """They have the same shapes and bounds, and no two parameters are equal."""
    flow = ConditionalFlow(8, blocks=6, hidden=16, control=control)
    arguments = jax.random.key(0, impl="rbg"), jnp.zeros((2, 8)), jnp.zeros((2, 3))
    drawn, expected = jax.jit(flow.draw)(*arguments), flow.init(*arguments)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), drawn) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), expected
    )
    for block in drawn["buffers"].values():
        assert sorted(block["permutation"]) == list(range(8))
    layers = [
        layer
        for block in drawn["params"].values()
        for name, network in block.items()
        if name != "norm"
        for layer in network.values()
    ]
    for layer in layers:
        limit = layer["kernel"].shape[1] ** -0.5
        assert 0.5 * limit < np.abs(layer["kernel"]).max() <= limit
        assert np.abs(layer["bias"]).max() <= limit
    firsts = {float(member.ravel()[0]) for leaf in jax.tree.leaves(layers) for member in leaf}
    assert len(firsts) == 6 * 2 * 2 * 4 * 2  # blocks, couplings, scale and shift, layers, kernel and bias


def test_permutations_are_fixed_by_the_seed_and_differ_between_blocks():
    z, condition = _inputs()
    flow = _flow(z_dim=64)
    z = jnp.zeros((1, 64))
    buffers = flow.init(jax.random.key(0), z, condition[:1])["buffers"]
    again = flow.init(jax.random.key(0), z, condition[:1])["buffers"]
    jax.tree.map(np.testing.assert_array_equal, buffers, again)
    orders = [np.asarray(block["permutation"]) for block in buffers.values()]
    assert all(sorted(order) == list(range(64)) for order in orders)
    assert not np.array_equal(orders[0], orders[1])


def test_bfloat16_networks_keep_float32_events_and_log_dets():
    z, condition = _inputs()
    flow = _flow(dtype=jnp.bfloat16)
    variables = flow.init(jax.random.key(0), z, condition)
    residual, log_det = flow.apply(variables, z, condition)
    assert residual.dtype == log_det.dtype == jnp.float32
    wide, wide_log_det = _flow().apply(variables, z, condition)
    np.testing.assert_allclose(residual, wide, atol=0.05)
    np.testing.assert_allclose(log_det, wide_log_det, atol=0.05)


def test_bits_per_dimension_of_a_standard_normal():
    samples = np.random.default_rng(0).standard_normal((4000, 64)).astype(np.float32)
    bits = bits_per_dimension(standard_normal_log_prob(jnp.asarray(samples)), 64)
    entropy = 0.5 * np.log2(2 * np.pi * np.e)
    # The mean of 256000 squares: standard error 0.5 * sqrt(2 / 256000) / ln 2 = 0.002.
    np.testing.assert_allclose(np.mean(bits), entropy, atol=0.008)


def test_odd_latent_is_refused():
    with pytest.raises(UserError) as raised:
        _flow(z_dim=5).init(jax.random.key(0), jnp.zeros((1, 5)), jnp.zeros((1, 3)))
    assert (raised.value.field, raised.value.value) == ("z_dim", 5)
