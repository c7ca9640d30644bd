"""Clips of several data sets in one training."""

import collections
from typing import Any

import numpy as np
import pytest
from ml_collections import ConfigDict

from i2v_jax.config import Config
from i2v_jax.configs import common
from i2v_jax.data.registry import open_split
from i2v_jax.errors import UserError
from i2v_jax.input import mixture
from i2v_jax.input.pipeline import Pipeline, make_pipeline

CLIPS = {"sky": 12, "textures": 6}


def data_of(**changes: Any) -> Config:
    data = common.base(32).data
    data.update(name="sky", frames=3, flip=0.0, workers=0)
    data.num_clips.train = 12
    data.mixture.names = ("textures",)
    data.mixture.update(changes)
    return data


def mixed_pipeline(batch_size: int = 4, workers: int = 0, **changes: Any) -> Pipeline:
    pipelines = []
    for part in mixture.parts(data_of(**changes)):
        part.num_clips.train, part.workers = CLIPS[part.name], workers
        pipelines.append(make_pipeline(open_split(part, "train"), part, batch_size=1, seed=3, train=True))
    weights = data_of(**changes).mixture.weights
    return mixture.mixed(pipelines, weights, batch_size=batch_size, seed=3)


def places(pipeline: Pipeline, positions: range) -> list[tuple[int, int]]:
    order = pipeline.reader.order
    assert isinstance(order, mixture.MixedOrder)
    return [order.place(position) for position in positions]


def test_without_weights_an_epoch_shows_every_clip_of_all_data_sets_once() -> None:
    pipeline = mixed_pipeline(batch_size=6)
    assert (pipeline.num_clips, pipeline.steps_per_epoch) == (18, 3)
    for epoch in range(2):
        found = places(pipeline, range(18 * epoch, 18 * (epoch + 1)))
        expected = {(part, epoch * count + clip) for part, count in enumerate((12, 6)) for clip in range(count)}
        assert set(found) == expected and len(found) == 18
    assert found != places(pipeline, range(18))


@pytest.mark.parametrize(("weights", "shares"), [((1.0, 1.0), (9, 9)), ((1, 0), (18, 0)), ((0.0, 2.0), (0, 18))])
def test_weights_are_the_shares_of_the_data_sets(weights: tuple[float, ...], shares: tuple[int, ...]) -> None:
    pipeline = mixed_pipeline(batch_size=6, weights=weights)
    found = places(pipeline, range(18 * 4))
    counts = collections.Counter(part for part, _ in found)
    assert tuple(counts[part] for part in (0, 1)) == tuple(4 * share for share in shares)
    for part, share in enumerate(shares):  # each data set in its own order, which starts again when it is at its end
        assert sorted(place for chosen, place in found if chosen == part) == list(range(4 * share))


def test_a_clip_is_that_of_its_own_data_set() -> None:
    pipeline = mixed_pipeline()
    readers = pipeline.reader.readers  # type: ignore[attr-defined]
    assert set(pipeline.batch_spec) == {"video"}  # the labels that both have
    for position in range(8):
        part, place = places(pipeline, range(position, position + 1))[0]
        np.testing.assert_array_equal(pipeline.reader(position)["video"], readers[part](place)["video"])


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_step_depends_on_its_number_alone_whatever_the_hosts(workers: int) -> None:
    pipeline = mixed_pipeline(workers=workers, weights=(1.0, 3.0))

    def steps(start: int, process: tuple[int, int], count: int) -> list[np.ndarray]:
        iterator = pipeline.iterator(start, process)
        found = [next(iterator)["video"] for _ in range(count)]
        iterator.close()
        return found

    whole = steps(0, (0, 1), 6)
    np.testing.assert_array_equal(steps(5, (0, 1), 1)[0], whole[5])  # as after a checkpoint, in the second epoch
    halves = [steps(2, (host, 2), 2) for host in range(2)]
    for step in range(2):
        np.testing.assert_array_equal(np.concatenate([half[step] for half in halves]), whole[2 + step])


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("data.mixture.weights", {"weights": (1.0,)}),
        ("data.mixture.weights", {"weights": (0.0, 0.0)}),
        ("data.mixture.dirs", {"dirs": ("a", "b")}),
        ("data.mixture.names", {"names": ("sky",)}),
        ("batch_size", {"batch_size": 19}),
    ],
)
def test_mixtures_that_do_not_fit(field: str, changes: dict[str, Any]) -> None:
    with pytest.raises(UserError) as raised:
        mixed_pipeline(**changes)
    assert raised.value.field == field


def test_every_data_set_has_its_own_folder() -> None:
    data = data_of(names=("textures", "plants"), dirs=("there", "gs://bucket"))
    data.dir = "here"
    assert [(part.name, part.dir) for part in mixture.parts(data)] == [
        ("sky", "here"), ("textures", "there"), ("plants", "gs://bucket"),
    ]  # fmt: skip
    assert {part.name: part.dir for part in mixture.parts(data_of())} == {"sky": "", "textures": ""}
    assert mixture.part_of(data, "plants").dir == "gs://bucket"
    assert (mixture.part_of(data, "folder").name, mixture.part_of(data, "folder").dir) == ("folder", "here")
    plain = ConfigDict(data.to_dict())
    assert [part.name for part in mixture.parts(plain)] == ["sky", "textures", "plants"]
