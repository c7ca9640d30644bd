"""The encoding of controls, against values worked out by hand from the spec."""

import jax
import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.tasks import control
from i2v_jax.tasks.control import DIRECTION, ENDPOINT, NONE, POKE


def test_endpoint_bins_truncate_towards_zero_and_clip() -> None:
    minimum = np.array([0.42638585, -0.3080245, 0.19146784], np.float32)
    extent = np.array([0.42850533, 0.54029283, 0.12564658], np.float32)
    fractions = np.array(
        [
            [0.0, 0.05, 0.15],  # 10 p - 1e-4: -0.0001, 0.4999, 1.4999
            [0.99, 1.0, 1.2],  # 9.8999, 9.9999, 11.9999
            [-0.05, -0.5, 0.3001],  # -0.5001, -5.0001, 3.0009
            [0.2001, 0.19995, 0.5],  # 2.0009, 1.9994, 4.9999
        ]
    )
    bins = ENDPOINT.bins_of((minimum + fractions * extent).astype(np.float32))
    assert bins.tolist() == [[0, 0, 1], [9, 9, 9], [0, 0, 3], [2, 1, 4]]


def test_one_hots() -> None:
    directions = np.asarray(DIRECTION.encode(np.array([0, 9, 35]), 32))
    assert directions.shape == (3, 36)
    assert directions.argmax(axis=1).tolist() == [0, 9, 35]
    assert directions.sum() == 3

    position = np.array([[0.42638585 + 0.5 * 0.42850533, -0.3080245, 0.19146784 + 0.12564658]], np.float32)
    endpoint = np.asarray(ENDPOINT.encode(position, 32))
    assert endpoint.shape == (1, 30)
    assert np.flatnonzero(endpoint[0]).tolist() == [4, 10 + 0, 20 + 9]

    assert NONE.encode(np.zeros((5, 3)), 32).shape == (5, 0)


@pytest.mark.parametrize("each", control.every(), ids=lambda each: each.name)
def test_an_example_is_encoded_to_the_width(each: control.Control) -> None:
    values = np.repeat(each.example(32), 2, axis=0)
    assert each.encode(values, 32).shape == (2, each.width)


def encoded_pokes(*pokes: tuple[float, float, float, float], size: int = 32) -> np.ndarray:
    """Pokes (x, y, dx, dy) in pixels -> [B, rows, columns, 3]."""
    return np.asarray(POKE.encode(np.array(pokes), size)).reshape(-1, 8, 8, 3)


def test_a_poke_on_a_node_is_that_node_alone() -> None:
    """The nodes are at 0, 1/7, .. 7/7 of the frame, whose left edge is half a pixel left of pixel 0."""
    grid = encoded_pokes((32 * 2 / 7 - 0.5, 32 * 5 / 7 - 0.5, 4, -8))[0]
    expected = np.zeros((8, 8, 3))
    expected[5, 2] = 1, 4 * 7 / 32, -8 * 7 / 32
    np.testing.assert_allclose(grid, expected, atol=1e-6)


def test_a_poke_between_nodes_is_shared_by_its_place() -> None:
    grid = encoded_pokes((32 * 2.25 / 7 - 0.5, 32 * 5.5 / 7 - 0.5, 4, -8))[0]
    assert grid[5:7, 2:4, 0] == pytest.approx(np.array([[0.375, 0.125], [0.375, 0.125]]), abs=1e-6)
    assert grid.sum(axis=(0, 1)) == pytest.approx([1, 4 * 7 / 32, -8 * 7 / 32])
    assert np.count_nonzero(np.abs(grid).sum(axis=-1) > 1e-6) == 4


def test_nearby_pokes_have_nearby_encodings() -> None:
    """Along a line through the whole frame, by steps of 0.01 pixels; to the very edges."""
    line = np.linspace(-0.5, 31.5, 3201)
    grids = encoded_pokes(*((x, 31 - x, 3 + x / 32, 2) for x in line))
    steps = np.abs(np.diff(grids, axis=0)).max(axis=(1, 2, 3))
    assert steps.max() < 3 * 0.01 * 7 / 32
    assert steps.min() > 0  # no two places look alike


