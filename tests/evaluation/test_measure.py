"""An evaluation: the same numbers on any number of devices and in any number of parts, and what is written."""

import csv
import dataclasses
import pathlib
import re

import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.evaluation import results
from i2v_jax.evaluation.evaluated_model import EvaluatedModel
from i2v_jax.evaluation.measure import Measured, Request, measure
from i2v_jax.evaluation.protocols import get_protocol
from i2v_jax.evaluation.records import read_records
from i2v_jax.evaluation.worker import Worker
from i2v_jax.metrics.accumulators import Moments
from i2v_jax.metrics.frechet import frechet_distance_of_features
from i2v_jax.metrics.frechet_metrics import groups_of
from i2v_jax.metrics.paired import psnr
from i2v_jax.metrics.registry import METRICS as REGISTERED
from i2v_jax.reports.evaluation_page import write_clips, write_numbers
from tests.evaluation.conftest import METRICS, SIZE


def assert_same_values(one: Measured, other: Measured) -> None:
    assert one.tables.keys() == other.tables.keys()
    for name, table in one.tables.items():
        if isinstance(table, Moments):
            assert table.count == other.tables[name].count
            np.testing.assert_allclose(table.mean, other.tables[name].mean, rtol=1e-4, atol=1e-4, err_msg=name)
            np.testing.assert_allclose(table.scatter, other.tables[name].scatter, rtol=1e-4, atol=1e-3, err_msg=name)
            continue
        np.testing.assert_array_equal(table.index, other.tables[name].index)
        # Float32: convolutions of another batch size may sum in another order. Log-densities are of order 100.
        np.testing.assert_allclose(table.values, other.tables[name].values, rtol=1e-4, atol=1e-4, err_msg=name)


