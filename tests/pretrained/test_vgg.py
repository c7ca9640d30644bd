"""VGG's layout. Its values are checked against the fixtures in interop."""

import jax
import jax.numpy as jnp
import pytest

from i2v_jax.pretrained.networks.vgg import VGG, convolution_indices


# The convolutions of torchvision's models: 138357544 and 143667240 parameters less the classifier's 123642856.
@pytest.mark.parametrize(("depth", "count"), [(16, 14_714_688), (19, 20_024_384)])
def test_has_as_many_parameters_as_torchvision_s(depth, count):
    shapes = jax.eval_shape(VGG(depth).init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count


def test_odd_sizes_lose_their_last_row_and_column():
    features, _ = jax.eval_shape(VGG(16).init_with_output, jax.random.key(0), jnp.zeros((1, 37, 34, 3)))
    assert [features[layer].shape[1:] for layer in (1, 6, 11, 18, 29)] == [
        (37, 34, 64), (18, 17, 128), (9, 8, 256), (4, 4, 512), (2, 2, 512)
    ]  # fmt: skip


def test_unknown_depth_is_named():
    with pytest.raises(ValueError, match="11"):
        convolution_indices(11)
