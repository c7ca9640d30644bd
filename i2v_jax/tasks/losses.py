"""Terms of the objectives that several tasks share."""

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from ml_collections import ConfigDict

from i2v_jax.models.layers import at_least_float32


def hinge_discriminator(real: jax.Array, fake: jax.Array) -> jax.Array:
    """Returns (mean max(0, 1 - real) + mean max(0, 1 + fake)) / 2 of logits of any shape (Lim and Ye 2017)."""
    return (jnp.mean(jax.nn.relu(1 - real)) + jnp.mean(jax.nn.relu(1 + fake))) / 2


def cut(video: jax.Array, rectangles: jax.Array) -> jax.Array:
    """Returns the part of each clip inside a rectangle, resized to the frames' size, bilinear with half-pixel centers.

    Args:
        video: [B, T, H, W, C].
        rectangles: int [B, 4], top, left, height and width of each.
    """
    top, left, height, width = jnp.moveaxis(rectangles.astype(jnp.float32), -1, 0)
    rows, columns = _sampling(top, height, video.shape[2]), _sampling(left, width, video.shape[3])
    # Products of pixels, not of features: at a lower precision, frames would lose theirs.
    return jnp.einsum("bih,bthwc,bjw->btijc", rows, video, columns, precision=jax.lax.Precision.HIGHEST)


def _sampling(start: jax.Array, length: jax.Array, size: int) -> jax.Array:
    """Returns the weights [B, size, size] of linear interpolation inside [start, start + length), edges repeated."""
    centers = (jnp.arange(size) + 0.5) * length[:, None] / size - 0.5
    places = start[:, None] + jnp.clip(centers, 0, length[:, None] - 1)
    return jax.nn.relu(1 - jnp.abs(places[:, :, None] - jnp.arange(size)))


def feature_matching(real: tuple[jax.Array, ...], fake: tuple[jax.Array, ...]) -> jax.Array:
    """Returns the mean over maps of their mean absolute difference (Wang et al. 2018); real maps get no gradient."""
    differences = [
        jnp.mean(jnp.abs(at_least_float32(jax.lax.stop_gradient(a)) - at_least_float32(b)))
        for a, b in zip(real, fake, strict=True)
    ]
    return jnp.mean(jnp.stack(differences))


def adversarial_terms(
    weights: ConfigDict,
    spatial_logits: jax.Array,
    temporal_logits: jax.Array,
    real_features: tuple[jax.Array, ...],
    fake_features: tuple[jax.Array, ...],
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Returns the generator's terms from both discriminators: their weighted sum, and each term for the log.

    `weights` holds `spatial`, `temporal` and `feature_matching`; the logits are those of generated frames and clips,
    the features those of the temporal discriminator.
    """
    spatial, temporal = -jnp.mean(spatial_logits), -jnp.mean(temporal_logits)
    matching = feature_matching(real_features, fake_features)
    total = weights.spatial * spatial + weights.temporal * temporal + weights.feature_matching * matching
    return total, {"generator_spatial": spatial, "generator_temporal": temporal, "feature_matching": matching}


def fold_time(video: jax.Array) -> jax.Array:
    """Returns videos [B, T, H, W, C] as frames [B * T, H, W, C]."""
    return video.reshape(-1, *video.shape[2:])


def drawn_rows(array: jax.Array, indices: jax.Array) -> jax.Array:
    """Returns array[indices], split over the devices of the mesh that the step is traced on, if any.

    Which devices have the rows is not known before they are drawn. Left to itself, the compiler would send all of them
    to every device, and every device would compute what follows for all of them.
    """
    rows, mesh = array[indices], jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return rows
    return jax.lax.with_sharding_constraint(rows, PartitionSpec(mesh.axis_names))
