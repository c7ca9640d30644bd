"""A poke model is trained, stopped, continued and poked."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from i2v_jax.input.procedural import plants
from tests.end_to_end.runs import checkpoints, losses, train
from tests.launch.synthesis import frames_of, launch

SPEC = (
    "plants:demo,runlocal poke.single_stage=False"  # autoencoder and dynamics in turns, discriminators from step 2 on
)


@pytest.mark.slow
def test_a_poke_model_is_trained_and_continued_and_poked(tmp_path: pathlib.Path) -> None:
    workdir = tmp_path / "run"
    train(f"{SPEC} train.checkpoint_every=3 poke.steps=3", workdir)
    train(f"{SPEC} train.checkpoint_every=3 poke.steps=4", workdir)
    folder = workdir / "poke"
    assert checkpoints(folder) == [3, 4]
    logged = losses(folder)
    assert [line["step"] for line in logged] == [1, 2, 3, 4]
    assert all(np.isfinite(list(line.values())).all() for line in logged)
    assert "discriminator_temporal" not in logged[1]
    assert {"discriminator_temporal", "discriminator_patch", "feature_matching", "static"} <= logged[2].keys()

    whole = tmp_path / "whole"
    train(f"{SPEC} train.checkpoint_every=3", whole)
    assert losses(whole / "poke") == logged  # as if it had never stopped

    Image.fromarray(plants.render("test", 0, 64, (0,))[0]).save(tmp_path / "a.png")
    done = launch(
        "launch.sample", f"--workdir={workdir}", f"--image={tmp_path / 'a.png'}", f"--out={tmp_path / 'out'}",
        "--poke=30,30,8,0", "--poke=30,30,0,-8", "--in_turn", "--scale=2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert frames_of(tmp_path / "out" / "a_in_turn.mp4") == [(64, 64)] * 12

    done = launch(
        "launch.evaluate",
        f"--workdir={workdir}",
        "--protocol=poke",
        "--metrics=psnr,ssim",
        "--shown=1",
        "--train_clips=8",
    )
    assert done.returncode == 0, done.stderr
    psnr, ssim = json.loads((workdir / "evaluations" / "poke" / "metrics.json").read_text())
    assert psnr["protocol"]["pairing"] == "aligned; conditioned on a true poke, from the exact flow over 5 frames"
    assert psnr["protocol"]["num_real"] == 8
    assert np.isfinite(psnr["values"]).all() and np.abs(ssim["values"]).max() < 1  # hardly trained: of either sign
    assert "Nearest training clips" in (workdir / "evaluations" / "poke" / "index.html").read_text()


@pytest.mark.long
def test_a_cinn_is_trained_on_pokes_and_poked(tmp_path: pathlib.Path) -> None:
    """Trains all three stages; the flow sees clips that were encoded once, with their pokes."""
    workdir = tmp_path / "run"
    train("plants:model=cinn,demo,runlocal", workdir)
    for stage in ("video_vae", "image_ae", "flow"):
        assert checkpoints(workdir / stage) == [4]
        assert all(np.isfinite(list(line.values())).all() for line in losses(workdir / stage))
    Image.fromarray(plants.render("test", 0, 64, (0,))[0]).save(tmp_path / "a.png")
    done = launch(
        "launch.sample", f"--workdir={workdir}", f"--image={tmp_path / 'a.png'}", f"--out={tmp_path / 'out'}",
        "--poke=30,30,8,0", "--num_samples=2", "--scale=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert frames_of(tmp_path / "out" / "a_00_01.mp4") == [(32, 32)] * 17
