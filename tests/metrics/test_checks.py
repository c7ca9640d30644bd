"""Every kind of bad input is named in one line."""

import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.metrics import checks


def _videos() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (3, 2, 4, 4, 3)).astype(np.float32)


def _with(index: tuple, value: float) -> np.ndarray:
    videos = _videos()
    videos[index] = value
    return videos


def test_good_videos_pass() -> None:
    checks.check_videos("real", _videos())
    checks.check_videos("real", _videos() * 1.005)  # rounding beyond the range
    checks.check_videos("real", np.abs(_videos()) - 0.1)  # bright, but not [0, 1]


@pytest.mark.parametrize(
    ("videos", "message"),
    [
        (_with((1, 1, 2, 2, 0), np.nan), "generated video 11 holds NaN or infinity$"),
        (_with((slice(1, 3), 1), np.inf), r"generated video 11 holds NaN or infinity \(and 1 more\)"),
        ((_videos() + 1) * 127.5, r"looks like \[0, 255\].*x / 127.5 - 1"),
        (((_videos() + 1) * 127.5).astype(np.uint8), r"integers \(uint8\)"),
        ((_videos() + 1) / 2, r"looks like \[0, 1\].*2 x - 1"),
        (_videos() * 3, r"generated videos have values from -2.998 to 2.983: frames must be in \[-1, 1\]"),
        (_with((2,), 0.25), "generated video 12 is constant"),
        (np.zeros((3, 2, 4, 4, 3)), r"generated video 10 is constant.*\(and 2 more\)"),
        (_videos()[0], r"shape \(2, 4, 4, 3\)"),
        (_videos()[..., :1], r"shape \(3, 2, 4, 4, 1\)"),
        (_videos()[:0], r"shape \(0, 2, 4, 4, 3\)"),
    ],
)
def test_bad_videos(videos: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        checks.check_videos("generated", videos, first=10)
    assert "\n" not in str(caught.value)


def test_a_still_video_is_no_constant_one() -> None:
    checks.check_videos("generated", np.repeat(_videos()[:, :1], 5, axis=1))


def test_counts_and_lengths() -> None:
    checks.check_same_shape("real", _videos(), "generated", _videos())
    with pytest.raises(UserError, match="3 real but 2 generated videos"):
        checks.check_same_shape("real", _videos(), "generated", _videos()[:2])
    with pytest.raises(UserError, match="length and size must be equal"):
        checks.check_same_shape("real", _videos(), "generated", _videos()[:, :1])
    checks.check_clip_count("real", 4, 4)
    with pytest.raises(UserError, match="3 real clips are too few, this needs 4"):
        checks.check_clip_count("real", 3, 4)
    checks.check_clip_length("I3D", 9, 9)
    with pytest.raises(UserError, match="clips of 8 frames are too short for I3D, which needs 9 or more"):
        checks.check_clip_length("I3D", 8, 9)


def test_features() -> None:
    assert checks.check_features("real", np.ones((2, 3), np.float32)).dtype == np.float64
    with pytest.raises(UserError, match=r"real features have shape \(6,\)"):
        checks.check_features("real", np.ones(6))