def test_devices_batches_and_interruptions_do_not_change_the_values(
    model: EvaluatedModel,
    whole: EvaluatedModel,
    request_of_sky: Request,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = measure(model, request_of_sky, tmp_path / "one", batch_size=4)
    eight = measure(whole, request_of_sky, tmp_path / "eight", batch_size=8)
    assert_same_values(one, eight)
    for metric, a, b in zip(METRICS, results.records(model, one), results.records(whole, eight), strict=True):
        assert a.protocol == b.protocol
        assert a.model == b.model
        np.testing.assert_allclose(a.values, b.values, rtol=1e-4, err_msg=metric)

    seen: list[int] = []
    tables = Worker.tables

    def interrupted(self, example_ids):
        if len(seen) == 4 and example_ids[0] == 4:
            raise KeyboardInterrupt
        seen.extend(example_ids)
        return tables(self, example_ids)

    monkeypatch.setattr(Worker, "tables", interrupted)
    parts = tmp_path / "parts"
    with pytest.raises(KeyboardInterrupt):
        measure(model, request_of_sky, parts, batch_size=4, save_every=1)
    monkeypatch.setattr(Worker, "tables", lambda self, n: (seen.extend(n), tables(self, n))[1])
    resumed = measure(model, request_of_sky, parts, batch_size=4, save_every=1)
    assert sorted(seen) == list(range(10))
    assert_same_values(one, resumed)
    resumed.state.remove()
    assert not list(parts.iterdir())


@pytest.fixture(scope="module")
def measured(model: EvaluatedModel, request_of_sky: Request, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return measure(model, request_of_sky, tmp_path_factory.mktemp("measured"), batch_size=4, save_every=2)


def test_values_are_those_of_the_samples(model: EvaluatedModel, measured: Measured) -> None:
    example_ids = [7, 2]
    clips = measured.reader.read(example_ids)
    assert clips["video"].shape == (2, 17, SIZE, SIZE, 3)
    for repeat in range(2):
        samples = model.sample(clips, example_ids, seed=repeat, samples=1, frames=16)[:, 0]
        expected = psnr(clips["video"][:, 1:], samples)
        rows = measured.tables[f"psnr/{repeat}"].values[example_ids]
        np.testing.assert_allclose(rows.mean(axis=1), expected, rtol=1e-4)
    nats = model.log_likelihood(clips, example_ids, seed=1, exact=True)
    np.testing.assert_allclose(measured.tables["log_likelihood/1"].values[example_ids], nats, rtol=1e-4)


def test_records_say_what_was_measured(model: EvaluatedModel, measured: Measured) -> None:
    records = dict(zip(METRICS, results.records(model, measured), strict=True))
    fvd = records["fvd"]
    assert (fvd.protocol.frames, fvd.protocol.num_real, fvd.protocol.start_frame_scored) == (17, 10, True)
    assert fvd.protocol.covariance_ddof == 1
    assert (fvd.protocol.dropped, fvd.protocol.distinct_clips, fvd.protocol.videos_too_short) == (0, 10, 0)
    assert fvd.floor is not None and fvd.floor.clips == 5 and fvd.floor.mean > 0
    tables = measured.tables
    expected = [frechet_distance_of_features(tables["fvd/real"].values, tables[f"fvd/{r}"].values) for r in range(2)]
    assert fvd.values == pytest.approx(expected)
    assert fvd.std is not None and fvd.std > 0
    assert records["diversity_i3d"].protocol.samples_per_condition == 5
    assert len(records["psnr"].curve) == 16
    assert np.mean(records["psnr"].curve) == pytest.approx(records["psnr"].mean)
    nats, bits = records["log_likelihood"], records["bits_per_dimension"]
    z_dim = model.generator.z_dim
    assert bits.values == pytest.approx([-value / (z_dim * np.log(2)) for value in nats.values], rel=1e-6)
    assert nats.protocol.num_generated == 0
    for record in records.values():
        assert record.protocol.clip_list_sha256 == measured.reader.listed.sha256
        assert "conditioned on the true direction" in record.protocol.pairing
        assert record.model.checkpoint_sha256 == model.checkpoint_sha256
        assert record.model.step == 4


def test_frames_are_kept_as_moments(model: EvaluatedModel, measured: Measured) -> None:
    """The distance is that of all frames at once, the floor that between halves of eight of the ten clips."""
    example_ids = list(range(10))
    clips = measured.reader.read(example_ids)

    def features(videos: np.ndarray) -> np.ndarray:
        return videos[:, :, 8, 4:6].reshape(-1, 6)

    record = results.records(model, measured)[METRICS.index("fid")]
    for repeat in range(2):
        samples = model.sample(clips, example_ids, seed=repeat, samples=1, frames=16)[:, 0]
        expected = frechet_distance_of_features(features(clips["video"][:, 1:]), features(samples))
        assert record.values[repeat] == pytest.approx(expected, rel=1e-4)
    assert record.floor is not None and (record.floor.clips, record.floor.repeats) == (4, 3) and record.floor.mean > 0
    assert not record.protocol.start_frame_scored and record.protocol.frames == 16
    kept = [table for name, table in measured.tables.items() if name.startswith("fid/")]
    assert all(isinstance(table, Moments) and table.scatter.shape == (6, 6) for table in kept)
    assert len(kept) == 2 + 4 + 1


def test_floors_are_of_as_many_clips_where_the_split_has_them(
    model: EvaluatedModel, request_of_sky: Request, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four of ten: four others are measured for the floors, also when it was interrupted among them."""
    protocol = dataclasses.replace(get_protocol("sky"), clips=4)
    request = dataclasses.replace(request_of_sky, protocol=protocol, metrics=("fvd", "fid", "ssim"), repeats=1)
    tables = Worker.tables

    def interrupted(self, example_ids):
        if example_ids[0] == 6:
            raise KeyboardInterrupt
        return tables(self, example_ids)

    monkeypatch.setattr(Worker, "tables", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure(model, request, tmp_path, batch_size=2, save_every=1)
    monkeypatch.setattr(Worker, "tables", tables)
    found = measure(model, request, tmp_path, batch_size=2, save_every=1)
    fvd, fid, ssim = results.records(model, found)
    assert (fvd.protocol.num_real, fid.protocol.num_real, ssim.protocol.num_real) == (4, 4, 4)
    for record in (fvd, fid):
        assert record.floor is not None and record.floor.clips == 4 and record.floor.mean > 0
    assert not set(found.spare.listed.clips) & set(found.reader.listed.clips)
    both = np.concatenate([reader.read(range(4))["video"] for reader in (found.reader, found.spare)])
    rows = np.concatenate([found.tables[f"fvd/{part}"].values for part in ("real", "spare")])
    np.testing.assert_allclose(
        rows, both.mean(axis=(2, 3, 4))[:, :16].reshape(8, 4, 4).mean(axis=2), rtol=1e-4, atol=1e-5
    )


def test_floors_of_frames_are_of_disjoint_halves() -> None:
    for count in (4, 10, 39):
        names = groups_of("real", list(range(count)), count)
        sizes = {name: names.count(name) for name in set(names)}
        assert [sizes[f"real/{group}"] for group in range(4)] == [count // 4] * 4
        assert sum(sizes.values()) == count


def test_fewer_frames_are_scored_than_a_latent_needs(model: EvaluatedModel, tmp_path: pathlib.Path) -> None:
    """On BAIR x0 and 15 frames are scored, while z encodes 16."""
    request = Request(get_protocol("bair"), ("psnr", "log_likelihood"), clips=4)
    measured = measure(model, request, tmp_path, batch_size=2)
    assert measured.tables["psnr/0"].values.shape == (4, 15)
    clips = measured.reader.read([3])
    nats = model.log_likelihood(clips, [3], seed=0, exact=True)
    np.testing.assert_allclose(measured.tables["log_likelihood/0"].values[3:], nats, rtol=1e-4)


def test_best_and_worst(measured: Measured) -> None:
    metric, order, values = results.ranking(measured)
    assert metric == "ssim"
    assert sorted(order) == list(range(10))
    assert np.all(np.diff(values) <= 0)
    np.testing.assert_allclose(values, measured.tables["ssim/0"].values.mean(axis=1)[order], rtol=1e-6)


def test_sets_are_smaller_than_the_paired_list(
    model: EvaluatedModel, request_of_sky: Request, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the poke protocol: PSNR of eight clips, all else of four, of which the release keeps three."""
    monkeypatch.setitem(REGISTERED, "diversity_i3d", dataclasses.replace(REGISTERED["diversity_i3d"], release_batch=3))
    protocol = dataclasses.replace(get_protocol("sky"), starts="even", clips=4, paired_clips=8, release=True)
    metrics = ("psnr", "fid", "diversity_i3d", "bits_per_dimension")
    seen: list[tuple[str, int]] = []
    apply, sample = Worker._apply, EvaluatedModel.sample
    monkeypatch.setattr(
        Worker, "_apply", lambda self, e, *a: (seen.append((e.metric.name, len(a[0]))), apply(self, e, *a))[1]
    )
    counts: list[int] = []
    monkeypatch.setattr(
        EvaluatedModel,
        "sample",
        lambda self, c, n, s, count, f: (counts.append(count), sample(self, c, n, s, count, f))[1],
    )
    request = dataclasses.replace(request_of_sky, protocol=protocol, metrics=metrics, repeats=1)
    small = measure(model, request, tmp_path, batch_size=2)
    assert seen.count(("psnr", 2)) == 4
    assert seen.count(("fid", 2)) == 3 * 2  # real, generated and spare; no batch behind the fourth clip
    assert seen.count(("diversity_i3d", 2)) == 2
    assert counts == [5, 5, 1, 1]
    records = {record.protocol.metric: record for record in results.records(model, small)}
    found = {name: (record.protocol.num_real, record.protocol.dropped) for name, record in records.items()}
    assert found == {"psnr": (8, 0), "fid": (4, 0), "diversity_i3d": (3, 1), "bits_per_dimension": (4, 0)}
    assert small.tables["log_likelihood/0"].index.tolist() == [0, 1, 2, 3]
    nats = model.log_likelihood(small.reader.read([0, 1, 2, 3]), [0, 1, 2, 3], seed=0, exact=True)
    assert records["bits_per_dimension"].mean == pytest.approx(-nats.mean() / (2 * np.log(2)), rel=1e-4)


def test_the_values_of_each_clip_are_written(model: EvaluatedModel, measured: Measured, tmp_path: pathlib.Path) -> None:
    path = write_clips(tmp_path, model, measured)
    assert path == tmp_path / f"clips-{measured.state.key}.csv"
    rows = list(csv.DictReader(path.open()))
    assert list(rows[0]) == ["clip", "video", "start", "repeat", *METRICS[2:]]
    assert [(row["clip"], row["repeat"]) for row in rows] == [(str(n), str(r)) for r in range(2) for n in range(10)]
    assert {row["video"] for row in rows} == {clip.video for clip in measured.reader.listed.clips}
    records = {record.protocol.metric: record for record in results.records(model, measured)}
    for metric in METRICS[2:]:
        for repeat in range(2):
            values = [float(row[metric]) for row in rows if row["repeat"] == str(repeat)]
            assert np.mean(values) == pytest.approx(records[metric].values[repeat], rel=1e-4), metric
    sets = dataclasses.replace(measured, request=dataclasses.replace(measured.request, metrics=("fvd", "fid")))
    assert write_clips(tmp_path, model, sets) is None


def test_a_second_evaluation_adds_its_records(
    model: EvaluatedModel, measured: Measured, tmp_path: pathlib.Path
) -> None:
    records = results.records(model, measured)
    write_numbers(tmp_path, records[:2])
    train = dataclasses.replace(records[2], protocol=dataclasses.replace(records[2].protocol, split="train"))
    again = dataclasses.replace(records[0], values=(1.0, 3.0))
    said = write_numbers(tmp_path, (train, again))
    assert read_records(tmp_path / "metrics.json") == (records[1], train, again)
    table = (tmp_path / "metrics.md").read_text()
    assert len(table.splitlines()) == 2 + 3 and len(said.splitlines()) == 2 + 2
    assert {"sky_run, step 4", "aligned; conditioned on the true direction"} <= set(re.split(r" *\| *", table))
    (tmp_path / "metrics.json").write_text('[{"protocol": {"metric": "fvd"}}]')
    with pytest.raises(UserError):
        write_numbers(tmp_path, records)
