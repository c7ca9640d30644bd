"""The two fixtures that hold whole objectives: stage 1's of BAIR, and the poke model's."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.parts.objectives import Inputs
from i2v_jax.configs import common
from i2v_jax.models.posterior import Posterior
from i2v_jax.pretrained.networks.lpips import LPIPS
from i2v_jax.pretrained.networks.vgg import VGG
from i2v_jax.pretrained.vgg_distance import vgg_distance
from i2v_jax.tasks import registry
from i2v_jax.tasks.poke import MODEL
from i2v_jax.tasks.video_vae import Draws, Outputs
from i2v_jax.torch_interop import load_torch, to_torch
from tests.reference import fixtures
from tests.reference.fixtures import Fixture

# The fixture's name of a network -> the task's, and that of `load_torch`.
_NETWORKS = {
    "encoder": ("encoder", "video_encoder"),
    "decoder": ("decoder", "video_decoder"),
    "temporal": ("temporal_discriminator", "temporal_discriminator"),
    "patch": ("patch_discriminator", "patch_discriminator"),
}
_GENERATOR = ("encoder", "decoder")
# The fixture's name of a term -> the task's metric.
_TERMS = {
    "Loss_VAE": "loss",
    "Loss_L1": "l1",
    "LPIPS": "perceptual",
    "Loss_KL": "kl",
    "Loss_GEN_S": "generator_spatial",
    "Loss_GEN_T": "generator_temporal",
    "Loss_Fmap_T": "feature_matching",
    "Loss_Disc_S": "discriminator_spatial",
    "Loss_Disc_T": "discriminator_temporal",
    "L_GP": "gradient_penalty",
    "Logits_Real_S": "logits_spatial_real",
    "Logits_Fake_S": "logits_spatial_fake",
    "Logits_Real_T": "logits_temporal_real",
    "Logits_Fake_T": "logits_temporal_fake",
}
_POKE_TERMS = {
    "static_reconstruction": "static",
    "perceptual_dynamics": "perceptual",
    "latent_dynamics": "latent",
    "dynamics": "loss",
}


def gradient_norms(network: str, config: Any, gradients: Any, prefix: str = "grad_norm/") -> dict[str, Any]:
    """Returns the norm of each gradient under the authors' key."""
    state = to_torch(network, {"params": gradients}, config)
    return {f"{prefix}{key}": np.linalg.norm(value) for key, value in state.items()}


