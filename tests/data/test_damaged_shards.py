"""A file of a prepared data set that vanished or was damaged is named in one line."""

from pathlib import Path

import pytest

from i2v_jax.config_files import load
from i2v_jax.data.landscape.builder import Landscape
from i2v_jax.errors import UserError
from i2v_jax.input import pipeline
from i2v_jax.input.sources import RecordSource
from tests.data.conftest import Prepare
from tests.input.helpers import numbered_frames, write_frames


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("harm", [Path.unlink, cut, zero])
def test_a_damaged_shard_is_named(tmp_path: Path, prepared: Prepare, harm) -> None:
    for clip in ("sky_train/v1/v1_1", "sky_train/v1/v1_2", "sky_train/v2/v2_1", "sky_test/v3/v3_1"):
        write_frames(tmp_path / "raw" / clip, numbered_frames(18))
    folder = prepared(Landscape).folder
    (shard,) = folder.glob("*-train.array_record-*-of-?????")
    harm(shard)
    data = load("landscape").data
    data.update(workers=0, size=16)
    made = pipeline.make_pipeline(RecordSource(folder, "train"), data, batch_size=1, seed=0, train=True)
    with pytest.raises(UserError) as raised:
        next(made.iterator())
    assert (raised.value.field, raised.value.value) == ("data.dir", str(shard))
    assert "\n" not in str(raised.value)
