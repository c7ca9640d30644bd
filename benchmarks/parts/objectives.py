"""The losses and outputs of the reference fixtures, network by network.

Each is a function (module, configuration, variables, inputs) -> (the loss whose gradients the fixture has, outputs by
the fixture's keys); inputs and outputs are channels last. Networks without gradients in the fixture return 0.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from i2v_jax.pretrained.resize import resize

Inputs = Mapping[str, Any]
Result = tuple[Any, dict[str, Any]]
SAMPLES = 97  # of the features of VGG
_OVER_FRAME = (2, 3, 4)  # of videos [B, T, H, W, C]


def video_encoder(module: Any, config: Any, variables: Any, inputs: Inputs) -> Result:
    posterior = module.apply(variables, inputs["video"])
    loss = jnp.mean(posterior.mean * inputs["cotangent_mean"] + posterior.logvar * inputs["cotangent_logvar"])
    return loss, {"mean": posterior.mean, "logvar": posterior.logvar}


def video_decoder(module: Any, config: Any, variables: Any, inputs: Inputs) -> Result:
    arrays, stride = (inputs["start_frame"], inputs["z"]), config["video_stride"]
    video = module.apply(variables, *arrays)
    trained, _ = module.apply(jax.lax.stop_gradient(variables), *arrays, train=True, mutable=["spectral"])
    return jnp.mean(video * inputs["cotangent"]), {
        "video": video[:, :, ::stride, ::stride],
        "video_mean_per_frame": jnp.mean(video, _OVER_FRAME),
        "video_std_per_frame": jnp.std(video, _OVER_FRAME, ddof=1),
        "train_mode/video_std_per_frame": jnp.std(trained, _OVER_FRAME, ddof=1),
    }


def temporal_discriminator(module: Any, config: Any, variables: Any, inputs: Inputs) -> Result:
    def mean_logit(video: jax.Array) -> Any:
        logits, features = module.apply(variables, video)
        return jnp.mean(logits), (logits, features)

    slope, (logits, features) = jax.grad(mean_logit, has_aux=True)(inputs["video"])
    penalty = jnp.mean(jnp.sum(slope**2, axis=(1, 2, 3, 4)))
    outputs = {"logits": logits, "gradient_penalty": penalty, **_sizes("feature_map", features)}
    return jnp.mean(logits) + 10 * penalty, outputs


def patch_discriminator(module: Any, config: Any, variables: Any, inputs: Inputs) -> Result:
    logits = module.apply(variables, inputs["images"])
    return jnp.mean(logits), {"logits": logits}


def image_autoencoder(module: Any, config: Any, variables: Any, inputs: Inputs) -> Result:
    """Decodes the fixture's own mean: the encoder multiplies rounding errors by more than a thousand."""
    posterior, stride = module.apply(variables, inputs["image"], method="encode"), config["image_stride"]
    codes = jnp.concatenate([inputs["mean"], inputs["code"].reshape(len(inputs["code"]), -1)])
    images = module.apply(variables, codes, method="decode")[:, ::stride, ::stride]
    reconstruction, decoded = jnp.split(images, (len(inputs["mean"]),))
    return 0.0, {
        "mean": posterior.mean,
        "logvar": posterior.logvar,
        "kl": posterior.kl().mean(),
        "reconstruction": reconstruction,
        "decoded_code": decoded,
    }


def flow(module: Any, config: Any, variables: Any, inputs: Inputs) -> Result:
    residual, log_det = module.apply(variables, inputs["z"], inputs["embedding"])
    loss = jnp.mean(0.5 * jnp.sum(residual**2, axis=-1)) - jnp.mean(log_det)
    z, _ = module.apply(variables, inputs["residual"], inputs["embedding"], method="inverse")
    return loss, {"residual_of_z": residual, "logdet": log_det, "loss": loss, "z_of_residual": z}


def poke_model(module: Any, config: Any, variables: Any, inputs: Inputs) -> Result:
    def run(model: Any) -> Any:
        states, latent_poke = model.encode(inputs["start_frame"]), model.encode_poke(inputs["poke"])
        return states, latent_poke, model.decode(states), model.decode(model.predict(states, latent_poke, model.frames))

    states, latent_poke, reconstruction, video = module.apply(variables, method=run)
    stride = config["image_stride"]
    return jnp.mean(video * inputs["cotangent"]), {
        "video": video[:, :, ::stride, ::stride],
        "video_mean_per_frame": jnp.mean(video, _OVER_FRAME),
        "video_std_per_frame": jnp.std(video, _OVER_FRAME, ddof=1),
        "reconstruction": reconstruction[:, ::stride, ::stride],
        "latent_poke/mean_abs": _mean_abs(latent_poke),
        **_sizes("object_state", states),
    }


