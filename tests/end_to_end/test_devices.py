"""One device, eight devices and two processes train the same networks."""

import pathlib
import signal
import socket

import jax
import numpy as np
import pytest

from i2v_jax.training.checkpoint import load_networks
from tests.end_to_end import runs

_COMMON = "runlocal,size=32,data.num_clips.train=16,data.num_clips.eval=8,train.ema=0"
_VIDEO_VAE = f"sky.py:{_COMMON},stage=video_vae,video_vae.batch_size=8,video_vae.steps=5"
_IMAGE_AE = f"sky.py:{_COMMON},stage=image_ae,image_ae.batch_size=8"
_RATE, _STEPS = 2e-4, 5


def assert_same_losses(one: pathlib.Path, other: pathlib.Path) -> None:
    """The first step sees the same parameters, so that only the order of sums differs: 1e-4 of the value, which is some
    hundred times float32's rounding. The later steps see parameters that Adam has moved apart (see below): 2e-2. Norms
    of gradients are left out: rounding tips a ReLU or a maximum over, which moved them by up to 4e-2 in these runs.
    """
    lines, others = (
        [{name: value for name, value in line.items() if not name.startswith("gradient_norm")} for line in lines]
        for lines in (runs.losses(one), runs.losses(other))
    )
    assert len(lines) == len(others) > 1
    for index, (line, expected) in enumerate(zip(others, lines, strict=True)):
        tolerance = 1e-4 if index == 0 else 2e-2
        assert line == pytest.approx(expected, rel=tolerance, abs=tolerance), f"step {index + 1}"


def assert_same_parameters(one: pathlib.Path, other: pathlib.Path) -> None:
    """Adam divides the gradient by its size, so a parameter whose gradient is nothing but rounding (a bias before a
    norm) moves by the whole rate in a random direction. All others must follow: 95 of 100 to a hundredth of the way
    that Adam can go, rate x steps.
    """
    a, b = (jax.tree.leaves(load_networks(folder)["params"]) for folder in (one, other))
    difference = np.concatenate([np.abs(x - y).ravel() for x, y in zip(a, b, strict=True)])
    assert np.quantile(difference, 0.95) < 0.01 * _RATE * _STEPS
    # |m| / sqrt(v) with the decays 0.5 and 0.9 is at most 0.5 / sqrt(0.1) = 1.6 per step, in either run.
    assert difference.max() < 2 * 1.6 * _RATE * _STEPS


@pytest.mark.slow
def test_eight_devices_with_sharded_parameters(tmp_path: pathlib.Path) -> None:
    one, eight = tmp_path / "one", tmp_path / "eight"
    runs.train(_VIDEO_VAE, one)
    runs.train(
        f"{_VIDEO_VAE},mesh.data=4,mesh.fsdp=2,mesh.fsdp_min_size=64",
        eight,
        XLA_FLAGS="--xla_force_host_platform_device_count=8",
    )
    assert {"critic_temporal", "generator_spatial", "gradient_penalty"} <= runs.losses(one / "video_vae")[0].keys()
    assert_same_losses(one / "video_vae", eight / "video_vae")
    assert_same_parameters(one / "video_vae", eight / "video_vae")


def _start_two(spec: str, workdir: pathlib.Path) -> list:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        runs.start(
            spec,
            workdir,
            JAX_COORDINATOR_ADDRESS=f"127.0.0.1:{port}",
            JAX_NUM_PROCESSES="2",
            JAX_PROCESS_ID=str(index),
        )
        for index in range(2)
    ]


@pytest.mark.slow
def test_two_processes(tmp_path: pathlib.Path) -> None:
    spec = f"{_IMAGE_AE},image_ae.steps=5"
    runs.train(spec, tmp_path / "one")
    for process in _start_two(spec, tmp_path / "two"):
        status, output = runs.finish(process)
        assert status == 0, output
    assert_same_losses(tmp_path / "one" / "image_ae", tmp_path / "two" / "image_ae")
    assert_same_parameters(tmp_path / "one" / "image_ae", tmp_path / "two" / "image_ae")


@pytest.mark.slow
def test_a_signal_to_one_of_two_processes_stops_both(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "image_ae"
    spec = f"{_IMAGE_AE},image_ae.steps=1000000,train.checkpoint_every=1000000,train.evaluate_every=1000000"
    processes = _start_two(f"{spec},train.preview_every=1000000", tmp_path)
    runs.wait_until(lambda: 3 in runs.steps(folder), processes[0])
    processes[1].send_signal(signal.SIGTERM)
    for process in processes:
        status, output = runs.finish(process)
        assert status == 0, output
        assert "image_ae: stopped and saved" in output
    assert runs.checkpoints(folder) == [runs.steps(folder)[-1]]