def test_pokes_are_encoded_alike_at_every_size() -> None:
    small, large = encoded_pokes((9.5, 3.5, 2, 1)), encoded_pokes((19.5, 7.5, 4, 2), size=64)
    np.testing.assert_allclose(small, large, atol=1e-6)


def test_the_control_of_clips_is_made_of_their_arrays() -> None:
    clips = {"poke_position": np.array([[3, 4]], np.int32), "poke_displacement": np.array([[1.0, -2.0]], np.float32)}
    eta = np.asarray(POKE.from_batch(clips, 32)).reshape(1, 8, 8, 3)
    np.testing.assert_array_equal(eta, encoded_pokes((3, 4, 1, -2)))
    assert np.argmax(DIRECTION.from_batch({"direction": np.array([7])}, 32)) == 7
    assert NONE.from_batch(clips, 32).shape == (1, 0)
    with pytest.raises(UserError):
        POKE.from_batch({"poke_position": np.zeros((1, 2))}, 32)


def test_pokes_are_not_drawn_at_random() -> None:
    with pytest.raises(UserError):
        POKE.random(jax.random.key(0), 3)


def test_random_controls_cover_the_bins() -> None:
    drawn = np.asarray(DIRECTION.random(jax.random.key(0), 2000))
    assert (drawn.sum(axis=1) == 1).all()
    assert (drawn.sum(axis=0) > 20).all()  # 55.6 expected per bin, with a standard deviation of 7.4
    endpoints = np.asarray(ENDPOINT.random(jax.random.key(1), 500)).reshape(500, 3, 10)
    assert (endpoints.sum(axis=2) == 1).all()
    assert (endpoints.sum(axis=0) > 15).all()  # 50 expected, with a standard deviation of 6.7
    assert NONE.random(jax.random.key(2), 4).shape == (4, 0)


def test_requests() -> None:
    assert DIRECTION.request({"direction": None, "endpoint": None}, 32) is None
    for text, expected in (("90.0", 9), ("-0.1", 35)):
        eta = DIRECTION.request({"direction": text}, 32)
        assert eta is not None
        assert np.flatnonzero(eta).tolist() == [expected]
    position = ENDPOINT.request({"endpoint": "0.42638585,-0.3080245,0.4"}, 32)
    assert position is not None
    assert np.flatnonzero(position).tolist() == [0, 10, 29]
    poke = POKE.request({"poke": "3,4,1,-2"}, 32)
    np.testing.assert_array_equal(np.reshape(poke, (1, 8, 8, 3)), encoded_pokes((3, 4, 1, -2)))


@pytest.mark.parametrize(
    ("each", "given"),
    [
        (NONE, {"direction": "90"}),
        (ENDPOINT, {"direction": "90"}),
        (DIRECTION, {"direction": "90", "endpoint": "1,2,3"}),
        (ENDPOINT, {"endpoint": "1,2"}),
        (ENDPOINT, {"endpoint": "1,2,nan"}),
        (ENDPOINT, {"endpoint": "a,b,c"}),
        (DIRECTION, {"direction": "nan"}),
        (DIRECTION, {"direction": "inf"}),
        (DIRECTION, {"direction": "up"}),
        (POKE, {"poke": "1,2,3"}),
    ],
)
def test_invalid_requests_are_refused(each: control.Control, given: dict[str, str | None]) -> None:
    with pytest.raises(UserError):
        each.request(given, 32)


def test_an_unknown_control_is_refused() -> None:
    with pytest.raises(UserError):
        control.get("speed")


def test_a_name_can_be_registered_once() -> None:
    control.register(DIRECTION)
    with pytest.raises(UserError):
        control.register(control.Direction())
