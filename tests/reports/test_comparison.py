"""Only results of one hash share a column; published results appear only with the same protocol."""

import dataclasses
import pathlib
import re

import pytest

from i2v_jax import bundle
from i2v_jax.errors import UserError
from i2v_jax.evaluation.records import Floor, MetricProtocol, ModelIdentity, Record, write_records
from i2v_jax.reports import training_logs
from i2v_jax.reports.comparison import compare_runs, read_runs, write_comparison
from tests.evaluation.protocol_of_fvd import FVD
from tests.launch.synthesis import last_line, launch
from tests.test_bundle import ARRAYS, CARD, CONFIG

_PSNR = dataclasses.replace(FVD, metric="psnr", backbone="none", covariance_ddof=None, matrix_square_root="none")


def record(protocol: MetricProtocol, name: str, *values: float) -> Record:
    curve = (30.0, 20.0) if protocol.metric == "psnr" else ()
    floor = Floor(12.5, 0.5, 128, 5) if protocol.metric == "fvd" else None
    return Record(protocol, ModelIdentity(name, "ef" * 32, step=1000, seed=0), values, floor, curve)


def _runs(folder: pathlib.Path, **records: list[Record]) -> list[str]:
    for name, rows in records.items():
        target = folder / name / "evaluations" / "bair"
        target.mkdir(parents=True)
        write_records(target / "metrics.json", rows)
    return [str(folder / name) for name in records]


def test_models_share_a_table_with_the_papers(tmp_path: pathlib.Path) -> None:
    folders = _runs(
        tmp_path,
        ours=[record(FVD, "ours", 99.0, 101.0), record(_PSNR, "ours", 25.0)],
        other=[record(FVD, "other", 120.0), record(_PSNR, "other", 24.0)],
    )
    (comparison,) = compare_runs(read_runs(folders))
    rows = {row[0]: row[1:] for row in comparison.table().rows}
    assert rows["ours, step 1000"] == ("100.0 ± 1.41", "25.00")
    assert rows["other, step 1000"] == ("120.0", "24.00")
    assert rows["real vs. real"] == ("12.50 ± 0.500 (128)", "")
    assert rows["cINN (paper) [cINN paper, table 4]"] == ("99.3", "")
    assert rows["cINN (released weights) [re-evaluation of the released weights by a user]"] == ("103.7", "")
    assert not any(name.startswith("MAGVIT") for name in rows)  # their protocols are not known to be this one
    text = write_comparison([comparison], tmp_path / "out")
    assert "| ours, step 1000 | 100.0 ± 1.41 | 25.00 |" in text
    assert (tmp_path / "out" / "comparison.md").read_text() == text
    page = (tmp_path / "out" / "index.html").read_text()
    assert '<tr class="printed"><td>cINN (paper) [cINN paper, table 4]</td><td>99.3</td>' in page
    assert page.count("<svg") == 1
    (curve,) = (tmp_path / "out").glob("curve_psnr_*.png")
    assert curve.stat().st_size > 0


_SHIFTED = "generated frame t with true frame t - 1"
_TEXTURES = dataclasses.replace(
    FVD, protocol="dtdb", pairing=_SHIFTED, start_frame_scored=False, data="dtdb_fire", size=128
)
_POKE = dataclasses.replace(
    FVD, protocol="poke", pairing="aligned; conditioned on a true poke", data="taichi", start_frame_scored=False
)


@pytest.mark.parametrize(
    ("protocol", "changes", "printed"),
    [
        (FVD, {}, "99.3"),
        (FVD, {"split": "train"}, ""),
        (FVD, {"pairing": "aligned; conditioned on the true endpoint"}, ""),
        (_TEXTURES, {}, "376.8"),
        (_TEXTURES, {"pairing": "aligned"}, ""),
        (_TEXTURES, {"metric": "fid_release"}, "24.2"),
        (_TEXTURES, {"metric": "fid"}, ""),
        (_TEXTURES, {"metric": "dtfvd_16_release"}, "0.79"),
        (_TEXTURES, {"metric": "dtfvd_16"}, ""),
        (_TEXTURES, {"metric": "diversity_dti3d_16_release", "pairing": "samples of one start frame"}, "1.42"),
        (_POKE, {}, "171.74"),
        (_POKE, {"pairing": "aligned"}, ""),
    ],
)
def test_printed_numbers_stand_beside_what_they_are(protocol: MetricProtocol, changes: dict, printed: str) -> None:
    column = dataclasses.replace(protocol, **changes)
    (comparison,) = compare_runs([record(column, "a", 1.0)])
    paper = "poke" if column.protocol == "poke" else "cINN"
    cells = [row[1] for row in comparison.table().rows if re.match(rf"{paper} \(paper\) \[", row[0])]
    assert cells == [printed] * bool(printed)


