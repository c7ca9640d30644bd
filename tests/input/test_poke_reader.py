"""Batches of poked clips."""

import dataclasses
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from ml_collections import ConfigDict

from i2v_jax.configs import common
from i2v_jax.data.registry import open_split
from i2v_jax.errors import UserError
from i2v_jax.input import clip_pokes, pipeline, poke_reader
from i2v_jax.input.clips import Augmentation, ClipOrder, Place, ReadClip, WeightedOrder
from i2v_jax.input.colors import Jitter
from i2v_jax.input.procedural import plants
from i2v_jax.pixels import from_levels

POKE = {
    "flow": "exact",
    "flow_frames": 0,
    "poke_size": 3,
    "fill": "value",
    "zeropoke_amount": 8,
    "mask": "none",
    "mask_size": 0,
    "patch": "none",
    "normalize": "none",
    "largest_flow": 0.0,
    "min_motion": 0.5,
    "object_weighting": False,
    "sequence": {"shortest": 0, "longest_weight": 20.0, "background_weight": 10.0, "amplitude_cutoff": 0.0},
    "color_probability": 0.8,
    "geometry": {"probability": 0.8, "rotation": 15.0, "shift": 0.1, "whole_pixels": False},
}


def plants_data(**changes: object) -> ConfigDict:
    data = common.base(32).data
    data.update(name="plants", frames=11, flip=0.0, workers=0, num_clips={"train": 8, "eval": 3, "test": 2})
    data.jitter.update(brightness=0.4, contrast=0.5, saturation=0.4, hue=0.15)
    data.declare(poke=POKE)
    data.poke.update(changes)
    return data


def plants_pipeline(train: bool = True, seed: int = 7, **changes: object) -> pipeline.Pipeline:
    split = "train" if train else "eval"
    data = plants_data(**changes)
    return pipeline.make_pipeline(open_split(data, split), data, batch_size=4, seed=seed, train=train)


def batch_of(chosen: pipeline.Pipeline, step: int = 0) -> pipeline.Batch:
    iterator = chosen.iterator(start_step=step)
    batch = next(iterator)
    iterator.close()
    return batch


def test_batches_are_as_described() -> None:
    for train in (True, False):
        chosen = plants_pipeline(train)
        batch = batch_of(chosen)
        assert {name: (array.shape, array.dtype) for name, array in batch.items()} == {
            name: (item.shape, item.dtype) for name, item in chosen.batch_spec.items()
        }
        assert batch["video"].shape == (4, 11, 32, 32, 3)
        assert batch["poke"].shape == (4, 32, 32, 2)
        assert batch["video"].min() >= -1
        assert batch["video"].max() <= 1
        for poke, (x, y), displacement in zip(
            batch["poke"], batch["poke_position"], batch["poke_displacement"], strict=True
        ):
            assert np.all(poke[y - 1 : y + 2, x - 1 : x + 2] == displacement)
            assert np.count_nonzero(poke[..., 0]) <= 9
            assert np.hypot(*displacement) > 0
    assert set(batch) >= {"flow", "mask", "index", "valid"}
    assert batch["valid"].tolist() == [True, True, True, False]


def test_clips_of_the_cinn_carry_pokes_too() -> None:
    """Clips have 17 frames and reach the poke in the last one; single frames for the image autoencoder have no poke."""
    data = plants_data(zeropoke_amount=0)
    data.frames = 17
    batch = batch_of(pipeline.make_pipeline(open_split(data, "eval"), data, batch_size=3, seed=0, train=False))
    assert batch["video"].shape == (3, 17, 32, 32, 3)
    for clip, (x, y) in enumerate(batch["poke_position"]):
        assert np.array_equal(batch["poke_displacement"][clip], plants.plants_flow("eval", clip, 32)[y, x])
        last = plants.render("eval", clip, 32, [plants.LAST_FRAME])[0]
        assert batch["video"][clip, -1] == pytest.approx(from_levels(last))
    data.frames = 1
    batch = batch_of(pipeline.make_pipeline(open_split(data, "train"), data, batch_size=4, seed=0, train=True))
    assert set(batch) == {"video"}


