"""Clips of varying length: one length and one kind of pokes for each batch."""

import collections
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ml_collections import ConfigDict

from i2v_jax.data.registry import open_split
from i2v_jax.errors import UserError
from i2v_jax.input import mixture, pipeline, pokes, sequences
from i2v_jax.input.clip_pokes import ClipPokes, PokeSettings
from i2v_jax.input.clips import Augmentation, ClipOrder, ReadClip
from i2v_jax.input.colors import Jitter
from i2v_jax.input.flow_store import FlowStore, to_record
from i2v_jax.input.poke_reader import ReadPokedClip
from tests.input.test_pipeline import NumberedSource
from tests.input.test_poke_reader import plants_data

KINDS = sequences.BatchKinds(5, 13, background_weight=10.0, longest_weight=20.0, amplitude_cutoff=0.6, seed=3)


def test_batches_are_of_the_kinds_of_the_release() -> None:
    """10 of 38 are of the background, in any length, 20 of the longest clips, one of each other length."""
    drawn = [KINDS.at(step) for step in range(3800)]
    assert drawn == [KINDS.at(step) for step in range(3800)]
    counts = collections.Counter(-1 if background else index for index, background in drawn)
    expected = {-1: 1000, 8: 2000} | dict.fromkeys(range(8), 100)
    assert counts.keys() == expected.keys()
    for kind, count in expected.items():
        assert abs(counts[kind] - count) < 4 * np.sqrt(count), kind
    assert {index for index, background in drawn if background} == set(range(9))
    assert [KINDS.lengths[index] for index in range(9)] == list(range(5, 14))
    assert KINDS.amplitudes(0)[0] == 0 and KINDS.amplitudes(8)[1] == pytest.approx(0.6)


def sequence_data(**changes: Any) -> ConfigDict:
    data = plants_data(zeropoke_amount=0, normalize="impulse")
    data.update(frames=7)
    data.poke.sequence.update(shortest=3, longest_weight=2.0, background_weight=2.0, **changes)
    return data


def sequence_pipeline(batch_size: int = 4, **changes: Any) -> pipeline.Pipeline:
    data = sequence_data(**changes)
    return pipeline.make_pipeline(open_split(data, "train"), data, batch_size=batch_size, seed=7, train=True)


def steps(chosen: pipeline.Pipeline, start: int, count: int, process: tuple[int, int] = (0, 1)) -> list[pipeline.Batch]:
    iterator = chosen.iterator(start, process)
    found = [next(iterator) for _ in range(count)]
    iterator.close()
    return found


def test_all_clips_of_a_batch_have_one_length_and_one_kind() -> None:
    chosen = sequence_pipeline()
    assert chosen.batch_spec["video"].shape == (4, 7, 32, 32, 3)
    assert chosen.steps_per_epoch == 2
    batches = steps(chosen, 0, 24)
    assert {batch["video"].shape[1] for batch in batches} == {4, 5, 6, 7}
    assert {bool(batch["is_background"].all()) for batch in batches} == {True, False}
    for batch in batches:
        assert len(set(batch["is_background"].tolist())) == 1
        assert np.hypot(*batch["poke_displacement"].T).max() <= 1
        if batch["is_background"][0]:
            assert (batch["video"] == batch["video"][:, :1]).all()


def test_a_step_depends_on_its_number_alone_whatever_the_hosts() -> None:
    chosen = sequence_pipeline()
    whole = steps(chosen, 0, 6)
    for step, batch in enumerate(steps(chosen, 3, 3), start=3):
        for name, array in batch.items():
            np.testing.assert_array_equal(array, whole[step][name])
    first, second = (steps(chosen, 2, 2, (host, 2)) for host in range(2))
    for step in range(2):
        joined = np.concatenate([first[step]["video"], second[step]["video"]])
        np.testing.assert_array_equal(joined, whole[2 + step]["video"])


def test_held_out_clips_all_have_the_longest_length() -> None:
    data = sequence_data()
    held_out = pipeline.make_pipeline(open_split(data, "eval"), data, batch_size=3, seed=7, train=False)
    assert steps(held_out, 0, 1)[0]["video"].shape == (3, 7, 32, 32, 3)


def test_a_mixture_has_one_length_in_each_batch() -> None:
    mixed = mixture.mixed([sequence_pipeline(1), sequence_pipeline(1)], (), batch_size=4, seed=1)
    assert [batch["video"].shape[1] for batch in steps(mixed, 0, 6)] == [
        1 + sequence_pipeline().reader.kinds.lengths[sequence_pipeline().reader.kinds.at(step)[0]]  # type: ignore[attr-defined]
        for step in range(6)
    ]


