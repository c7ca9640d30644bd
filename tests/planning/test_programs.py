"""What compiled steps must not do, read from the programs of narrow networks of every stage."""

import importlib.util
import math
import re
from collections import Counter

import pytest

from i2v_jax import config_files
from i2v_jax.hlo import text
from i2v_jax.hlo.collectives import collectives
from i2v_jax.planning.compiling import compile_steps
from i2v_jax.planning.programs import Request
from i2v_jax.planning.topology import open_topology

pytestmark = pytest.mark.long

BATCH, SHARED = 24, 1000  # clips; elements of the smallest parameter that devices share
STAGES = [
    ("bair:runlocal", "video_vae"),
    ("bair:runlocal", "image_ae"),
    ("bair:runlocal", "flow"),
    ("iper:model=poke,runlocal", "poke"),
    ("dtdb_i3d:runlocal", "classifier"),
]
COMPILERS = {"v5e:2x2": "libtpu", "h100:4": "jax_cuda12_plugin"}
# float32 arrays as large as activations that a bfloat16 step has for a reason: where they come from, and the reason.
FLOAT32 = {
    r"jvp\(\)|_reconstruction|/slice|select_n.*video": "frames and their differences: losses are float32",
    r"LPIPS|VGG|vgg": "LPIPS compares features in float32; the gradient of a comparison has its type",
    r"batch\[": "the batch, before it is converted",
}


@pytest.fixture(scope="module", params=[(*stage, name) for name in COMPILERS for stage in STAGES], ids=str)
def steps(request):
    """Returns the programs of a stage on four devices that share its parameters in pairs, and the request."""
    spec, stage, name = request.param
    if importlib.util.find_spec(COMPILERS[name]) is None:
        pytest.skip(f"{COMPILERS[name]} is not installed")
    mesh = ["mesh.data=2", "mesh.fsdp=2", f"mesh.fsdp_min_size={SHARED}"]
    config = config_files.load(spec, ["dtype=bfloat16", f"{stage}.batch_size={BATCH}", *mesh])
    compiled = list(compile_steps(Request(spec, config, stage, open_topology(name))))
    assert compiled and all(step.compiled.text for step in compiled)
    return [(step, text.parse(step.compiled.text)) for step in compiled]


def test_no_device_gets_the_whole_batch(steps):
    """A frame of each clip in bfloat16 is more than all that may be gathered, which is parameters."""
    for step, program in steps:
        video = step.arguments[2].get("video")
        frames = 2 * math.prod((BATCH, *video.shape[2:]))
        gathered = [each for each in collectives(program) if each.kind == "all-gather"]
        assert not [each for each in gathered if each.bytes >= frames]


def test_no_parameter_is_gathered_twice_in_a_pass(steps):
    """An operation of the forward or of the backward pass has at most one gather as large as a shared parameter."""
    for _, program in steps:
        gathers = [each for each in collectives(program) if each.kind == "all-gather" and each.bytes >= 2 * SHARED]
        counts = Counter((each.source, each.bytes) for each in gathers for _ in range(each.times))
        assert not {source: count for source, count in counts.items() if count > 1}


def test_activations_are_not_float32(steps):
    """No float32 array is as large as the activations of a video, except for those that have a reason."""
    for step, program in steps:
        video = step.arguments[2]["video"]
        activation = math.prod(video.shape) // len(video.sharding.device_set)  # elements of a device's clips
        shapes = {_axes(leaf.sharding.shard_shape(leaf.shape)) for leaf in _leaves(step.arguments[:2])}
        shapes |= {_axes(leaf.shape) for leaf in _leaves(step.arguments[:2])}
        found = {
            (each.instruction.source, shape.dims)
            for each in program.executed
            for shape in each.instruction.shapes
            if shape.dtype == "f32"
            and shape.moved_bytes
            and shape.size >= activation
            and _axes(shape.dims) not in shapes
        }
        assert not [item for item in found if not any(re.search(pattern, item[0]) for pattern in FLOAT32)]


def _leaves(tree):
    import jax

    return jax.tree.leaves(tree)


def _axes(shape):
    return tuple(sorted(size for size in shape if size > 1))