def test_batches_depend_on_seed_and_step_only() -> None:
    first, again = batch_of(plants_pipeline(), 1), batch_of(pickle.loads(pickle.dumps(plants_pipeline())), 1)
    for name, array in first.items():
        assert np.array_equal(array, again[name]), name
    assert not np.array_equal(first["poke"], batch_of(plants_pipeline(seed=8), 1)["poke"])
    assert not np.array_equal(first["poke"], batch_of(plants_pipeline(), 3)["poke"])
    evaluations = [batch_of(plants_pipeline(train=False, seed=seed)) for seed in (1, 2)]
    for name, array in evaluations[0].items():
        assert np.array_equal(array, evaluations[1][name]), name


def test_foreground_pokes_say_where_the_pixel_goes() -> None:
    batch = batch_of(plants_pipeline(train=False, zeropoke_amount=0))
    for clip in range(4):
        x, y = batch["poke_position"][clip]
        assert np.array_equal(batch["poke_displacement"][clip], batch["flow"][clip, y, x])
        assert np.array_equal(batch["flow"][clip], plants.plants_flow("eval", int(batch["index"][clip]), 32))
        assert batch["mask"][clip, y, x] > 0
    assert not batch["is_background"].any()


def test_background_pokes_leave_everything_still() -> None:
    for train in (True, False):
        batch = batch_of(plants_pipeline(train, zeropoke_amount=1))
        assert batch["is_background"].all()
        assert np.all(batch["video"] == batch["video"][:, :1])
        assert np.all(np.hypot(*batch["poke_displacement"].T) > 0.5)
    assert np.all(batch["flow"] == 0)
    assert [batch["mask"][clip, y, x] for clip, (x, y) in enumerate(batch["poke_position"])] == [0] * 4


def poked_reader(train: bool = True, source: Any = None, **changes: object) -> poke_reader.ReadPokedClip:
    source = source or plants.PlantsSource("train", 4, 11, 32)
    clips = ReadClip(
        source, tuple(range(len(source))), ClipOrder(len(source), 2, 0, train), 1, 11, 1, 32, "resize",
        Augmentation(0.0, Jitter()),
    )  # fmt: skip
    settings = clip_pokes.PokeSettings.of(ConfigDict(POKE | changes))
    unit = clip_pokes.unit_of_impulses(settings, source, None, plants_data(**changes))
    return poke_reader.ReadPokedClip(clips, clip_pokes.ClipPokes(source, settings, 32, unit=unit))


def test_one_poke_in_eight_is_on_the_background() -> None:
    reader = poked_reader()
    reader = dataclasses.replace(reader, clips=dataclasses.replace(reader.clips, order=ClipOrder(804, 2, 0, True)))
    places = [
        [Place(epoch, clip, again=again) for clip in range(804)] for epoch, again in ((0, 0), (0, 0), (1, 0), (0, 9))
    ]
    marked = [[reader._on_background(place) for place in chosen] for chosen in places]
    assert [sum(clips) for clips in marked] == [100] * 4
    assert marked[0] == marked[1] not in (marked[2], marked[3])


def test_impulses_are_displacements_in_units_of_the_largest_flow() -> None:
    for longest, fill in ((0.5, "value"), (0.5, "patch"), (0.01, "value"), (0.0, "value")):
        reader = poked_reader(train=False, normalize="impulse", largest_flow=longest, zeropoke_amount=0, fill=fill)
        clip, plain = reader(0), poked_reader(train=False, zeropoke_amount=0, fill=fill)(0)
        length = np.hypot(*plain["poke_displacement"])
        unit = max(32 * (longest or 0.4), length)  # an impulse is never longer than 1
        assert clip["poke_displacement"] == pytest.approx(plain["poke_displacement"] / unit, rel=1e-5)
        assert clip["poke"] == pytest.approx(plain["poke"] / unit, rel=1e-5)


def test_the_unit_of_impulses_must_be_known() -> None:
    with pytest.raises(UserError) as raised:
        poked_reader(source=Still(), flow="dis", normalize="impulse")
    assert (raised.value.field, raised.value.value) == ("data.poke.largest_flow", 0.0)


