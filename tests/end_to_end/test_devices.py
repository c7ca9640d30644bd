"""One device, eight devices and two processes train the same networks."""

import pathlib
import signal
import socket

import pytest

from tests.end_to_end import runs

_COMMON = "runlocal,size=32,data.num_clips.train=16,data.num_clips.eval=8,train.ema=0"
_VIDEO_VAE = f"sky.py:{_COMMON},stage=video_vae,video_vae.batch_size=8,video_vae.steps=2"
_IMAGE_AE = f"sky.py:{_COMMON},stage=image_ae,image_ae.batch_size=8"


def assert_same_losses(one: pathlib.Path, other: pathlib.Path) -> None:
    """The first step sees the same parameters, so that only the order of sums differs: 1e-4 of the value, which is some
    hundred times float32's rounding. The second sees what Adam made of it: 2e-2, because Adam divides a gradient by its
    size and so moves a parameter whose gradient is mostly rounding by the whole rate. From the third step on these
    untrained, badly conditioned networks drift apart in float32 (7e-2 was seen); that five steps agree, parameters
    included, is shown on a well-conditioned task by tests/training/test_loop.py. Norms of gradients are left out:
    rounding tips a ReLU or a maximum over.
    """
    lines, others = (
        [{name: value for name, value in line.items() if not name.startswith("gradient_norm")} for line in lines]
        for lines in (runs.losses(one), runs.losses(other))
    )
    assert len(lines) == len(others) == 2
    for line, expected, tolerance in zip(others, lines, (1e-4, 2e-2), strict=True):
        assert line == pytest.approx(expected, rel=tolerance, abs=tolerance), line["step"]


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
    spec = f"{_IMAGE_AE},image_ae.steps=2"
    runs.train(spec, tmp_path / "one")
    for process in _start_two(spec, tmp_path / "two"):
        status, output = runs.finish(process)
        assert status == 0, output
    assert_same_losses(tmp_path / "one" / "image_ae", tmp_path / "two" / "image_ae")


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
