"""A record's hash, its floor, and what may be compared with what."""

import dataclasses
import hashlib
import json
import math
import pathlib

import pytest

from i2v_jax.errors import UserError
from i2v_jax.evaluation import records
from i2v_jax.evaluation.records import Floor, MetricProtocol, ModelIdentity, Record
from tests.evaluation.protocol_of_fvd import FVD

_MODEL = ModelIdentity("cinn", "ef" * 32, step=1000, seed=0)


def _record(*values: float, protocol: MetricProtocol = FVD, name: str = "cinn") -> Record:
    return Record(protocol, dataclasses.replace(_MODEL, name=name), values, Floor(12.5, 0.5, 128, 5), (1.0, 2.0))


def test_the_hash_is_that_of_canonical_json() -> None:
    fields = dataclasses.asdict(FVD)
    text = "{" + ",".join(f'"{name}":{json.dumps(fields[name])}' for name in sorted(fields)) + "}"
    assert FVD.sha256 == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(MetricProtocol)])
def test_every_field_of_the_protocol_counts(field: str) -> None:
    value = getattr(FVD, field)
    other = not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else value + "x"
    changed = dataclasses.replace(FVD, **{field: other})
    assert changed.sha256 != FVD.sha256
    with pytest.raises(UserError) as caught:
        records.compare(_record(1, name="one"), _record(2, protocol=changed, name="two"))
    assert (caught.value.field, caught.value.value) == ("protocol", (field,))


def test_model_and_result_do_not_change_the_hash() -> None:
    one, other = _record(1.0), _record(2.0, 3.0, name="another")
    assert one.protocol.sha256 == other.protocol.sha256
    assert one.to_json()["protocol_sha256"] == one.protocol.sha256


def test_all_differing_fields_are_named() -> None:
    changed = dataclasses.replace(FVD, num_generated=992, resize_corners="half_pixel")
    with pytest.raises(UserError) as raised:
        records.check_same_protocol((_record(1), _record(1), _record(1, protocol=changed)))
    assert raised.value.value == ("resize_corners", "num_generated")


def test_mean_and_deviation_over_repeats() -> None:
    record = _record(99.0, 101.0, 103.0)
    assert record.mean == pytest.approx(101)
    assert record.std == pytest.approx(2)
    assert _record(99.0).std is None
    difference = records.compare(record, _record(90.0, 92.0))
    assert difference.difference == pytest.approx(-10)
    assert difference.std == pytest.approx(math.sqrt(4 + 2))
    assert records.compare(record, _record(90.0)).std is None


def test_written_and_read(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "metrics.json"
    whole = (_record(99.5, 101.0), dataclasses.replace(_record(0.1), floor=None, curve=()))
    records.write_records(path, whole)
    assert records.read_records(path) == whole
    assert list(tmp_path.iterdir()) == [path]
    first = json.loads(path.read_text())[0]
    assert first["mean"] == pytest.approx(100.25)
    assert first["floor"]["clips"] == 128
    first["protocol"]["num_real"] = 1000
    path.write_text(json.dumps([first]))
    with pytest.raises(UserError) as raised:
        records.read_records(path)
    assert raised.value.value == str(path)


@pytest.mark.parametrize("content", ["{", "[{}]", "[3]", "5", '[{"protocol": {"metric": "fvd"}}]'])
def test_files_that_hold_no_records(tmp_path: pathlib.Path, content: str) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(content)
    with pytest.raises(UserError) as raised:
        records.read_records(path)
    assert raised.value.value == str(path)


def test_paths_that_cannot_be_used(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError) as raised:
        records.read_records(tmp_path / "missing.json")
    assert raised.value.value == str(tmp_path / "missing.json")
    path = tmp_path / "metrics.json"
    records.write_records(path, [_record(1.0)])
    with pytest.raises(UserError) as raised:
        records.write_records(path / "metrics.json", [_record(1.0)])
    assert raised.value.value == str(path / "metrics.json")


@pytest.mark.parametrize("values", [(), (math.nan,), (1.0, math.inf)])
def test_a_record_is_of_finite_numbers(values: tuple[float, ...]) -> None:
    with pytest.raises(UserError) as raised:
        _record(*values)
    assert raised.value.value == "fvd"


def test_new_records_replace_those_of_the_same_protocol_and_model_alone() -> None:
    old, other = _record(1.0), _record(2.0, protocol=dataclasses.replace(FVD, split="train"))
    seed = dataclasses.replace(old, model=dataclasses.replace(old.model, seed=1))
    assert records.replaced((old, other), (_record(3.0),)) == (other, _record(3.0))
    assert records.replaced((old,), (seed,)) == (old, seed)
    assert (old.model.label, seed.model.label) == ("cinn, step 1000", "cinn, step 1000, seed 1")
