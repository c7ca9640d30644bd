"""InceptionV3's layout and its pools. The values of the FID network are checked against the fixture in interop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.pretrained.networks.inception import Block, InceptionV3, Pool, blocks, pool_stem
from tests.models.random_variables import random_variables


@pytest.mark.parametrize("variant", ["fid", "torchvision", "torchvision_average_stem"])
def test_has_as_many_parameters_as_torchvision_s(variant):
    """Torchvision's model has 23834568 without its second classifier, of which the first has 2048 * 1000 + 1000."""
    shapes = jax.eval_shape(InceptionV3(variant).init, jax.random.key(0), jnp.zeros((1, 299, 299, 3)))["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 23_834_568 - 2_049_000


def _as_pytorch(pool, x, **arguments):
    torch = pytest.importorskip("torch")
    y = getattr(torch.nn.functional, pool)(torch.tensor(x.transpose(0, 3, 1, 2)), 3, **arguments)
    return y.numpy().transpose(0, 2, 3, 1)


@pytest.mark.parametrize("size", [(7, 8), (9, 9)])
def test_pools_are_pytorch_s(size):
    x = np.random.default_rng(0).standard_normal((2, *size, 4)).astype(np.float32)

    def pool(kind, exclude_padding=False):
        return Block(((Pool(kind),),), exclude_padding, jnp.float32).apply({}, x)

    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    for exclude in (False, True):
        expected = _as_pytorch("avg_pool2d", x, stride=1, padding=1, count_include_pad=not exclude)
        close(pool("average", exclude), expected)
    close(pool("max"), _as_pytorch("max_pool2d", x, stride=1, padding=1))
    close(pool("reduce"), _as_pytorch("max_pool2d", x, stride=2))
    for variant in ("fid", "torchvision"):
        close(pool_stem(x, variant), _as_pytorch("max_pool2d", x, stride=2))
    close(pool_stem(x, "torchvision_average_stem"), _as_pytorch("avg_pool2d", x, stride=2))


@pytest.mark.parametrize(("variant", "last"), [("fid", "max"), ("torchvision", "average")])
def test_which_pools_a_variant_has(variant, last):
    kinds = {
        name: [step.kind for branch in branches for step in branch if isinstance(step, Pool)]
        for name, branches in blocks(variant).items()
    }
    assert kinds.pop("mixed_7c") == [last]
    reducing = [name for name, pools in kinds.items() if pools == ["reduce"]]
    assert reducing == ["mixed_6a", "mixed_7a"]
    assert all(pools == ["average"] for name, pools in kinds.items() if name not in reducing)


@pytest.mark.parametrize("variant", ["fid", "torchvision"])
@pytest.mark.parametrize("name", ["mixed_7b", "mixed_7c"])
def test_the_pooled_branch_of_the_last_blocks_is_pytorch_s(variant, name):
    """The networks differ here: the FID network excludes padding from averages, and ends with a maximum."""
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(1).uniform(0, 1, (2, 5, 4, 24)).astype(np.float32)
    block = Block(blocks(variant)[name][-1:], variant == "fid", jnp.float32)
    variables = jax.tree.map(np.float32, random_variables(block, x))
    (params, statistics) = (variables[kind]["branch_pool"] for kind in ("params", "batch_stats"))
    y, kernel = (torch.tensor(np.asarray(a)) for a in (x.transpose(0, 3, 1, 2), params["conv"]["kernel"]))
    if (variant, name) == ("fid", "mixed_7c"):
        y = torch.nn.functional.max_pool2d(y, 3, stride=1, padding=1)
    else:
        y = torch.nn.functional.avg_pool2d(y, 3, stride=1, padding=1, count_include_pad=variant != "fid")
    y = torch.nn.functional.conv2d(y, kernel.permute(3, 2, 0, 1))
    norm = [torch.tensor(np.asarray(a)) for a in (*(statistics["norm"][k] for k in ("mean", "var")),
                                                  *(params["norm"][k] for k in ("scale", "bias")))]  # fmt: skip
    y = torch.relu(torch.nn.functional.batch_norm(y, *norm, eps=1e-3)).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(block.apply(variables, x), y, rtol=1e-4, atol=1e-5)
