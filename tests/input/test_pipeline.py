import collections
import dataclasses
import itertools
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from ml_collections import ConfigDict

from i2v_jax.configs import common, plants
from i2v_jax.data.registry import open_split, repeats
from i2v_jax.errors import UserError
from i2v_jax.input import directions, pipeline, transforms
from i2v_jax.input.clips import Augmentation, ClipOrder, Place, ReadClip, WeightedOrder, clip_counts, long_enough
from i2v_jax.input.colors import Jitter
from i2v_jax.input.procedural import sky
from tests.input.helpers import frame_numbers, numbered_frames

NO_JITTER = Jitter()


def sky_data(**changes: object) -> ConfigDict:
    data = common.base(32).data
    data.update(name="sky", workers=0, num_clips={"train": 11, "eval": 6, "test": 3})
    data.jitter.update(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1)
    data.update(changes)
    return data


def sky_pipeline(train: bool = True, batch_size: int = 4, **changes: Any) -> pipeline.Pipeline:
    split = "train" if train else "eval"
    data = sky_data(**changes)
    return pipeline.make_pipeline(open_split(data, split), data, batch_size=batch_size, seed=7, train=train)


def assert_equal(a: pipeline.Batch, b: pipeline.Batch) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert np.array_equal(a[name], b[name]), name


@dataclasses.dataclass(frozen=True)
class NumberedSource:
    """Videos of known lengths whose frames show their number; frame 0 of video v has the number 10 v."""

    lengths: tuple[int, ...]
    label_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.lengths)

    def num_frames(self, video: int) -> int:
        return self.lengths[video]

    def name(self, video: int) -> str:
        return str(video)

    def read(self, video: int, frame_indices: Sequence[int], min_size: int = 0) -> np.ndarray:
        return numbered_frames(self.lengths[video], 16, 16, offset=10 * video)[list(frame_indices)]

    def labels(self, video: int, frame_indices: Sequence[int]) -> dict[str, Any]:
        return {"direction": np.int32(2), "endpoint": np.full(3, frame_indices[-1], np.float32)}


def reader(source: NumberedSource, train: bool = False, **changes: Any) -> ReadClip:
    videos = long_enough(source, 3)
    settings = {"clips_per_video": 3, "frames": 3, "stride": 1, "flip": 0.0} | changes
    order = ClipOrder(len(videos) * settings["clips_per_video"], 2, 0, train)
    augmentation = Augmentation(settings.pop("flip"), NO_JITTER)
    return ReadClip(source, videos, order, size=16, crop="resize", augmentation=augmentation, **settings)


def numbers(clip: dict[str, Any]) -> list[int]:
    return frame_numbers(clip["video"])