def test_flow_is_flipped_with_the_frames() -> None:
    reader = poked_reader(geometry=POKE["geometry"] | {"probability": 0.0}, zeropoke_amount=0)
    clips = dataclasses.replace(reader.clips, augmentation=Augmentation(1.0, reader.clips.augmentation.jitter))
    reader = dataclasses.replace(reader, clips=clips)
    frames, flow = plants.render("train", 0, 32, range(11)), plants.plants_flow("train", 0, 32)
    pixels, (flipped,), _ = reader._augment(frames, flow[None], None, np.random.default_rng(0))
    assert np.array_equal(pixels, frames[:, :, ::-1])
    assert np.array_equal(flipped[:, ::-1, 0], -flow[..., 0])
    assert np.array_equal(flipped[:, ::-1, 1], flow[..., 1])


@dataclasses.dataclass(frozen=True)
class Still:
    """Videos in which nothing moves."""

    count: int = 3
    label_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.count

    def num_frames(self, video: int) -> int:
        return 11

    def name(self, video: int) -> str:
        return f"still{video}"

    def object_name(self, video: int) -> str:
        return "rock" if video else "stone"

    def read(self, video: int, frame_indices: Sequence[int], min_size: int = 0) -> np.ndarray:
        frame = np.random.default_rng(video).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        return np.stack([frame] * len(frame_indices))

    def labels(self, video: int, frame_indices: Sequence[int]) -> dict[str, Any]:
        return {}


def test_videos_without_motion() -> None:
    with pytest.raises(UserError) as raised:
        poked_reader(True, Still(), flow="dis")(0)
    assert (raised.value.field, raised.value.value) == ("data.poke.min_motion", 0.5)
    clip = poked_reader(False, Still(), flow="dis")(0)
    assert not clip["valid"]
    assert "mask" not in clip


def test_objects_are_equally_likely() -> None:
    order = pipeline._weighted(ClipOrder(30, 2, 0, True), ("a", "b", "b"), np.full(3, 10))
    assert isinstance(order, WeightedOrder)
    assert [clips.tolist() for clips in order.objects] == [list(range(10)), list(range(10, 30))]
    clips = np.array([order.at(position)[1] for position in range(3000)])
    assert abs((clips < 10).sum() - 1500) < 4 * np.sqrt(750)
    assert len(np.unique(clips)) == 30
    assert [order.at(position) for position in (0, 31)] == [order.at(position) for position in (0, 31)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("flow", "flownet"),
        ("flow", "stored"),
        ("fill", "blur"),
        ("normalize", "max"),
        ("mask", "u2net"),
        ("patch", "person"),
        ("mask", "stored"),
        ("poke_size", 4),
        ("zeropoke_amount", -1),
    ],
)
def test_invalid_settings_are_named(field: str, value: object) -> None:
    with pytest.raises(UserError) as raised:
        plants_pipeline(**{field: value})
    assert (raised.value.field, raised.value.value) == (f"data.poke.{field}", value)


def test_exact_flow_of_a_data_set_that_has_none() -> None:
    data = plants_data()
    data.name = "sky"
    with pytest.raises(UserError) as raised:
        pipeline.make_pipeline(open_split(data, "train"), data, batch_size=2, seed=0, train=True)
    assert (raised.value.field, raised.value.value) == ("data.poke.flow", "exact")


def test_the_flow_of_a_poke_may_end_before_the_clip() -> None:
    whole, half = (poked_reader(flow_frames=frames) for frames in (0, 5))
    raw = whole.clips.raw_clip(Place(0, 0))
    found = half.pokes.flow(raw)
    np.testing.assert_array_equal(found, raw_flow(whole, 0, 5))
    assert np.abs(found - whole.pokes.flow(raw)).max() > 0.1
    with pytest.raises(UserError) as raised:
        plants_pipeline(flow_frames=11)
    assert (raised.value.field, raised.value.value) == ("data.poke.flow_frames", 11)


def raw_flow(reader: poke_reader.ReadPokedClip, video: int, frame: int) -> np.ndarray:
    source = reader.clips.source
    assert isinstance(source, clip_pokes.KnownMotion)
    return source.true_flow(video, 0, frame)
