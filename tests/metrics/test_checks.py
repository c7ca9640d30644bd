"""Invalid input is refused, with the name of the set and the value."""

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


def _check(name: str, videos: np.ndarray, first: int = 0) -> None:
    checks.check_range(name, *checks.check_batch(name, videos, first))


def test_good_videos_pass() -> None:
    _check("real", _videos())
    _check("real", _videos() * 1.005)  # rounding beyond the range
    _check("real", np.abs(_videos()) - 0.1)  # bright, but not [0, 1]
    checks.check_batch("real", (_videos() + 1) / 2)  # the others of the set may be dark


@pytest.mark.parametrize(
    ("videos", "value"),
    [
        (_with((1, 1, 2, 2, 0), np.nan), 11),
        (_with((slice(1, 3), 1), np.inf), 11),
        (((_videos() + 1) * 127.5).astype(np.uint8), "uint8"),
        (_with((2,), 0.25), 12),
        (np.zeros((3, 2, 4, 4, 3)), 10),
        (_videos()[0], (2, 4, 4, 3)),
        (_videos()[..., :1], (3, 2, 4, 4, 1)),
        (_videos()[:0], (0, 2, 4, 4, 3)),
    ],
)
def test_bad_videos(videos: np.ndarray, value: object) -> None:
    with pytest.raises(UserError) as raised:
        _check("generated", videos, first=10)
    assert (raised.value.field, raised.value.value) == ("generated", value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("change", [lambda x: (x + 1) * 127.5, lambda x: (x + 1) / 2, lambda x: x * 3])
def test_other_ranges(change) -> None:
    videos = change(_videos())
    with pytest.raises(UserError) as raised:
        _check("generated", videos)
    assert raised.value.value == (float(videos.min()), float(videos.max()))


def test_a_still_video_is_no_constant_one() -> None:
    _check("generated", np.repeat(_videos()[:, :1], 5, axis=1))


@pytest.mark.parametrize("other", [_videos()[:2], _videos()[:, :1]])
def test_shapes(other: np.ndarray) -> None:
    checks.check_same_shape("real", _videos(), "generated", _videos())
    with pytest.raises(UserError) as raised:
        checks.check_same_shape("real", _videos(), "generated", other)
    assert raised.value.value == _videos().shape


def test_features() -> None:
    assert checks.check_features("real", np.ones((2, 3), np.float32)).dtype == np.float64
    for features, value in ((np.ones(6), (6,)), (np.ones((1, 3)), 1), (np.array([[1.0], [np.nan]]), 1)):
        with pytest.raises(UserError) as raised:
            checks.check_features("real", features)
        assert (raised.value.field, raised.value.value) == ("real", value)
