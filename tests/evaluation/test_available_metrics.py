"""Metrics with missing weights are named, each with the command that gets them."""

from i2v_jax.evaluation.measure import available_metrics
from i2v_jax.evaluation.protocols import get_protocol


def test_metrics_without_weights_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("I2V_JAX_CACHE", str(tmp_path))
    metrics = get_protocol("landscape").metrics
    available, missing = available_metrics(metrics)
    assert available == ("psnr", "ssim", "log_likelihood", "bits_per_dimension")
    lines = {line.split()[0]: line for line in missing}
    assert lines.keys() == set(metrics) - set(available)
    assert "I3D_32.pth.tar" in lines["dtfvd_32"]
