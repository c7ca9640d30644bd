import os
from pathlib import Path

import pytest


@pytest.fixture
def real_videos() -> Path:
    """The folder of real clips; tests that need it are skipped if it does not exist."""
    default = Path(__file__).parents[3] / "shared" / "videos"
    folder = Path(os.environ.get("I2V_JAX_VIDEOS", default))
    if not folder.is_dir():
        pytest.skip("no real clips: set I2V_JAX_VIDEOS")
    return folder
