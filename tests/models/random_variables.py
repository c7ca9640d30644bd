"""Random variables of a module without compiling its initializers."""

import jax
import numpy as np


def random_variables(module, *inputs):
    """Returns variables of `module` for inputs of these shapes, float32."""
    return drawn(jax.eval_shape(module.init, jax.random.key(0), *inputs))


def drawn(shapes):
    """Draws kernels scaled by their fan-in, unit spectral vectors, and scales and variances around 1, in float32."""
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        noise = rng.standard_normal(leaf.shape).astype(np.float32)
        name = path[-1].key
        if name == "kernel":
            return noise / np.sqrt(np.prod(leaf.shape[:-1]))
        if name in ("u", "v"):
            return noise / np.linalg.norm(noise)
        return 0.1 * noise + (1 if name in ("scale", "var") else 0)

    return jax.tree_util.tree_map_with_path(draw, shapes)
