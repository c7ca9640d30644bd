"""What cannot be measured: requests, samples, and values that are not finite."""

import dataclasses
import pathlib

import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.evaluation import results
from i2v_jax.evaluation.evaluated_model import EvaluatedModel
from i2v_jax.evaluation.measure import Request, measure
from i2v_jax.evaluation.protocols import get_protocol


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"clips": 3}, "metrics", "fvd"),
        ({"protocol": dataclasses.replace(get_protocol("sky"), frames=7)}, "metrics", "fvd"),
        ({"metrics": ("dtfvd_16",)}, "metrics", "dtfvd_16"),
        ({"metrics": ("kvd",)}, "metrics", "kvd"),
    ],
)
def test_requests_that_cannot_be_measured(
    model: EvaluatedModel, request_of_sky: Request, tmp_path: pathlib.Path, changes: dict, field: str, value: str
) -> None:
    with pytest.raises(UserError) as raised:
        measure(model, dataclasses.replace(request_of_sky, **changes), tmp_path)
    assert (raised.value.field, raised.value.value) == (field, value)
    assert not list(tmp_path.iterdir())


def test_a_split_that_does_not_exist(model: EvaluatedModel, request_of_sky: Request, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError):
        measure(model, dataclasses.replace(request_of_sky, split="validation"), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "bad",
    [lambda x: x * np.nan, lambda x: (x + 1) * 127.5, lambda x: (x + 1) / 2, lambda x: x * 0],
    ids=["NaN", "[0, 255]", "[0, 1]", "constant"],
)
def test_samples_that_cannot_be_measured(
    model: EvaluatedModel, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, bad
) -> None:
    def sample(self, clips, example_ids, seed, samples, frames):
        return bad(clips["video"][:, None, 1 : 1 + frames])

    monkeypatch.setattr(EvaluatedModel, "sample", sample)
    request = Request(get_protocol("sky"), ("psnr",), clips=2)
    with pytest.raises(UserError) as raised:
        measure(model, request, tmp_path, batch_size=2)
    assert raised.value.field == "generated"


def test_a_perfect_copy_has_no_finite_psnr_but_other_numbers(
    model: EvaluatedModel, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EvaluatedModel, "sample", lambda self, clips, *_: clips["video"][:, None, 1:])
    measured = measure(model, Request(get_protocol("sky"), ("psnr", "ssim"), clips=2), tmp_path, batch_size=2)
    with pytest.raises(UserError) as raised:
        results.records(model, measured)
    assert (raised.value.field, raised.value.value) == ("metrics", "psnr")
    (record,), (refused,) = results.records_and_refusals(model, measured)
    assert (record.protocol.metric, record.mean) == ("ssim", pytest.approx(1))
    assert str(refused) == str(raised.value) and "clip 0 (sky-test-000000 from frame 0)" in str(refused)
    assert results.ranking(measured)[0] == "ssim"
    only = dataclasses.replace(measured, request=dataclasses.replace(measured.request, metrics=("psnr",)))
    assert results.ranking(only)[2].tolist() == [np.inf, np.inf]