def test_evaluation_clips_are_evenly_spaced() -> None:
    read = reader(NumberedSource((9, 3)))
    assert [numbers(read(p)) for p in range(3)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert [numbers(read(p)) for p in range(3, 6)] == [[10, 11, 12]] * 3
    assert numbers(reader(NumberedSource((9,)), stride=2, clips_per_video=1)(0)) == [0, 2, 4]


def test_held_out_clips_may_start_first_or_at_random() -> None:
    videos = NumberedSource((9, 40))
    assert [numbers(reader(videos, starts="first")(p)) for p in range(3)] == [[0, 1, 2]] * 3
    read = reader(videos, starts="random", clips_per_video=20)
    starts = [numbers(read(position))[0] for position in range(40)]
    assert set(starts[:20]) <= set(range(7))
    assert len(set(starts[20:])) > 10
    assert starts == [numbers(read(position))[0] for position in range(40)]  # the same at every evaluation


def test_training_clips_start_anywhere_they_fit() -> None:
    read = reader(NumberedSource((6,)), train=True)
    starts = {numbers(read(position))[0] for position in range(100)}
    assert starts == {0, 1, 2, 3}


def test_a_clip_for_each_frame_starts_there_or_as_late_as_it_can() -> None:
    """As the poke release: an epoch visits every frame, so long videos count more."""
    source = NumberedSource((6, 4))
    read = reader(source, train=True, clips_per_video=0)
    read = dataclasses.replace(read, order=ClipOrder(10, 10, 0, True))
    starts = [0, 1, 2, 3, 3, 3, 10, 11, 11, 11]
    assert [frame_numbers(read.raw_clip(Place(0, clip)).pixels)[0] for clip in range(10)] == starts
    assert sorted(numbers(read(position))[0] for position in range(10)) == starts
    assert clip_counts(source, (0, 1), 0).tolist() == [6, 4]


def test_short_videos_are_left_out() -> None:
    assert long_enough(NumberedSource((2, 3, 1, 5)), 3) == (1, 3)
    with pytest.raises(UserError) as raised:
        long_enough(NumberedSource((1, 2)), 3)
    assert raised.value.field == "data.frame_stride"


def test_flip_mirrors_pixels_and_direction() -> None:
    source = sky.SkySource("train", 1, 3, 32)
    order, videos = ClipOrder(1, 1, 0, True), (0,)
    plain, flipped = (
        ReadClip(source, videos, order, 1, 3, 1, 32, "resize", Augmentation(flip, NO_JITTER))(0) for flip in (0.0, 1.0)
    )
    assert np.array_equal(plain["video"][:, :, ::-1], flipped["video"])
    assert flipped["direction"] == directions.mirrored_bin(int(plain["direction"]))


def test_endpoint_is_that_of_the_last_frame_and_absent_under_flips() -> None:
    source = NumberedSource((9,), label_names=("direction", "endpoint"))
    assert reader(source)(1)["endpoint"].tolist() == [5, 5, 5]
    assert "endpoint" in reader(source, train=True).spec
    assert "endpoint" not in reader(source, train=True, flip=0.5)(0)
    assert "endpoint" not in reader(source, train=True, flip=0.5).spec


def test_an_epoch_may_keep_the_clips_that_do_not_fill_a_batch() -> None:
    order = ClipOrder(num_clips=11, batch_size=4, seed=0, train=True, drop_last=False)
    assert order.steps_per_epoch == 3
    for epoch in range(2):
        clips = [order.at(12 * epoch + index) for index in range(12)]
        assert {(place.epoch, place.valid) for place in clips} == {(epoch, True)}
        assert sorted(place.clip for place in clips[:11]) == list(range(11))
        assert clips[11] == clips[0]._replace(again=1)


def test_videos_count_as_often_as_they_are_said_to() -> None:
    data = sky_data(num_clips={"train": 3, "eval": 6, "test": 3})
    data.clips_per_video.train = 2
    made = pipeline.make_pipeline(open_split(data, "train"), data, batch_size=1, seed=0, train=True, repeats=(1, 2, 1))
    assert made.num_clips == 8
    assert isinstance(made.reader, ReadClip)
    assert [made.reader.raw_clip(Place(0, clip)).video for clip in range(8)] == [0, 0, 1, 1, 1, 1, 2, 2]


def test_iper_counts_free_motion_twice_but_not_in_the_test_split() -> None:
    def counts(split: str, chosen: bool = True) -> tuple[int, ...]:
        return repeats(sky_data(name="iper", repeats=chosen), NamedSource(split))

    assert counts("train") == counts("eval") == (1, 2, 2)
    assert counts("test") == (1, 1, 1)
    assert counts("train", chosen=False) == ()


@dataclasses.dataclass(frozen=True)
class NamedSource:
    split: str
    names: tuple[str, ...] = ("001_12_1.mp4", "clips/001_12_2.mp4", "002_2_2")

    def __len__(self) -> int:
        return len(self.names)

    def name(self, video: int) -> str:
        return self.names[video]


def test_a_margin_is_cut_off_in_training_only() -> None:
    changes = {"size": 24, "crop_margin": 8, "flip": 0.0, "jitter": {"brightness": 0.0}}
    data = sky_data(**changes)
    data.jitter.update(Jitter().__dict__)
    source = sky.SkySource("train", 1, data.frames, 32)

    def clip(train: bool) -> np.ndarray:
        made = pipeline.make_pipeline(source, data, batch_size=1, seed=0, train=train)
        return made.reader(0)["video"]

    stored, cut = source.read(0, range(data.frames)), clip(True)
    places = itertools.product(range(9), repeat=2)
    found = [p for p in places if np.array_equal(cut, stored[:, p[0] : p[0] + 24, p[1] : p[1] + 24])]
    assert len(found) == 1
    assert np.array_equal(clip(False), transforms.fit(stored, 24, "resize"))


def test_pokes_have_no_margin() -> None:
    data = plants.get_config("demo").data
    data.crop_margin = 16
    with pytest.raises(UserError) as raised:
        pipeline.make_pipeline(open_split(data, "train"), data, batch_size=1, seed=0, train=True)
    assert (raised.value.field, raised.value.value) == ("data.crop_margin", 16)


def test_an_epoch_shows_every_clip_at_most_once_and_epochs_differ() -> None:
    order = ClipOrder(num_clips=11, batch_size=4, seed=0, train=True)
    assert order.steps_per_epoch == 2
    epochs = [[order.at(p) for p in range(8 * e, 8 * e + 8)] for e in range(2)]
    for number, epoch in enumerate(epochs):
        assert {entry[0] for entry in epoch} == {number}
        assert len({entry[1] for entry in epoch}) == 8
    assert [entry[1] for entry in epochs[0]] != [entry[1] for entry in epochs[1]]


def test_the_draw_of_a_clip_changes_with_the_epoch_only() -> None:
    read = reader(NumberedSource((50, 50)), train=True)
    position = {read.order.at(p)[:2]: p for p in range(200)}
    starts = [numbers(read(position[(epoch, 4)]))[0] for epoch in range(5)]
    assert len(set(starts)) > 2
    assert starts[0] == numbers(read(position[(0, 4)]))[0]


def _weighted(read: ReadClip) -> ReadClip:
    objects = (np.arange(read.order.num_clips),)
    return dataclasses.replace(read, order=WeightedOrder(**vars(read.order), objects=objects))


def _last_batch_filled_up(read: ReadClip) -> ReadClip:
    return dataclasses.replace(read, order=dataclasses.replace(read.order, batch_size=128, drop_last=False))


@pytest.mark.parametrize("in_order", [_weighted, _last_batch_filled_up])
def test_a_clip_that_an_epoch_shows_again_is_drawn_anew(in_order: Callable[[ReadClip], ReadClip]) -> None:
    read = in_order(reader(NumberedSource((40,)), train=True, clips_per_video=70))
    shown: dict[int, list[int]] = {}
    for position in range(read.order.steps_per_epoch * read.order.batch_size):
        place = read.order.at(position)
        assert place.epoch == 0
        shown.setdefault(place.clip, []).append(numbers(read(position))[0])
        assert shown[place.clip][-1] == numbers(read(position))[0]
    again = [starts for starts in shown.values() if len(starts) > 1]
    assert len(again) > 10
    assert sum(len(set(starts)) > 1 for starts in again) > 0.8 * len(again)


def test_batches_match_their_specification() -> None:
    for train in (True, False):
        made = sky_pipeline(train)
        batch = next(made.iterator())
        assert {name: (a.shape, a.dtype) for name, a in batch.items()} == {
            name: (spec.shape, spec.dtype) for name, spec in made.batch_spec.items()
        }
        assert batch["video"].shape == (4, 17, 32, 32, 3)
        assert -1.0 <= batch["video"].min() < batch["video"].max() <= 1.0


def test_evaluation_passes_once_and_marks_the_filling() -> None:
    made = sky_pipeline(train=False)
    batches = list(made.iterator())
    assert len(batches) == made.steps_per_epoch == 2
    assert np.concatenate([b["index"] for b in batches]).tolist() == [0, 1, 2, 3, 4, 5, 0, 1]
    assert np.concatenate([b["valid"] for b in batches]).tolist() == [True] * 6 + [False] * 2
    expected = sky.render("eval", 5, 32, range(17)).astype(np.float32) / 127.5 - 1
    assert batches[1]["video"][1] == pytest.approx(expected, abs=1e-6)


def test_any_number_of_hosts_reads_the_same_global_batches() -> None:
    made = sky_pipeline()
    alone = made.iterator()
    hosts = [made.iterator(process=(p, 2)) for p in range(2)]
    for _ in range(5):
        parts = [next(host) for host in hosts]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        assert_equal(joined, next(alone))


def test_the_position_is_the_step_and_moves_between_host_counts() -> None:
    made = sky_pipeline()
    first = made.iterator(process=(0, 2))
    for _ in range(3):
        next(first)
    state = json.loads(json.dumps(first.get_state()))
    assert state == {"step": 3}
    resumed = made.iterator()
    next(resumed)
    resumed.set_state(state)
    batch = next(resumed)
    assert_equal(batch, next(made.iterator(start_step=3)))
    assert resumed.get_state() == {"step": 4}
    assert np.array_equal(next(first)["video"], batch["video"][:2])
    hosts = [made.iterator(process=(p, 4)) for p in range(4)]
    for host in hosts:
        host.set_state(state)
    assert np.array_equal(np.concatenate([next(host)["video"] for host in hosts]), batch["video"])


def test_worker_processes_deliver_the_same_batches() -> None:
    """Workers ignore signals from a terminal or a scheduler: the parent decides when they end."""
    in_threads, in_processes = sky_pipeline().iterator(), sky_pipeline(workers=2).iterator()
    try:
        for step in range(4):
            assert_equal(next(in_threads), next(in_processes))
            workers = multiprocessing.active_children()
            assert len(workers) == 2
            for worker in workers:
                os.kill(worker.pid, (signal.SIGINT, signal.SIGTERM)[step % 2])
    finally:
        in_processes.close()
    assert not multiprocessing.active_children()


def test_a_worker_process_that_dies_is_named() -> None:
    iterator = sky_pipeline(workers=1).iterator()
    next(iterator)
    (worker,) = multiprocessing.active_children()
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(UserError) as raised:
        collections.deque(itertools.islice(iterator, 100))  # some batches were ready
    assert raised.value.field == "data.workers"
    iterator.close()


def test_prefetch_can_be_off() -> None:
    assert_equal(next(sky_pipeline(prefetch=0).iterator()), next(sky_pipeline().iterator()))


def test_batch_that_does_not_divide_among_hosts() -> None:
    with pytest.raises(UserError) as raised:
        sky_pipeline().iterator(process=(0, 3))
    assert (raised.value.field, raised.value.value) == ("batch_size", 4)


@pytest.mark.parametrize(
    ("changes", "split", "field", "value"),
    [
        ({"num_clips": {"train": 3, "eval": 1, "test": 1}}, "train", "batch_size", 4),
        ({"name": "landscape"}, "train", "data.dir", ""),
        ({"name": "landscape", "dir": "/nowhere"}, "train", "data.dir", "/nowhere"),
        ({"name": "cityscape"}, "train", "data.name", "cityscape"),
        ({}, "validation", "split", "validation"),
    ],
)
def test_invalid_settings_are_named(changes: dict[str, Any], split: str, field: str, value: object) -> None:
    data = sky_data(**changes)
    with pytest.raises(UserError) as raised:
        pipeline.make_pipeline(open_split(data, split), data, batch_size=4, seed=0, train=True)
    assert (raised.value.field, raised.value.value) == (field, value)