def _penalized(weight: float, logits: Callable[[Any], Any], inputs: Any) -> Result:
    """Returns mean(logits) + weight * the mean over the batch of |d sum(logits) / d inputs|^2."""

    def total(inputs: Any) -> Any:
        values, features = logits(inputs)
        return jnp.sum(values), (values, features)

    slope, (values, features) = jax.grad(total, has_aux=True)(inputs)
    penalty = jnp.sum(slope**2) / len(inputs)
    outputs = {"logits": values, "gradient_penalty": penalty, **_sizes("feature_map", features)}
    return jnp.mean(values) + weight * penalty, outputs


def poke_patch_discriminator(module: Any, config: Any, variables: Any, inputs: Inputs) -> Result:
    def logits(images: Any) -> Any:
        values, state = module.apply(variables, images, mutable=["intermediates"])
        return values, state["intermediates"]["features"]

    return _penalized(1.0, logits, inputs["images"])


def poke_temporal_discriminator(module: Any, config: Any, variables: Any, inputs: Inputs) -> Result:
    return _penalized(0.1, lambda video: module.apply(variables, video), inputs["video"])


def lpips(module: Any, config: Any, variables: Any, inputs: Inputs) -> Result:
    def total(b: Any) -> Any:
        distance = module.apply(variables, inputs["a"], b)
        return distance.sum(), distance

    gradient, distance = jax.grad(total, has_aux=True)(inputs["b"])
    return 0.0, {"distance": distance, "grad_b": gradient[:, ::8, ::8]}


def pretrained_lpips(module: Any, config: Any, variables: Any, inputs: Inputs) -> Result:
    mix = 0.9 * inputs["a"] + 0.1 * inputs["b"]
    return 0.0, {"distance_a_to_mix": module.apply(variables, inputs["a"], mix)}


def vgg(module: Any, config: Any, variables: Any, inputs: Inputs) -> Result:
    outputs = {}
    for layer, features in module.apply(variables, inputs["images"]).items():
        flat = jnp.moveaxis(features, -1, -3).ravel()
        outputs[f"layer_{layer}/sample"] = flat[:: flat.size // SAMPLES][:SAMPLES]
        outputs[f"layer_{layer}/mean_abs"] = _mean_abs(flat)
    return 0.0, outputs


def i3d(module: Any, config: Any, variables: Any, inputs: Inputs) -> Result:
    video = resize(inputs["video_small"], 224, 224, "aligned")
    return 0.0, {"logits": module.apply(variables, (video + 1) / 2).logits}


def pretrained_i3d(module: Any, config: Any, variables: Any, inputs: Inputs) -> Result:
    return 0.0, {"logits": module.apply(variables, inputs["video"]).logits}


def i3d_dynamic_textures(module: Any, config: Any, variables: Any, inputs: Inputs) -> Result:
    features = module.apply(variables, resize(inputs["video_small"], 224, 224, "aligned"))
    return 0.0, {"logits": features.logits, "representation": features.pooled}


def inception(module: Any, config: Any, variables: Any, inputs: Inputs) -> Result:
    return 0.0, {"pool3": module.apply(variables, resize(inputs["images"], 299, 299, "half_pixel"))}


def _mean_abs(x: Any) -> Any:
    return jnp.mean(jnp.abs(x.astype(jnp.float32)))


def _sizes(name: str, maps: Any) -> dict[str, Any]:
    return {f"{name}_{index}/mean_abs": _mean_abs(values) for index, values in enumerate(maps)}


# Beginning of a fixture's name -> the network of `load_torch`, and its objective. The longest one counts.
NETWORKS: dict[str, tuple[str, Callable[[Any, Any, Any, Inputs], Result]]] = {
    "video_encoder": ("video_encoder", video_encoder),
    "video_decoder": ("video_decoder", video_decoder),
    "temporal_discriminator": ("temporal_discriminator", temporal_discriminator),
    "patch_discriminator": ("patch_discriminator", patch_discriminator),
    "image_autoencoder": ("image_autoencoder", image_autoencoder),
    "flow": ("flow", flow),
    "poke_model": ("poke_model", poke_model),
    "poke_patch_discriminator": ("poke_patch_discriminator", poke_patch_discriminator),
    "poke_temporal_discriminator": ("poke_temporal_discriminator", poke_temporal_discriminator),
    "lpips_vgg16": ("lpips", lpips),
    "lpips_vgg16_pretrained": ("lpips", pretrained_lpips),
    "torchvision_vgg16": ("vgg16", vgg),
    "torchvision_vgg19": ("vgg19", vgg),
    "i3d_kinetics": ("i3d", i3d),
    "i3d_kinetics_pretrained": ("i3d", pretrained_i3d),
    "i3d_dynamic_textures": ("i3d_dynamic_textures", i3d_dynamic_textures),
    "inception_fid": ("inception_fid", inception),
}
