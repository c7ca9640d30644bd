"""With `remat`, networks have the same parameters and values, and their backward passes keep less."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.models.convgru import Dynamics
from i2v_jax.models.discriminators import PatchTemporalDiscriminator, TemporalDiscriminator
from i2v_jax.models.image_autoencoder import ImageDecoder, ImageEncoder
from i2v_jax.models.poke_model import FrameDecoder, ObjectEncoder
from i2v_jax.models.resnet3d import VideoEncoder
from i2v_jax.models.video_decoder import VideoDecoder
from i2v_jax.pretrained.networks.i3d import I3D
from tests.models.random_variables import drawn

_CHANNELS = ((8,) * 5, (1, 2, 2, 2), (1, 1, 2, 2))
_VIDEO, _IMAGES = np.ones((1, 16, 32, 32, 3), np.float32), np.ones((2, 32, 32, 3), np.float32)
_STATES = tuple(np.ones((2, size, size, 8), np.float32) for size in (8, 8, 16))

# name -> (module, arguments, how it is called in training)
NETWORKS = {
    "video decoder": (VideoDecoder(8, 2, (2, 1), (1, 1)), (_IMAGES[:1], np.ones((1, 8), np.float32)), {"train": True}),
    "video encoder": (VideoEncoder(8, *_CHANNELS), (_VIDEO,), {}),
    "temporal discriminator": (TemporalDiscriminator(*_CHANNELS), (_VIDEO,), {"train": True}),
    "patch temporal discriminator": (PatchTemporalDiscriminator(2), (_VIDEO[:, :6],), {"train": True}),
    "image encoder": (ImageEncoder(8, "bn", "resnet18", 8), (_IMAGES,), {"train": True}),
    "image decoder": (ImageDecoder(32, 32, 4, 8, 8), (np.ones((2, 32), np.float32),), {"train": True}),
    "object encoder": (ObjectEncoder((8, 8), 8), (_IMAGES,), {}),
    "frame decoder": (FrameDecoder((8, 8)), (_STATES,), {}),
    "dynamics": (Dynamics(), (_STATES, _STATES[0], 10), {}),
    "classifier": (I3D(8, width_divisor=16), (_VIDEO,), {"train": True}),
}

QUICK = ("image decoder", "object encoder", "frame decoder", "dynamics")


def functions(name, dtype=jnp.float32):
    """Returns two functions of the parameters, without and with `remat`, and parameters for both."""
    module, arguments, options = NETWORKS[name]
    assert not module.remat
    module = module.clone(dtype=dtype)
    shapes = [
        jax.eval_shape(lambda rng, m=m: m.init(rng, *arguments), jax.random.key(0))
        for m in (module, module.clone(remat=True))
    ]
    assert shapes[0] == shapes[1]
    variables = {name: jax.tree.map(lambda leaf: leaf.astype(dtype), drawn(tree)) for name, tree in shapes[0].items()}

    def function(module, params):
        outputs, changed = module.apply({**variables, "params": params}, *arguments, **options, mutable=True)
        return jnp.stack([jnp.mean(jnp.square(leaf)) for leaf in jax.tree.leaves(outputs)]).sum(), changed

    return [lambda params, m=m: function(m, params) for m in (module, module.clone(remat=True))], variables["params"]


def kept(function, params):
    """Returns how many values the backward pass keeps, besides the parameters."""
    pullback = jax.eval_shape(lambda params: jax.vjp(function, params, has_aux=True)[1], params)
    return sum(leaf.size for leaf in jax.tree.leaves(pullback)) - sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS]
)
def test_less_is_kept(name):
    """At least a third less; of the temporal discriminator, both keep the features that the losses compare."""
    (plain, remat), params = functions(name)
    assert kept(remat, params) < 2 / 3 * kept(plain, params)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["image decoder", "dynamics"])
def test_gradients_and_collections_are_the_same(name):
    """In double precision: another program orders sums in another way, which changes some 1e-16 of a term."""
    with jax.enable_x64(True):
        (plain, remat), params = functions(name, jnp.float64)
        (expected, collections), (gradients, others) = (
            jax.jit(jax.grad(function, has_aux=True))(params) for function in (plain, remat)
        )
        largest = max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(expected))
        assert largest > 0
        for ours, theirs in ((gradients, expected), (others, collections)):
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11 * largest), ours, theirs)
