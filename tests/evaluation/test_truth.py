"""How the true frames are stored, cropped and resized is part of a result; results on different videos never mix."""

import dataclasses
import hashlib
import json
import pathlib

import numpy as np
import pytest

from i2v_jax.config_files import load
from i2v_jax.data.folder.builder import Folder
from i2v_jax.data.protocol import FOLDER
from i2v_jax.data.staging import StoreOptions
from i2v_jax.data.video_builder import SplitOptions, prepare
from i2v_jax.errors import UserError
from i2v_jax.evaluation import results
from i2v_jax.evaluation.evaluated_model import EvaluatedModel
from i2v_jax.evaluation.measure import Measured, Request, measure
from i2v_jax.evaluation.records import Record, check_same_protocol
from i2v_jax.evaluation.worker import Worker
from tests.evaluation.conftest import SIZE
from tests.input.helpers import write_frames

REQUEST = Request(FOLDER, ("psnr",), clips=4)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
    """The same videos stored in several ways, and others of the same names."""
    root = tmp_path_factory.mktemp("truth")
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 256, (22, 24, 48, 3), dtype=np.uint8)
        write_frames(root / "raw/test" / str(number), noise)
        write_frames(root / "others/test" / str(number), noise[:, ::-1])
    stored = {"fine": StoreOptions(), "coarse": StoreOptions(frame_format="jpeg", jpeg_quality=10, max_size=20)}
    splits = SplitOptions(0.0, 0.0, 0)
    for name, options in stored.items():
        prepare(Folder, root / "raw", root / name, options=options, split_options=splits, workers=1)
    prepare(Folder, root / "others", root / "mirrored", options=StoreOptions(), split_options=splits, workers=1)
    return {name: root / name for name in (*stored, "mirrored")}


def trained_on(model: EvaluatedModel, data_dir: pathlib.Path, *fields: str) -> EvaluatedModel:
    config = load("folder:size=64", [f"data.dir={data_dir}", f"data.size={SIZE}", *fields])
    return dataclasses.replace(model, config=config, control_source="random")


def measured(model: EvaluatedModel, folder: pathlib.Path, earlier: tuple[Record, ...] = ()) -> Measured:
    return measure(model, REQUEST, folder, batch_size=2, save_every=1, earlier=earlier)


def test_results_on_differently_made_truth_have_different_hashes(
    model: EvaluatedModel, prepared: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    """Storage, crop and resizing: the records say which, and none is taken for another."""
    made = {
        "fine": trained_on(model, prepared["fine"]),
        "coarse": trained_on(model, prepared["coarse"]),
        "center": trained_on(model, prepared["fine"], "data.crop=center"),
        "bilinear": trained_on(model, prepared["fine"], "data.resize=release"),
    }
    records = {name: results.records(one, measured(one, tmp_path / name))[0] for name, one in made.items()}
    assert len({record.protocol.sha256 for record in records.values()}) == 4
    assert len({record.mean for record in records.values()}) == 4
    assert records["coarse"].protocol.truth_stored == "jpeg 10, shorter side 20"
    differing = {"coarse": "truth_stored", "center": "truth_crop", "bilinear": "truth_resize"}
    for name, field in differing.items():
        with pytest.raises(UserError) as raised:
            check_same_protocol((records["fine"], records[name]))
        assert raised.value.value == (field,)


def test_an_evaluation_is_not_continued_on_other_data(
    model: EvaluatedModel, prepared: dict[str, pathlib.Path], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = Worker.tables

    def killed(self: Worker, example_ids: list[int]):
        if example_ids[0] >= 2:
            raise KeyboardInterrupt
        return tables(self, example_ids)

    monkeypatch.setattr(Worker, "tables", killed)
    with pytest.raises(KeyboardInterrupt):
        measured(trained_on(model, prepared["fine"]), tmp_path)
    monkeypatch.undo()
    for name, fields in {"coarse": {"truth_stored", "data_sha256"}, "mirrored": {"data_sha256"}}.items():
        with pytest.raises(UserError) as raised:
            measured(trained_on(model, prepared[name]), tmp_path)
        assert raised.value.field == "data_dir"
        assert set(raised.value.value) == fields
    measured(trained_on(model, prepared["fine"]), tmp_path).state.remove()


def test_results_are_not_replaced_by_those_of_other_videos(
    model: EvaluatedModel, prepared: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    fine = trained_on(model, prepared["fine"])
    earlier = results.records(fine, measured(fine, tmp_path / "first"))
    with pytest.raises(UserError) as raised:
        measured(trained_on(model, prepared["mirrored"]), tmp_path / "second", earlier)
    assert raised.value.field == "data_sha256"
    measured(fine, tmp_path / "third", earlier)  # the same again
    measured(trained_on(model, prepared["coarse"]), tmp_path / "fourth", earlier)  # another protocol: both are kept


def test_records_of_earlier_versions_can_be_read(
    model: EvaluatedModel, prepared: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    fine = trained_on(model, prepared["fine"])
    (record,) = results.records(fine, measured(fine, tmp_path))
    content = json.loads(json.dumps(record.to_json()))
    assert Record.from_json(content) == record
    content["protocol"]["truth_stored"] = "another"
    with pytest.raises(UserError):
        Record.from_json(content)
    old = {name: value for name, value in content["protocol"].items() if not name.startswith("truth_")}
    del content["data_sha256"]
    text = json.dumps(old, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    content |= {"protocol": old, "protocol_sha256": hashlib.sha256(text.encode()).hexdigest()}
    assert Record.from_json(content).protocol.truth_crop == "not recorded"
    assert Record.from_json(content).protocol.sha256 != record.protocol.sha256
