"""The stage-1 objective is the authors' own, term by term and in its gradients."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.configs import common
from i2v_jax.models import layers
from i2v_jax.models.posterior import Posterior
from i2v_jax.tasks import perceptual_loss
from i2v_jax.tasks.video_vae import Draws, Outputs, VideoVAE
from i2v_jax.torch_interop import load_torch, to_torch
from tests.models import plain_convolution
from tests.reference import fixtures

NAMES = {
    "encoder": ("encoder", "video_encoder"),
    "decoder": ("decoder", "video_decoder"),
    "temporal": ("temporal_discriminator", "temporal_discriminator"),
    "patch": ("patch_discriminator", "patch_discriminator"),
}


# AdaIN's instance norm removes what these biases add: their gradient is zero, the fixture holds rounding errors.
WITHOUT_GRADIENT = re.compile(r".*\.conv_0\.bias")


class InEvaluationMode:
    """A module whose `train=True` changes nothing: the fixture was made with all modules in evaluation mode."""

    def __init__(self, module):
        self._module = module

    def apply(self, variables, *args, train=False, mutable=()):
        outputs = self._module.apply(variables, *args)
        return (outputs, {}) if mutable else outputs


@pytest.fixture(scope="module")
def objective():
    """(task, networks, fixture, batch) at the fixture's weights and draws, in double precision.

    Gradients through the temporal discriminator change by one percent with float32 rounding, at a maximum or a ReLU.
    """
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "convolve", plain_convolution.convolve)
        yield _objective()


def _objective():
    fixture = fixtures.load("cvae_training_losses_bair")
    weights, modules, networks = fixture.config["weights"], {}, {}
    for short, (name, network) in NAMES.items():
        source = fixtures.load(weights[short])
        module, variables = load_torch(network, source.state, source.config)
        modules[name] = InEvaluationMode(module.clone(dtype=jnp.float64))
        networks[name] = variables
    lpips = fixtures.load(weights["lpips"])
    _, networks["lpips"] = load_torch("lpips", lpips.state, lpips.config)
    networks = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), networks)
    config = common.base(64)  # its weights are those of BAIR
    config.video_vae.reference_batch = len(fixture.inputs["video"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(perceptual_loss.weights, "load", lambda name: networks[name])
        task = VideoVAE(config, modules, steps_per_epoch=1)
    inputs = {name: array.astype(np.float64) for name, array in fixture.inputs.items() if array.dtype == np.float32}
    fixture = fixture._replace(inputs={**fixture.inputs, **inputs})
    draws = Draws(fixture.inputs["window_start"], fixture.inputs["frame_indices"])
    task.draws = lambda batch, rng: draws
    batch = {"video": np.moveaxis(fixture.inputs["video"], 2, -1)}
    return task, networks, fixture, batch


def reconstruct(task, networks, fixture, batch, params):
    posterior = task.modules["encoder"].apply({"params": params["encoder"]}, batch["video"][:, 1:])
    z = Posterior(posterior.mean, posterior.logvar).sample_with(fixture.inputs["noise"])
    decoder = {**networks["decoder"], "params": params["decoder"]}
    return Outputs(posterior, task.modules["decoder"].apply(decoder, batch["video"][:, 0], z))


def check(fixture, terms, gradients):
    for name, value in terms.items():
        expected = fixture.outputs[f"loss/{name}"]
        assert value == pytest.approx(expected, rel=fixture.tolerance, abs=1e-6), name
    for short, tree in gradients.items():
        source = fixtures.load(fixture.config["weights"][short], with_state=False)
        ours = to_torch(NAMES[short][1], {"params": jax.device_get(tree)}, source.config)
        prefix = f"grad_norm/{short}/"
        expected = {key.removeprefix(prefix): norm for key, norm in fixture.outputs.items() if key.startswith(prefix)}
        assert expected
        for key, norm in expected.items():
            if WITHOUT_GRADIENT.match(key):
                assert norm < 1e-5
                assert np.linalg.norm(ours[key]) < 1e-12
                continue
            assert np.linalg.norm(ours[key]) == pytest.approx(norm, rel=1e-3, abs=1e-6), (short, key)


def small_task(steps_per_epoch=10):
    config = common.base(64)
    config.video_vae.loss.perceptual_network = "laplacian"
    config.video_vae.update(adversarial_epoch=1.25, reference_batch=3)
    return VideoVAE(config, {}, steps_per_epoch)


def test_discriminators_are_updated_first_and_begin_after_their_epoch():
    """With 1.25 epochs of 10 steps the autoencoder trains alone for 13 steps."""
    updates = small_task().updates
    active = {step: [update.name for update in updates if update.runs_at(step)] for step in (0, 12, 13, 10**6)}
    assert active == {
        0: ["pretraining"],
        12: ["pretraining"],
        13: ["discriminators", "generator"],
        10**6: ["discriminators", "generator"],
    }
    networks = {update.name: update.networks for update in updates}
    assert networks["discriminators"] == ("temporal_discriminator", "patch_discriminator")
    assert networks["generator"] == networks["pretraining"] == ("encoder", "decoder")


def test_discriminators_see_the_same_part_of_truth_and_reconstruction():
    """Frames are numbered: those of clip c from 100 c on, the start frame first; reconstructed ones have 1000 more."""
    task = small_task()
    numbers = 100.0 * np.arange(3)[:, None] + np.arange(17)
    batch = {"video": jnp.asarray(np.broadcast_to(numbers[..., None, None, None], (3, 17, 1, 1, 1)))}
    outputs = Outputs(Posterior(jnp.zeros((3, 2)), jnp.zeros((3, 2))), batch["video"][:, 1:] + 1000)

    @jax.jit
    def look(seed):
        rng = jax.random.key(seed)
        frames = (task._frames(video, batch, rng) for video in (batch["video"][:, 1:], outputs.video))
        return [jnp.squeeze(seen) for seen in (*task._windows(outputs, batch, rng), *frames)]

    starts, repeated, seen = set(), 0, set()
    for seed in range(60):
        real_window, fake_window, real_frames, fake_frames = map(np.asarray, look(seed))
        start = int(real_window[0, 0])
        np.testing.assert_array_equal(real_window, numbers[:, start : start + 12])
        np.testing.assert_array_equal(fake_window, real_window + 1000)
        np.testing.assert_array_equal(fake_frames, real_frames + 1000)
        assert real_frames.shape == (20,)
        starts.add(start)
        repeated += len(set(real_frames)) < 20
        seen |= set(real_frames)
    assert starts == set(range(1, 6))
    assert repeated > 50  # of 48 frames, 20 are all different once in a hundred draws
    assert seen == set(numbers[:, 1:].ravel())


@pytest.mark.slow
def test_generator_objective(objective):
    task, networks, fixture, batch = objective
    params = {name: networks[name]["params"] for name in ("encoder", "decoder")}

    @jax.jit
    def run(params, networks):
        def loss(params):
            outputs = reconstruct(task, networks, fixture, batch, params)
            return task.generator_loss(networks, outputs, batch, jax.random.key(0))

        return jax.grad(loss, has_aux=True)(params)

    gradients, (_, metrics) = run(params, networks)
    terms = {
        "Loss_VAE": metrics["loss"],
        "Loss_L1": metrics["l1"],
        "LPIPS": metrics["perceptual"],
        "Loss_KL": metrics["kl"],
        "Loss_GEN_S": metrics["generator_spatial"],
        "Loss_GEN_T": metrics["generator_temporal"],
        "Loss_Fmap_T": metrics["feature_matching"],
    }
    check(fixture, terms, gradients)


@pytest.mark.slow
def test_discriminators_objective(objective):
    task, networks, fixture, batch = objective
    names = ("temporal_discriminator", "patch_discriminator")
    params = {name: networks[name]["params"] for name in names}

    @jax.jit
    def run(params, networks):
        generator = {name: networks[name]["params"] for name in ("encoder", "decoder")}
        outputs = reconstruct(task, networks, fixture, batch, generator)

        def loss(params):
            replaced = {name: {**networks[name], "params": tree} for name, tree in params.items()}
            return task.discriminators_loss({**networks, **replaced}, outputs, batch, jax.random.key(0))

        return jax.grad(loss, has_aux=True)(params)

    gradients, (_, metrics) = run(params, networks)
    terms = {
        "Loss_Disc_S": metrics["discriminator_spatial"],
        "Loss_Disc_T": metrics["discriminator_temporal"],
        "L_GP": metrics["gradient_penalty"],
        "Logits_Real_S": metrics["logits_spatial_real"],
        "Logits_Fake_S": metrics["logits_spatial_fake"],
        "Logits_Real_T": metrics["logits_temporal_real"],
        "Logits_Fake_T": metrics["logits_temporal_fake"],
    }
    check(fixture, terms, {"temporal": gradients[names[0]], "patch": gradients[names[1]]})
