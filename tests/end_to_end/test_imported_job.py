"""A model of the authors, imported by command, is trained further, sampled and evaluated like any other."""

import pathlib
import re

import jax
import numpy as np
import pytest
from PIL import Image

from i2v_jax.input.procedural import sky
from i2v_jax.training.saved_networks import load_networks
from tests.end_to_end.runs import checkpoints, losses, train
from tests.launch.synthesis import frames_of, launch
from tests.torch_interop.releases import release_files

RATE = 2e-4
# Clips of the sky in place of BAIR's, which are not here.
CHANGES = (
    "stage=video_vae data.name=sky data.workers=0 data.num_clips.train=4 data.num_clips.eval=2 data.num_clips.test=2 "
    f"video_vae.batch_size=2 video_vae.steps=1 video_vae.loss.perceptual_network=laplacian "
    f"video_vae.optimizer.learning_rate={RATE}"
)


@pytest.mark.long
def test_an_imported_model_is_trained_on(tmp_path: pathlib.Path) -> None:
    folders = release_files.write_release(tmp_path / "release")
    workdir = tmp_path / "run"
    parts = [f"--{part}={getattr(folders, part)}" for part in ("stage1", "ae", "stage2")]
    done = launch("launch.import_torch", "--kind=cinn", *parts, f"--workdir={workdir}")
    assert done.returncode == 0, done.stderr
    before = load_networks(workdir / "video_vae")["params"]
    (options,) = re.findall(r"launch\.train --config=(.*) --workdir=", done.stdout)

    said = train(f"{options.replace('--config.', '')} {CHANGES}", workdir)
    assert "decoder, encoder" in said
    assert checkpoints(workdir / "video_vae")[-1] == 1
    assert all(np.isfinite(list(line.values())).all() for line in losses(workdir / "video_vae"))
    after = load_networks(workdir / "video_vae")["params"]
    for network in ("encoder", "decoder"):  # the first step of Adam is as long as the rate
        moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), after[network], before[network])
        assert 0.9 * RATE < max(jax.tree.leaves(moved)) < 1.01 * RATE

    Image.fromarray(sky.render("test", 0, 64, (0,))[0]).save(tmp_path / "a.png")
    out = tmp_path / "out"
    done = launch("launch.sample", f"--workdir={workdir}", f"--image={tmp_path / 'a.png'}", f"--out={out}",
                  "--num_samples=2", "--scale=1")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert frames_of(out / "a_01.mp4") == [(64, 64)] * 17
    done = launch("launch.evaluate", f"--workdir={workdir}", "--metrics=psnr", "--clips=2", "--shown=0", "--repeats=1")
    assert done.returncode == 0, done.stderr
    assert (workdir / "evaluations").is_dir()
