"""The poke objectives are the authors'; which networks are updated when, and the targets of background pokes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from i2v_jax.errors import UserError
from i2v_jax.models import layers, poke_model
from i2v_jax.models.discriminators import PatchDiscriminator, PatchTemporalDiscriminator
from i2v_jax.tasks import perceptual_loss
from i2v_jax.tasks.poke import DISCRIMINATORS, MODEL, Poke
from i2v_jax.torch_interop import load_torch, to_torch
from i2v_jax.training.state import TrainState, split
from i2v_jax.training.step import make_step
from tests.models import plain_convolution
from tests.models.random_variables import drawn
from tests.reference import fixtures
from tests.torch_interop.state_dicts.test_poke_networks import WITHOUT_GRADIENT
from tests.torch_interop.state_dicts.test_video_networks import channels_last

RNG = np.random.default_rng(0)
LOSS = {
    "perceptual": 5.0,
    "latent": 0.1,
    "spatial": 1.0,
    "temporal": 5.0,
    "feature_matching": 10.0,
    "spatial_penalty": 1e-4,
    "temporal_penalty": 0.1,
    "window": 0,
    "spatial_frames": 4,
}


def configuration(perceptual_network, **stage):
    return ConfigDict(
        {
            "dtype": "float32",
            "poke": {
                "batch_size": 2,
                "reference_batch": 2,
                "adversarial_step": 3,
                "single_stage": False,
                "static_decoder_decays": True,
                "static_epochs": 0,
                **stage,
                "loss": {**LOSS, "perceptual_network": perceptual_network},
            },
        }
    )


def make_batch(clips, frames, size):
    poke = np.zeros((clips, size, size, 2), np.float32)
    poke[:, 4:7, 5:8] = (2.0, -1.0)
    return {
        "video": RNG.uniform(-1, 1, (clips, 1 + frames, size, size, 3)).astype(np.float32),
        "poke": poke,
        "is_background": np.arange(clips) % 2 == 1,
    }


@pytest.fixture(scope="module")
def small():
    """(task, variables of its networks, batch) at 16x16 with a loss that needs no weights; quick to compile."""
    modules = {
        **poke_model.build(size=16, features=8, min_spatial_size=8),
        "temporal_discriminator": PatchTemporalDiscriminator(width=4),
        "patch_discriminator": PatchDiscriminator(width=4, layers=2, norm="instance", spectral_norm=False),
    }
    task, batch = Poke(configuration("laplacian"), modules, 10), make_batch(2, 2, 16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "convolve", plain_convolution.direct)
        yield task, drawn(jax.eval_shape(task.init_variables, jax.random.key(0), batch)), batch


@pytest.fixture(scope="module")
def objective():
    """(task, networks, batch, fixture) at the fixture's weights and inputs, in double precision.

    In single precision a ReLU may flip, and some gradients differ by more than the fixture's tolerance.
    """
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "convolve", plain_convolution.convolve)
        yield _objective()


def _objective():
    fixture = fixtures.load("poke_training_losses_64")
    model, vgg = (fixtures.load(fixture.config["weights"][name]) for name in ("model", "vgg19"))
    module, variables = load_torch("poke_model", model.state, model.config)
    _, vgg_variables = load_torch("vgg19", vgg.state, vgg.config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(perceptual_loss.weights, "load", {"vgg19": vgg_variables}.__getitem__)
        config = configuration("vgg19")
        config.dtype = "float64"
        task = Poke(config, {name: getattr(module, name).clone(dtype=jnp.float64) for name in MODEL}, 10)
    assert fixture.config["vgg_dyn_weight"] == LOSS["perceptual"]
    assert fixture.config["latent_dynamics_weight"] == LOSS["latent"]
    networks = {**{name: {"params": variables["params"][name]} for name in MODEL}, **task.frozen}
    networks = jax.tree.map(lambda leaf: leaf.astype(np.float64), networks)
    batch = {name: channels_last(fixture.inputs[name]).astype(np.float64) for name in ("video", "poke")}
    return task, networks, {**batch, "is_background": np.zeros(len(batch["video"]), bool)}, fixture


def check(fixture, part, gradients):
    """Checks gradient norms by network, and that the fixture has none for other networks."""
    source = fixtures.load(fixture.config["weights"]["model"], with_state=False)
    ours = to_torch("poke_model", {"params": jax.device_get(gradients)}, source.config)
    prefix = f"{part}/grad_norm/"
    expected = {key.removeprefix(prefix): norm for key, norm in fixture.outputs.items() if key.startswith(prefix)}
    assert ours.keys() <= expected.keys()
    for key, norm in expected.items():
        if key not in ours:
            assert norm == 0, key
        elif WITHOUT_GRADIENT.fullmatch(f"grad_norm/{key}"):
            assert norm < 1e-5 and np.linalg.norm(ours[key]) < 1e-5
        else:
            assert np.linalg.norm(ours[key]) == pytest.approx(norm, rel=1e-3, abs=1e-6), key


def run_objective(task, networks, batch, loss, names):
    @jax.jit
    def run(params, networks, batch):
        def value(params):
            replaced = {name: {"params": tree} for name, tree in params.items()}
            return loss({**networks, **replaced}, (), batch, jax.random.key(0))

        return jax.grad(value, has_aux=True)(params)

    gradients, (_, metrics) = run({name: networks[name]["params"] for name in names}, networks, batch)
    return gradients, metrics


def test_static_objective(objective):
    task, networks, batch, fixture = objective
    gradients, metrics = run_objective(task, networks, batch, task.static_loss, ("object_encoder", "decoder"))
    assert metrics["static"] == pytest.approx(fixture.outputs["loss/static_reconstruction"], rel=fixture.tolerance)
    check(fixture, "static", gradients)


@pytest.mark.slow
def test_dynamic_objective(objective):
    task, networks, batch, fixture = objective
    gradients, metrics = run_objective(task, networks, batch, task.dynamic_loss, MODEL[1:])
    names = {"perceptual": "perceptual_dynamics", "latent": "latent_dynamics", "loss": "dynamics"}
    for ours, theirs in names.items():
        assert metrics[ours] == pytest.approx(fixture.outputs[f"loss/{theirs}"], rel=fixture.tolerance), theirs
    check(fixture, "dynamics", gradients)


def test_updates_come_in_order_and_the_adversarial_ones_late(small):
    task, _, _ = small
    before, after = ([update for update in task.updates if update.runs_at(step)] for step in (2, 3))
    assert [(update.name, update.networks) for update in before] == [
        ("static", ("object_encoder", "decoder")),
        ("dynamic", ("poke_encoder", "dynamics", "decoder")),
    ]
    assert [update.name for update in after] == ["static", "dynamic_adversarial", "discriminators"]
    assert after[-1].networks == DISCRIMINATORS
    single = Poke(configuration("laplacian", single_stage=True), task.modules, 10)
    assert [update.networks for update in single.updates if update.runs_at(0)] == [MODEL]


def test_static_updates_stop_and_the_temporal_discriminator_sees_a_window(small):
    """As the release trains its sequence model."""
    config = configuration("laplacian", static_epochs=2)
    config.poke.loss.window = 2
    task = Poke(config, small[0].modules, 10)
    assert [{update.name for update in task.updates if update.runs_at(step)} for step in (19, 20)] == [
        {"static", "dynamic_adversarial", "discriminators"}, {"dynamic_adversarial", "discriminators"},
    ]  # fmt: skip
    batch, video = make_batch(2, 5, 16), jnp.arange(6.0)[None, 1:, None, None, None]
    windows = set()
    for seed in range(40):
        draws = task.draws(batch, jax.random.key(seed))
        windows.add(tuple(np.ravel(task._windowed(video, draws)).tolist()))
    assert windows == {(1.0, 2.0), (2.0, 3.0), (3.0, 4.0), (4.0, 5.0)}
    assert task._windowed(video[:, :2], draws).shape[1] == 2
    np.testing.assert_array_equal(small[0]._windowed(video, small[0].draws(batch, jax.random.key(0))), video)


def test_a_step_moves_each_network_with_the_optimizer_of_each_update(small):
    """The decoder has two optimizers, each with its own moments: its parameters move twice."""
    task, networks, batch = small
    users = {update.opt_state_key(name): name for update in task.updates for name in update.networks}
    assert set(users) == {
        *("object_encoder_static", "decoder_static"),
        *("poke_encoder_dynamic", "dynamics_dynamic", "decoder_dynamic"),
        *DISCRIMINATORS,
    }
    optimizers = dict.fromkeys(users, optax.with_extra_args_support(optax.adam(1e-3)))
    params, model_state = split(networks)
    opt_state = {key: optimizers[key].init(params[name]) for key, name in users.items()}
    state = TrainState(jnp.zeros((), jnp.int32), params, model_state, opt_state, {})
    active = [update for update in task.updates if update.runs_at(3)]
    new, metrics = jax.jit(make_step(task, active, optimizers, 0.0, 0))(state, {}, batch)
    assert all(np.isfinite(value) for value in metrics.values())
    assert {key: int(value[0].count) for key, value in new.opt_state.items()} == dict.fromkeys(users, 1)

    def moved(name, path):
        old, changed = (tree[name] for tree in (params, new.params))
        for key in path:
            old, changed = old[key], changed[key]
        return np.max(np.abs(changed - old))

    # Adam's first step is the learning rate in each entry with a gradient.
    assert moved("object_encoder", ("block0", "conv", "kernel")) == pytest.approx(1e-3, rel=0.01)
    assert moved("dynamics", ("cell0", "kernel_of_3")) == pytest.approx(1e-3, rel=0.01)
    assert moved("decoder", ("to_rgb", "kernel")) == pytest.approx(2e-3, rel=0.05)
    assert moved("patch_discriminator", ("conv0", "kernel")) == pytest.approx(1e-3, rel=0.01)
    u = ("trunk", "stem", "u")
    old, changed = (tree["temporal_discriminator"]["spectral"] for tree in (model_state, new.model_state))
    assert not np.allclose(old[u[0]][u[1]][u[2]], changed[u[0]][u[1]][u[2]])


@pytest.mark.slow
def test_the_updates_of_a_batch_in_parts_are_those_of_the_batch():
    """Autoencoder, then dynamics, in double precision, where the order of sums changes some 1e-16 of a term.

    Nothing is drawn, and plain gradient descent shows the gradients themselves.
    """
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "convolve", plain_convolution.direct)
        modules = poke_model.build(size=16, features=8, min_spatial_size=8, dtype=jnp.float64)
        modules |= {
            "temporal_discriminator": PatchTemporalDiscriminator(4),
            "patch_discriminator": PatchDiscriminator(4),
        }
        task, batch = Poke(configuration("laplacian"), modules, 10), make_batch(4, 2, 16)
        networks = drawn(jax.eval_shape(task.init_variables, jax.random.key(0), batch))
        params, model_state = split(jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), networks))
        users = {update.opt_state_key(name): name for update in task.updates for name in update.networks}
        optimizers = dict.fromkeys(users, optax.with_extra_args_support(optax.sgd(1.0)))
        opt_state = {key: optimizers[key].init(params[name]) for key, name in users.items()}
        state = TrainState(jnp.zeros((), jnp.int32), params, model_state, opt_state, {})
        active = [update for update in task.updates if update.runs_at(0)]
        assert [update.name for update in active] == ["static", "dynamic"]
        (whole, losses), (parts, others) = (
            jax.jit(make_step(task, active, optimizers, 0.0, 0, accumulate=count))(state, {}, batch) for count in (1, 2)
        )
        assert losses["static"] != losses["perceptual"]
        jax.tree.map(lambda a, b: np.testing.assert_allclose(b, a, rtol=1e-10, atol=1e-12), losses, others)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(b, a, rtol=0, atol=1e-11), whole.params, parts.params)


def test_the_discriminators_objective(small):
    """Hinge without the half, and squared gradients of the summed logits on the real inputs, term by term."""
    task, networks, batch = small
    rng = jax.random.key(5)
    loss, (changed, metrics) = jax.jit(task.discriminators_loss)(networks, (), batch, rng)
    draws, real = task.draws(batch, rng), task.target(batch)
    fake = task.respond(networks, batch).video
    assert draws.real.shape == draws.fake.shape == (4,)
    images = [video.reshape(-1, 16, 16, 3)[index] for video, index in ((real, draws.real), (fake, draws.fake))]
    advanced = {**networks["temporal_discriminator"], **changed["temporal_discriminator"]}
    expected = 0.0
    for kind, inputs, weight in (("temporal", (real, fake), 0.1), ("patch", images, 1e-4)):
        module = task.modules[f"{kind}_discriminator"]
        variables = advanced if kind == "temporal" else networks["patch_discriminator"]

        def logits(x, module=module, variables=variables):
            outputs = module.apply(variables, x)
            return outputs[0] if isinstance(outputs, tuple) else outputs

        slope = jax.jit(jax.grad(lambda x, logits=logits: jnp.sum(logits(x))))(inputs[0])
        penalty = np.sum(np.square(slope)) / len(slope)
        hinge = np.mean(np.maximum(0, 1 - logits(inputs[0]))) + np.mean(np.maximum(0, 1 + logits(inputs[1])))
        assert metrics[f"discriminator_{kind}"] == pytest.approx(hinge, rel=1e-3)
        assert metrics[f"gradient_penalty_{kind}"] == pytest.approx(penalty, rel=1e-2)
        expected += hinge + weight * penalty
    assert loss == pytest.approx(expected, rel=1e-2)


def test_nothing_may_move_after_a_background_poke(small):
    task, networks, batch = small
    target = task.target(batch)
    np.testing.assert_array_equal(target[0], batch["video"][0, 1:])
    np.testing.assert_array_equal(target[1], np.repeat(batch["video"][1, :1], 2, axis=0))
    truth, response = jax.jit(task.preview)(networks, batch, jax.random.key(0))
    assert truth.shape == response.shape == batch["video"].shape
    np.testing.assert_array_equal(response[:, 0], batch["video"][:, 0])
    metrics = jax.jit(task.evaluate)(networks, batch, jax.random.key(0))
    assert {name: value.shape for name, value in metrics.items()} == dict.fromkeys(("l1", "psnr", "perceptual"), (2,))
    error = np.abs(response[:, 1:] - target)
    np.testing.assert_allclose(metrics["l1"], error.mean((1, 2, 3, 4)), rtol=1e-5)
    assert task.best in metrics


def test_vgg16_comes_with_the_weights_of_lpips(monkeypatch):
    monkeypatch.setattr(perceptual_loss.weights, "load", {"lpips": {"params": {"vgg": {"features_0": 1}}}}.__getitem__)
    _, frozen = perceptual_loss.make_distance("vgg16", "float32")
    assert frozen == {"vgg16": {"params": {"features_0": 1}}}
    with pytest.raises(UserError) as raised:
        perceptual_loss.make_distance("vgg11", "float32", "poke.loss.perceptual_network")
    assert (raised.value.field, raised.value.value) == ("poke.loss.perceptual_network", "vgg11")


@pytest.mark.parametrize(("name", "command"), [("vgg19", "--import vgg19="), ("vgg16", "--fetch lpips")])
def test_missing_weights_are_one_line_that_says_what_to_do(name, command, monkeypatch, tmp_path):
    monkeypatch.setenv("I2V_JAX_CACHE", str(tmp_path))
    with pytest.raises(UserError) as caught:
        perceptual_loss.make_distance(name, "float32", "poke.loss.perceptual_network")
    assert (caught.value.field, caught.value.value) == ("poke.loss.perceptual_network", name)
    assert command in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_log_names_the_weights_that_the_stage_s_own_loss_needs():
    field = "poke.loss.perceptual_network"
    assert f"{field}=vgg16" in perceptual_loss.description("charbonnier", field, "vgg16")
    assert field not in perceptual_loss.description("vgg19", field, "vgg16")


def test_losses_see_the_patch_of_a_clip_only(small):
    """What is outside of the rectangle changes L_traj, but neither the perceptual loss nor the discriminators'."""
    task, networks, batch = small
    batch = batch | {"patch": np.array([[2, 3, 8, 6], [0, 0, 16, 16]], np.int32), "is_background": np.zeros(2, bool)}
    elsewhere = batch["video"].copy()
    elsewhere[0, 1:, 11:] *= -1
    terms = jax.jit(
        lambda batch: {
            **task.dynamic_loss(networks, (), batch, jax.random.key(0))[1][1],
            **task.discriminators_loss(networks, (), batch, jax.random.key(0))[1][1],
        }
    )
    found, other = terms(batch), terms(batch | {"video": elsewhere})
    assert other["latent"] != found["latent"]
    for name in ("perceptual", "logits_temporal_real", "logits_patch_real", "logits_patch_fake"):
        assert other[name] == found[name], name
    inside = batch["video"].copy()
    inside[0, 1:, 4:6] *= -1
    assert terms(batch | {"video": inside})["perceptual"] != found["perceptual"]
