"""The exported sampler runs without this package, equals the generator, and has a program for each platform."""

import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from i2v_jax.configs import plants, sky
from i2v_jax.errors import UserError
from i2v_jax.sampling import export
from i2v_jax.sampling.load import assemble
from tests.compiling import HANG
from tests.sampling.random_run import stage_variables

RUNNER = """
import sys
sys.modules["i2v_jax"] = None  # importing it raises ImportError
import numpy as np
from jax import export
sampler = export.deserialize(bytearray(open(sys.argv[1], "rb").read()))
inputs = np.load(sys.argv[2])
np.save(sys.argv[3], sampler.call(inputs["start_frames"], np.uint32(7), inputs["control"]))
own = {name.partition(".")[0] for name in sys.modules} & {"flax", "distrax", "ml_collections", "configs"}
assert not own, own
"""


@pytest.fixture(scope="module")
def generator():
    config = sky.get_config("demo,runlocal")
    return assemble(config, stage_variables(config), origin="random")


def test_an_unknown_platform_is_named(generator):
    with pytest.raises(UserError) as raised:
        export.export_sampler(generator, ["cpu", "gpu"], 1)
    assert (raised.value.field, raised.value.value) == ("platforms", ("cpu", "gpu"))


@pytest.mark.slow
def test_pokes_are_given_in_pixels(tmp_path: pathlib.Path):
    config = plants.get_config("model=cinn,demo,runlocal")
    poked = assemble(config, stage_variables(config), origin="random")
    exported = export.export_sampler(poked, ["cpu"], 2)
    start_frames = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    pokes = np.array([[3, 4, 5, -2], [20, 9, 0, 4]], np.float32)
    control = poked.encode_pokes(pokes[:, :2], pokes[:, 2:])
    expected = poked.generate(start_frames, jax.random.key(7), 2, control=control)
    np.testing.assert_allclose(exported.call(start_frames, np.uint32(7), pokes), expected, atol=1e-4)
    assert "np.array([[16.0, 16.0, 4.0, 0.0]], np.float32))" in export.example(tmp_path / "model.bin", poked)


@pytest.mark.slow
@pytest.mark.parametrize("chain", ["same_z", "fresh"])
def test_it_runs_without_this_package(generator, tmp_path: pathlib.Path, chain):
    exported = export.export_sampler(generator, export.PLATFORMS, 3, frames=20, temperature=0.5, chain=chain)
    assert exported.platforms == export.PLATFORMS
    export.write(exported, tmp_path / "model.bin")
    rng = np.random.default_rng(0)
    start_frames = rng.uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    directions = np.array([3, 30], np.int32)
    np.savez(tmp_path / "inputs.npz", start_frames=start_frames, control=directions)
    command = [sys.executable, "-c", RUNNER, "model.bin", "inputs.npz", "videos.npy"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=HANG, check=False)
    assert result.returncode == 0, result.stderr

    control = generator.control.encode(directions, 32)

    def sample(images):
        return generator.generate(
            images, jax.random.key(7), 3, frames=20, temperature=0.5, control=control, chain=chain
        )

    videos, expected = np.load(tmp_path / "videos.npy"), sample(start_frames)
    assert videos.shape == expected.shape == (2, 3, 20, 32, 32, 3)
    np.testing.assert_allclose(videos[:, :, :16], expected[:, :, :16], atol=1e-4)
    # The second part starts from frames that differ by rounding: as far apart as after such a change of the first.
    rounding = np.abs(videos - expected)[:, :, 15].max()
    nudged = sample(start_frames + 2 * rounding * rng.choice([-1, 1], start_frames.shape).astype(np.float32))
    np.testing.assert_allclose(videos, expected, rtol=0, atol=max(1e-4, np.abs(nudged - expected).max()))


@pytest.mark.slow
@pytest.mark.parametrize("arguments", ["demo,runlocal", "demo,runlocal,model=cinn"])
def test_the_example_runs_without_this_package(tmp_path: pathlib.Path, arguments: str):
    """The files of all kinds of models with pokes give the same videos as the generator."""
    config = plants.get_config(arguments)
    generator = assemble(config, stage_variables(config), origin="random")
    export.write(export.export_sampler(generator, ["cpu"], 2, frames=3), tmp_path / "model.bin")
    code = ["import sys", 'sys.modules["i2v_jax"] = None', export.example(pathlib.Path("model.bin"), generator)]
    code.append('np.save("videos.npy", videos)')
    command = [sys.executable, "-c", "\n".join(code)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=HANG, check=False)
    assert result.returncode == 0, result.stderr
    control = np.asarray(generator.encode_control(generator.describe().control.example(32)))
    start_frames = np.zeros((1, 32, 32, 3), np.float32)
    expected = generator.generate(start_frames, jax.random.key(0), 2, frames=3, control=control)
    np.testing.assert_allclose(np.load(tmp_path / "videos.npy"), expected, atol=1e-4)


@pytest.mark.slow
def test_each_platform_has_its_own_convolutions(generator):
    """On the CPU frames are folded into the batch of 2D convolutions; accelerators have 3D ones."""
    three_dimensional = "[b, 0, 1, 2, f]"

    def program(*platforms):
        return export.export_sampler(generator, platforms, 1).mlir_module()

    assert three_dimensional not in program("cpu")
    assert three_dimensional in program("cuda") and three_dimensional in program("tpu")
    both = program("cpu", "cuda")
    assert three_dimensional in both and "stablehlo.case" in both
