"""One device, four devices and two processes train the same networks."""

import pathlib
import signal

import jax
import numpy as np
import pytest

from i2v_jax.training.interrupt import INTERRUPTED
from i2v_jax.training.saved_networks import load_networks
from tests import compiling
from tests.end_to_end import runs

_COMMON = "data.num_clips.train=16 data.num_clips.eval=8 train.ema=0"
_VIDEO_VAE = f"sky:runlocal,size=32,stage=video_vae {_COMMON} video_vae.batch_size=4 video_vae.steps=3"
_IMAGE_AE = f"sky:runlocal,size=32,stage=image_ae {_COMMON} image_ae.batch_size=8"


def losses_of(folder: pathlib.Path) -> list[dict[str, float]]:
    """Returns the losses, without gradient norms, which jump when rounding flips a ReLU or a maximum."""
    return [
        {name: value for name, value in line.items() if not name.startswith("gradient_norm")}
        for line in runs.losses(folder)
    ]


@pytest.mark.slow
def test_four_devices_with_sharded_parameters(tmp_path: pathlib.Path) -> None:
    """Computed and kept in double precision, so that it is the order of sums that shows and not the chaos of untrained
    networks: in float32 Adam divides a gradient that is rounding by its size, and a ReLU tips over. With eight devices,
    metrics were 1e-7 apart, the float32 that they are written in, and parameters 2.3e-10.
    """
    one, four = tmp_path / "one", tmp_path / "four"
    double = " dtype=float64"
    runs.train(_VIDEO_VAE + double, one, JAX_ENABLE_X64="1")
    sharded = f"{_VIDEO_VAE} mesh.data=2 mesh.fsdp=2 mesh.fsdp_min_size=64 mesh.shard_optimizer=true"
    flags = f"{compiling.XLA_FLAGS} --xla_force_host_platform_device_count=4"
    runs.train(sharded + double, four, JAX_ENABLE_X64="1", XLA_FLAGS=flags)
    lines, others = losses_of(one / "video_vae"), losses_of(four / "video_vae")
    assert {"discriminator_temporal", "generator_spatial", "gradient_penalty"} <= lines[0].keys()
    assert len(lines) == len(others) == 3
    for line, other in zip(lines, others, strict=True):
        assert other == pytest.approx(line, rel=1e-6, abs=1e-6), line["step"]
    params, other_params = (load_networks(folder / "video_vae")["params"] for folder in (one, four))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-8), params, other_params)


@pytest.mark.slow
def test_two_processes(tmp_path: pathlib.Path) -> None:
    spec = f"{_IMAGE_AE} image_ae.steps=2"
    runs.train(spec, tmp_path / "one")
    for process in runs.start_job(2, runs.train_command(spec, tmp_path / "two")):
        status, output = runs.finish(process)
        assert status == 0, output
    lines, others = losses_of(tmp_path / "one" / "image_ae"), losses_of(tmp_path / "two" / "image_ae")
    assert len(lines) == len(others) == 2
    # Float32: the first step differs by the order of sums alone, the second by what Adam made of the difference.
    for line, other, tolerance in zip(lines, others, (1e-4, 2e-2), strict=True):
        assert other == pytest.approx(line, rel=tolerance, abs=tolerance), line["step"]


@pytest.mark.slow
def test_a_signal_to_one_of_two_processes_stops_both(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "image_ae"
    spec = f"{_IMAGE_AE} image_ae.steps=1000000 train.checkpoint_every=2 train.evaluate_every=1000000"
    processes = runs.start_job(2, runs.train_command(f"{spec} train.preview_every=1000000", tmp_path))
    runs.wait_until(lambda: 3 in runs.steps(folder), processes[0])
    processes[1].send_signal(signal.SIGTERM)
    for index, process in enumerate(processes):
        status, output = runs.finish(process)
        assert status == INTERRUPTED, output
        assert ("image_ae: stopped and saved" in output) == (index == 0)
    assert runs.checkpoints(folder)[-1] == runs.steps(folder)[-1]