def poked_reader(folder: Path, data: ConfigDict) -> ReadPokedClip:
    """Returns a reader of two videos of 10 and 8 frames whose flow from frame f has the length f / 10 and 1 / 10."""
    source, store = NumberedSource((10, 8)), FlowStore(folder, {"train": 9})
    for video, lengths in enumerate((np.arange(8) / 10, np.full(6, 0.1))):
        path = store.path(video, 2)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.stack([to_record(np.full((4, 4, 2), (4 * length, 0), np.float32)) for length in lengths]))
    (store.folder(2) / "statistics.json").write_text(
        json.dumps({"longest_in_frame_sizes": 1.0, "longest_in_shorter_sides": 1.0})
    )
    augmentation = Augmentation(0.0, Jitter(0.0, 0.0, 0.0, 0.0))
    clips = ReadClip(source, (0, 1), ClipOrder(18, 2, 0, True), 0, 4, 1, 16, "resize", augmentation)
    return ReadPokedClip(clips, ClipPokes(source, PokeSettings.of(data.poke), 16, store))


def test_far_motion_is_shown_in_long_clips(tmp_path: Path) -> None:
    """Lengths 2 and 3: with a cutoff of 0.6, three frames need motion above half of it, 0.3 of the largest."""
    data = plants_data(flow="stored", flow_frames=2)
    data.update(frames=4, clips_per_video={"train": 0, "eval": 1, "test": 1})
    data.poke.sequence.update(shortest=2, amplitude_cutoff=0.6)
    poked = poked_reader(tmp_path, data)
    read = sequences.in_sequences(poked, data, ())
    # The clips of the first video start at 0 to 6 and thrice more at 6, as late as four frames allow.
    assert [group.tolist() for (group,) in read.clips] == [list(range(1, 18)), list(range(4, 10))]
    weighted = sequences.in_sequences(poked, data, (np.arange(10), np.arange(10, 18)))
    assert [[group.tolist() for group in groups] for groups in weighted.clips] == [
        [list(range(1, 10)), list(range(10, 18))], [list(range(4, 10))],
    ]  # fmt: skip
    data.poke.sequence.shortest = 3
    assert [group.tolist() for (group,) in sequences.in_sequences(poked, data, ()).clips] == [list(range(1, 18))]


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("data.poke.sequence.shortest", {"shortest": 4}),
        ("data.poke.sequence.amplitude_cutoff", {"amplitude_cutoff": 1.0, "shortest": 1, "frames": 3}),
        ("data.poke.sequence.amplitude_cutoff", {"amplitude_cutoff": 0.5, "clips": 3}),
    ],
)
def test_sequences_that_do_not_fit(tmp_path: Path, field: str, changes: dict[str, Any]) -> None:
    data = plants_data(flow="stored", flow_frames=2)
    data.update(frames=4, clips_per_video={"train": changes.pop("clips", 0), "eval": 1, "test": 1})
    poked = poked_reader(tmp_path, data)
    data.frames = changes.pop("frames", 4)
    if changes.get("amplitude_cutoff") == 1.0:  # nothing in the second video moves that far
        poked = ReadPokedClip(poked.clips, poked.pokes)
        object.__setattr__(poked.clips, "videos", (1,))
        object.__setattr__(poked.clips, "order", ClipOrder(8, 2, 0, True))
    data.poke.sequence.update(**{"shortest": 2} | changes)
    with pytest.raises(UserError) as raised:
        sequences.in_sequences(poked, data, ())
    assert raised.value.field == field


def test_pokes_are_where_the_motion_is_within_a_range() -> None:
    """A row of amplitudes from 0.4 to 1, of which those from 0.5 on are above the mean by two deviations."""
    flow = np.zeros((16, 16, 2), np.float32)
    flow[8, 2:14, 0] = np.linspace(0.4, 1, 12)

    def amplitudes(within: tuple[float, float] | None) -> np.ndarray:
        return np.array([flow[y, x, 0] for x, y in pokes.foreground(flow, 2, within=within)])

    free, some, elsewhere = amplitudes(None), amplitudes((0.6, 0.8)), amplitudes((0.0, 0.3))
    assert free.min() < 0.6 and free.max() == 1.0
    assert sorted(some) == sorted(free[(free > 0.6) & (free < 0.8)]) and len(some) >= 3
    assert set(elsewhere) >= set(free)  # nothing moves that little: all above the mean by one deviation
