"""The texture classifier learns kinds of motion from procedural clips and becomes a backbone."""

import pathlib

import numpy as np
import pytest

from i2v_jax.pretrained import weights
from i2v_jax.training.writers import read_metrics
from tests.end_to_end import runs
from tests.launch.synthesis import last_line, launch


@pytest.mark.long
def test_it_classifies_held_out_clips(tmp_path: pathlib.Path) -> None:
    """Chance is one in six."""
    runs.train("dtdb_i3d:embedded", tmp_path, XLA_FLAGS="")
    evaluations = [line for line in read_metrics(tmp_path / "classifier") if "eval/accuracy" in line]
    assert evaluations[-1]["eval/accuracy"] > 0.8
    assert evaluations[-1]["eval/cross_entropy"] < 0.5 * np.log(6)
    for picture in ("confusion/0001000.png", "curves/accuracy.png", "curves/cross_entropy.png"):
        assert (tmp_path / "classifier" / picture).stat().st_size > 0


@pytest.mark.long
def test_a_trained_classifier_becomes_a_backbone(
    tmp_path: pathlib.Path, cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow, whole = tmp_path / "narrow", tmp_path / "whole"
    runs.train("dtdb_i3d:runlocal", narrow)
    refused = launch("launch.weights", "--import", f"i3d_dynamic_textures_16={narrow}")
    assert refused.returncode == 2
    assert "i3d_dynamic_textures_16" in last_line(refused.stderr)
    runs.train("dtdb_i3d:runlocal classifier.network.width_divisor=1 classifier.network.classes=18", whole)
    done = launch("launch.weights", "--import", f"i3d_dynamic_textures_16={whole}")
    assert done.returncode == 0, done.stderr
    assert weights.path("i3d_dynamic_textures_16").is_file()
    assert len(weights.source_sha256("i3d_dynamic_textures_16")) == 64
    weights.path("i3d_dynamic_textures_16").unlink()
