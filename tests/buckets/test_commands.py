"""Commands as a user runs them, on a work directory in a bucket."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from i2v_jax.configs import sky
from i2v_jax.evaluation.records import read_records
from tests.buckets.test_buckets import listing, upload
from tests.launch.synthesis import launch
from tests.sampling.random_run import write_run


@pytest.mark.slow
def test_a_model_in_a_bucket_is_evaluated_compared_and_sampled(bucket: str, tmp_path: pathlib.Path) -> None:
    config = sky.get_config("demo,runlocal")
    config.data.num_clips.update(train=4, test=4)
    write_run(tmp_path / "run", config)
    upload(tmp_path / "run", f"{bucket}/run")
    numbers = ("--metrics=psnr,ssim", "--clips=2", "--batch_size=2", "--shown=1", "--train_clips=0")
    evaluated = launch("launch.evaluate", f"--workdir={bucket}/run", *numbers)
    assert evaluated.returncode == 0, evaluated.stderr
    folder = f"{bucket}/run/evaluations/sky"
    assert {record.protocol.metric for record in read_records(f"{folder}/metrics.json")} == {"psnr", "ssim"}
    assert {"metrics.md", "index.html", "curve_psnr.png"} <= set(listing(folder))
    assert not any(name.startswith("unfinished") for name in listing(folder))

    compared = launch("launch.report", f"{bucket}/run", f"--out={bucket}/comparison")
    assert compared.returncode == 0, compared.stderr
    assert {"comparison.md", "index.html"} <= set(listing(f"{bucket}/comparison"))

    Image.fromarray(np.full((32, 32, 3), 100, np.uint8)).save(tmp_path / "a.png")
    options = (f"--image={tmp_path}/a.png", "--num_samples=2", "--direction=90", f"--out={bucket}/videos")
    sampled = launch("launch.sample", f"--workdir={bucket}/run", *options)
    assert sampled.returncode == 0, sampled.stderr
    assert any(name.endswith(".mp4") for name in listing(f"{bucket}/videos"))
    assert not pathlib.Path("gs:").exists()