class _InEvaluationMode:
    """A module whose `train=True` changes nothing: the fixture was made with all modules in evaluation mode."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def apply(self, variables: Any, *args: Any, train: bool = False, mutable: Any = ()) -> Any:
        outputs = self._module.apply(variables, *args)
        return (outputs, {}) if mutable else outputs


def _task(stage: str, dtype: Any, modules: Mapping[str, Any]) -> Any:
    config = common.base(64, "poke" if stage == "poke" else "cinn")
    config.dtype = jnp.dtype(dtype).name
    config[stage].loss.perceptual_network = "laplacian"  # replaced: others would be read from the cache of weights
    return registry.get(stage).task(registry.Ingredients(config, {stage: modules}, {}, steps_per_epoch=1))


def video_objective(fixture: Fixture) -> dict[str, Any]:
    """Returns stage 1's fields of a `Case`: every term, and the gradients of each update's own networks."""
    sources = {short: fixtures.load(fixture.config["weights"][short]) for short in (*_NETWORKS, "lpips")}
    modules, params, others = {}, {}, {}
    for short, (name, network) in _NETWORKS.items():
        modules[name], variables = load_torch(network, sources[short].state, sources[short].config)
        params[name], others[name] = variables.pop("params"), variables
    _, lpips = load_torch("lpips", sources["lpips"].state, sources["lpips"].config)
    draws = Draws(fixture.inputs["window_start"], fixture.inputs["frame_indices"])

    def program(dtype: Any) -> Any:
        task = _task(
            "video_vae", dtype, {name: _InEvaluationMode(module.clone(dtype=dtype)) for name, module in modules.items()}
        )
        module = LPIPS(dtype=dtype)
        task.distance = lambda networks, a, b: module.apply(networks["lpips"], a, b)
        task.draws = lambda batch, rng: draws

        def loss(params: Any, variables: Any, inputs: Inputs) -> Any:
            def networks(trained: tuple[str, ...]) -> Any:
                fixed = {name: jax.lax.stop_gradient(params[name]) for name in params if name not in trained}
                merged = {**fixed, **{name: params[name] for name in trained}}
                return {
                    **{name: {**others[name], "params": tree} for name, tree in merged.items()},
                    "lpips": variables["lpips"],
                }

            generator, batch = networks(_GENERATOR), {"video": inputs["video"]}
            posterior = task.modules["encoder"].apply(generator["encoder"], batch["video"][:, 1:])
            z = Posterior(posterior.mean, posterior.logvar).sample_with(inputs["noise"])
            video = task.modules["decoder"].apply(generator["decoder"], batch["video"][:, 0], z)
            outputs, rng = Outputs(posterior, video), jax.random.key(0)
            total, (_, terms) = task.generator_loss(generator, outputs, batch, rng)
            discriminators = networks(tuple(name for name in params if name not in _GENERATOR))
            added, (_, more) = task.discriminators_loss(discriminators, jax.lax.stop_gradient(outputs), batch, rng)
            metrics = {**more, **terms}
            values = {f"loss/{theirs}": metrics[ours] for theirs, ours in _TERMS.items()}
            return total + added, {**values, "generated_std_per_frame": jnp.std(video, (2, 3, 4), ddof=1)}

        gradient = jax.grad(loss, has_aux=True)
        return jax.jit(lambda variables, inputs: gradient(variables["params"], variables, inputs))

    def norms(gradients: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for short, (name, network) in _NETWORKS.items():
            found |= gradient_norms(network, sources[short].config, gradients[name], f"grad_norm/{short}/")
        return found

    inputs = {"video": np.moveaxis(fixture.inputs["video"], 2, -1), "noise": fixture.inputs["noise"]}
    return {"variables": {"params": params, "lpips": lpips}, "inputs": inputs, "program": program, "norms": norms}


def poke_objective(fixture: Fixture) -> dict[str, Any]:
    """Returns the poke model's fields of a `Case`: the static and the dynamic objective."""
    model, vgg = (fixtures.load(fixture.config["weights"][name]) for name in ("model", "vgg19"))
    module, variables = load_torch("poke_model", model.state, model.config)
    _, vgg_variables = load_torch("vgg19", vgg.state, vgg.config)

    def program(dtype: Any) -> Any:
        task = _task("poke", dtype, {name: getattr(module, name).clone(dtype=dtype) for name in MODEL})
        network = VGG(19, dtype=dtype)
        task.distance = lambda networks, a, b: vgg_distance(network, networks["vgg19"], a, b)

        def run(variables: Any, inputs: Inputs) -> Any:
            batch = {**inputs, "is_background": jnp.zeros(len(inputs["video"]), bool)}
            networks = {**{name: {"params": variables["params"][name]} for name in MODEL}, "vgg19": variables["vgg19"]}

            def gradients(loss: Any, names: tuple[str, ...]) -> Any:
                def value(params: Any) -> Any:
                    replaced = {name: {"params": tree} for name, tree in params.items()}
                    return loss({**networks, **replaced}, (), batch, jax.random.key(0))

                found, (_, metrics) = jax.grad(value, has_aux=True)({name: variables["params"][name] for name in names})
                return found, metrics

            static, static_terms = gradients(task.static_loss, ("object_encoder", "decoder"))
            dynamics, terms = gradients(task.dynamic_loss, MODEL[1:])
            metrics = {**static_terms, **terms}
            values = {f"loss/{theirs}": metrics[ours] for theirs, ours in _POKE_TERMS.items()}
            return {"static": static, "dynamics": dynamics}, values

        return jax.jit(run)

    def norms(gradients: Any) -> dict[str, Any]:
        parts = (
            gradient_norms("poke_model", model.config, tree, f"{part}/grad_norm/") for part, tree in gradients.items()
        )
        return {key: value for found in parts for key, value in found.items()}

    inputs = {name: np.moveaxis(fixture.inputs[name], -3, -1) for name in ("video", "poke")}
    variables = {"params": variables["params"], "vgg19": vgg_variables}
    return {"variables": variables, "inputs": inputs, "program": program, "norms": norms}