def test_a_printed_number_is_beside_the_column_of_its_pairing_alone() -> None:
    aligned = dataclasses.replace(_TEXTURES, pairing="aligned")
    (comparison,) = compare_runs([record(aligned, "a", 1.0), record(_TEXTURES, "a", 2.0)])
    (row,) = [row[1:] for row in comparison.table().rows if row[0].startswith("cINN (paper)")]
    assert row == ("", "376.8")


def test_other_clips_get_a_table_of_their_own_and_the_reason_is_named(tmp_path: pathlib.Path) -> None:
    fewer = dataclasses.replace(FVD, protocol="bair, first 16 clips", num_real=16, clip_list_sha256="00" * 32)
    comparisons = compare_runs([record(FVD, "a", 1.0), record(fewer, "b", 2.0)])
    assert [len(comparison.records) for comparison in comparisons] == [1, 1]
    assert len(comparisons[1].table().rows) == 2  # the model and the floor, but no paper
    text = write_comparison(comparisons, tmp_path)
    assert all(word in text for word in ("'bair, first 16 clips'", "num_real is 256 and 16"))


def test_another_corner_rule_gets_a_column_of_its_own() -> None:
    corners = dataclasses.replace(FVD, resize_corners="half_pixel")
    (comparison,) = compare_runs([record(FVD, "a", 1.0), record(_PSNR, "a", 3.0), record(corners, "b", 2.0)])
    assert [column.protocol.metric for column in comparison.columns] == ["fvd", "fvd", "psnr"]
    rows = {row[0]: row[1:] for row in comparison.table().rows}
    assert rows["a, step 1000"] == ("1.00", "", "3.00")
    assert rows["b, step 1000"] == ("", "2.00", "")
    (reason,) = comparison.separated
    assert all(word in reason for word in ("resize_corners", "tf1_legacy", "half_pixel"))


def test_one_model_twice_is_refused() -> None:
    with pytest.raises(UserError):
        compare_runs([record(FVD, "a", 1.0), record(FVD, "a", 2.0)])


def test_the_command(tmp_path: pathlib.Path) -> None:
    folders = _runs(tmp_path, ours=[record(FVD, "ours", 100.0)])
    done = launch("launch.report", *folders, f"--out={tmp_path / 'out'}")
    assert done.returncode == 0, done.stderr
    assert "| ours, step 1000 | 100.0 |" in done.stdout
    done = launch("launch.report", str(tmp_path / "nothing"), f"--out={tmp_path / 'other'}")
    assert done.returncode == 2
    assert str(tmp_path / "nothing") in last_line(done.stderr)


def test_the_file_of_a_model_is_compared_by_the_results_on_its_card(tmp_path):
    ours, shared = record(FVD, "ours", 100.0), record(FVD, "shared", 90.0)
    (folder,) = _runs(tmp_path, ours=[ours])
    card = dataclasses.replace(CARD, metrics=(shared.to_json(),))
    bundle.write(tmp_path / "shared.i2v", ARRAYS, CONFIG, card)
    found = read_runs([folder, str(tmp_path / "shared.i2v")])
    assert sorted(found, key=lambda each: each.model.label) == [ours, shared]
    without = tmp_path / "without.i2v"
    bundle.write(without, ARRAYS, CONFIG, dataclasses.replace(CARD, metrics=()))
    for read in (read_runs, training_logs.read_runs):  # a file has no logs of training, either
        with pytest.raises(UserError) as raised:
            read([str(without)])
        assert raised.value.value == str(without)
