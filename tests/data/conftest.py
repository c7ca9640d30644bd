from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from i2v_jax.data.staging import StoreOptions
from i2v_jax.data.video_builder import SplitOptions, Summary, VideoBuilder, prepare

Prepare = Callable[..., Summary]


@pytest.fixture
def prepared(tmp_path: Path) -> Prepare:
    """Prepares `tmp_path/raw` into `tmp_path/out`."""

    def run(
        builder: type[VideoBuilder],
        store: str = "frames",
        max_size: int = 0,
        min_frames: int = 17,
        every: int = 1,
        preset: str = "default",
        **splits: Any,
    ) -> Summary:
        fractions = {"eval_fraction": 0.1, "test_fraction": 0.1, "seed": 0} | splits
        return prepare(
            builder,
            tmp_path / "raw",
            tmp_path / "out",
            options=StoreOptions(store, jpeg_quality=95, max_size=max_size, min_frames=min_frames, every=every),
            split_options=SplitOptions(**fractions),
            threads=2,
            preset=preset,
        )

    return run
