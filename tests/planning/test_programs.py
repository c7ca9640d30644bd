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

BATCH = 24  # clips
SHARED = 2000  # elements of the smallest array that devices share: as by default, no vector of a spectral norm
STAGES = [
    ("bair:runlocal", "video_vae"),
    ("bair:runlocal", "image_ae"),
    ("bair:runlocal", "flow"),
    ("iper:model=poke,runlocal", "poke"),
    ("dtdb_i3d:runlocal", "classifier"),
]
OWN = {"classifier": ["data.num_clips.train=24"]}  # one batch
COMPILERS = {"v5e:2x2": "libtpu", "h100:4": "jax_cuda12_plugin"}
# float32 arrays as large as activations that a bfloat16 step has for a reason: where they come from, and the reason.
FLOAT32 = {
    r"jvp\(\)|_reconstruction|/slice|select_n.*video|Decoder\)/.*tanh": "frames, their differences: losses are float32",
    r"LPIPS|VGG|vgg": "LPIPS compares features in float32; the gradient of a comparison has its type",
    r"jit\(_normalize\)|norm\d/convert_element_type": "statistics are float32, and so are their gradients",
    r"batch\[": "the batch, before it is converted",
}
# What is gathered besides parameters for a reason: the gradient of frames that are drawn from the whole batch.
DRAWN = r"transpose\(jvp\(\)\)/scatter-add"


@pytest.fixture(scope="module", params=[(*stage, name) for name in COMPILERS for stage in STAGES], ids=str)
def steps(request):
    """Returns the programs of a stage on four devices that share its parameters in pairs, and the request."""
    spec, stage, name = request.param
    if importlib.util.find_spec(COMPILERS[name]) is None:
        pytest.skip(f"{COMPILERS[name]} is not installed")
    mesh = ["mesh.data=2", "mesh.fsdp=2", f"mesh.fsdp_min_size={SHARED}"]
    config = config_files.load(spec, ["dtype=bfloat16", f"{stage}.batch_size={BATCH}", *mesh, *OWN.get(stage, [])])
    compiled = list(compile_steps(Request(spec, config, stage, open_topology(name))))
    assert compiled and all(step.compiled.text for step in compiled)
    return [(step, text.parse(step.compiled.text)) for step in compiled]


def test_no_device_gets_the_activations_of_others(steps):
    """What is gathered is parameters, and nothing else as large as a frame of each clip of a device."""
    for step, program in steps:
        video = step.arguments[2]["video"]
        frames = 2 * math.prod((BATCH // len(video.sharding.device_set), *video.shape[2:]))  # bytes in bfloat16
        shapes = {axes for _, axes in _parameters(step)}
        others = [item for gather in _gathers(program) for item in _arrays(gather) if _axes(item[0].dims) not in shapes]
        assert not [item for item in others if item[0].bytes >= frames and not re.search(DRAWN, item[1])]


def test_no_parameter_is_gathered_twice_in_a_pass(steps):
    """A forward or a backward pass of an update gathers a kernel once, for its spectral norm and its layer alike."""
    for step, program in steps:
        parameters = _parameters(step)
        alike, counts = Counter(axes for _, axes in parameters), Counter()
        for each in _gathers(program):
            for shape, source in _arrays(each):
                axes = _axes(shape.dims)
                modules = [path for path, its_axes in parameters if its_axes == axes and f"/{path}/" in source]
                place = source.partition(f"/{modules[0]}/")[0] if modules else source
                large = axes in alike and shape.size >= SHARED
                counts[place, modules[0] if modules else "", axes] += each.times * large
        expected = {key: len(step.updates) * (1 if key[1] else alike[key[2]]) for key in counts}
        assert not {key: count for key, count in counts.items() if count > expected[key]}


def test_loops_exchange_nothing(steps):
    """What a loop needs is gathered before it, and its gradients are summed over devices after it."""
    for _, program in steps:
        assert not [each for each in collectives(program) if each.times > 1]


def test_convolutions_have_windows_of_kernels(steps):
    """With a window as large as a frame, XLA has not seen that a convolution is the gradient of a kernel."""
    for step, _ in steps:
        windows = re.findall(r"window=\{size=([\dx]+)[^\n]*custom_call_target=\"__cudnn\$conv", step.compiled.text)
        kernels = {
            tuple(shape[:-2]) for shape in (leaf.shape for leaf in _leaves(step.arguments[:2])) if len(shape) > 3
        }
        # Repeated frames need two taps in time, transposed convolutions two by two in space.
        allowed = kernels | {(2, *size[1:]) for size in kernels} | {(2, 2)}
        assert {tuple(map(int, window.split("x"))) for window in windows} <= allowed


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
            and each.instruction.opcode != "copy-start"  # between the memories of a TPU: no new array
            and shape.moved_bytes
            and shape.size >= activation
            and _axes(shape.dims) not in shapes
        }
        assert not [item for item in found if not any(re.search(pattern, item[0]) for pattern in FLOAT32)]


def _gathers(program):
    return [each for each in collectives(program) if each.kind == "all-gather"]


def _arrays(gather):
    """Returns (shape, source) of each array that was gathered. Gathers that XLA joined have one name, of all theirs."""
    outer, joined, inner = gather.source.partition("/(")
    sources = [f"{outer}/{name}" for name in inner.removesuffix(")").split(":")] if joined else []
    if len(sources) != len(gather.results):
        sources = [gather.source] * len(gather.results)
    return list(zip(gather.results, sources, strict=True))


def _parameters(step):
    """Returns the path of its module, below the network, and the axes of each parameter."""
    import jax

    state, frozen = step.arguments[:2]
    trees = [*state.params.values(), *(network["params"] for network in frozen.values())]
    leaves = [leaf for tree in trees for leaf in jax.tree_util.tree_leaves_with_path(tree)]
    return [("/".join(str(key.key) for key in path[:-1]), _axes(leaf.shape)) for path, leaf in leaves]


def _leaves(tree):
    import jax

    return jax.tree.leaves(tree)


def _axes(shape):
    return tuple(sorted(size for size in shape if size > 1))
