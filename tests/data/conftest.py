from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from i2v_jax.data.staging import StoreOptions
from i2v_jax.data.video_builder import SplitOptions, Summary, VideoBuilder, prepare

Prepare = Callable[..., Any]


@pytest.fixture
def prepared(tmp_path: Path) -> Prepare:
    """Prepares `tmp_path/raw` into `tmp_path/out`; the result is None if it was already."""

    def run(
        builder: type[VideoBuilder],
        store: str = "frames",
        workers: int = 1,
        preset: str = "default",
        update: bool = False,
        **given: Any,
    ) -> Summary | None:
        fractions = {"eval_fraction": 0.1, "test_fraction": 0.1, "seed": 0}
        splits = {name: given.pop(name, default) for name, default in fractions.items()}
        return prepare(
            builder,
            tmp_path / "raw",
            tmp_path / "out",
            options=StoreOptions(store, **given),
            split_options=SplitOptions(**splits),
            workers=workers,
            preset=preset,
            update=update,
        )

    return run
