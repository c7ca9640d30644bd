"""A label that is registered from outside is stored, read by worker processes, and mirrored with the clips."""

from pathlib import Path

import numpy as np
import pytest

from i2v_jax.config_files import load
from i2v_jax.data.registry import open_split
from i2v_jax.data.staging import StoreOptions
from i2v_jax.data.video_builder import SplitOptions, prepare
from i2v_jax.errors import UserError
from i2v_jax.input import labels, pipeline
from tests.extending.toy_label import WindyClips
from tests.input.helpers import numbered_frames, write_frames


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_label_of_ones_own_travels_with_the_batches(tmp_path: Path, workers: int) -> None:
    for clip in range(4):
        folder = tmp_path / "raw" / "train" / str(clip)
        write_frames(folder, numbered_frames(18))
        np.savetxt(folder / "wind.csv", [(10 * clip + frame, -1.0) for frame in range(18)], delimiter=",")
    options, splits = StoreOptions(), SplitOptions(0.25, 0.0, 0)
    prepare(WindyClips, tmp_path / "raw", tmp_path, options=options, split_options=splits, workers=1)
    fields = ["plugins=tests.extending.toy_label", "data.name=windy_clips", f"data.dir={tmp_path}", "data.flip=1"]
    data = load("folder:size=32", [*fields, f"data.workers={workers}"]).data
    source = open_split(data, "train")
    batches = pipeline.make_pipeline(source, data, batch_size=2, seed=0, train=True)
    iterator = batches.iterator()
    batch = next(iterator)
    iterator.close()
    assert batch["wind"].shape == (2, 2) and batch["wind"].dtype == np.float32
    assert set(batch["wind"][:, 1]) == {-1.0}
    assert set(batch["wind"][:, 0] % 10) <= {-16 % 10, -17 % 10}  # the last frame's, mirrored


def test_an_unknown_label_is_named() -> None:
    with pytest.raises(UserError) as raised:
        labels.get_label("rain")
    assert (raised.value.field, raised.value.value) == ("label", "rain")
