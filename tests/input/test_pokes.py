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
from i2v_jax.input import flow as optical_flow
from i2v_jax.input import pipeline, poke_reader, pokes, transforms
from i2v_jax.input.clips import Augmentation, ClipOrder, ReadClip, WeightedOrder
from i2v_jax.input.procedural import plants
from i2v_jax.pixels import from_levels

POKE = {
    "flow": "exact",
    "poke_size": 3,
    "fill": "value",
    "zeropoke_amount": 8,
    "normalize": "none",
    "impulse_motion": 1.0,
    "min_motion": 0.5,
    "object_weighting": False,
    "color_probability": 0.8,
    "geometry": {"probability": 0.8, "rotation": 15.0, "shift": 0.1},
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


def flow_of(amplitudes: np.ndarray) -> np.ndarray:
    """A flow to the right with the given lengths."""
    return np.stack([amplitudes, np.zeros_like(amplitudes)], axis=-1).astype(np.float32)


def test_foreground_is_what_moves_most() -> None:
    amplitude = np.zeros((20, 20))
    amplitude[5:8, 6:9] = 4.0  # 9 of 196 pixels inside the border: far above mean + 2 deviations
    amplitude[0, 0] = 100.0  # outside the border: not seen
    found = {tuple(pixel) for pixel in pokes.foreground(flow_of(amplitude), 3)}
    assert found == {(x, y) for x in range(6, 9) for y in range(5, 8)}


@pytest.mark.parametrize(("share", "deviations"), [(0.05, 2), (0.3, 1), (0.6, 0)])
def test_thresholds_fall_until_pixels_are_found(share: float, deviations: int) -> None:
    """The mean of ones with share p is p, the deviation sqrt(p (1 - p))."""
    amplitude = np.zeros(400)
    amplitude[: int(400 * share)] = 2.0
    normalized = amplitude / 2
    limits = [normalized.mean() + k * normalized.std() for k in (2, 1, 0)]
    assert [limit < 1 for limit in limits].index(True) == 2 - deviations
    assert len(pokes.foreground(flow_of(amplitude.reshape(20, 20)), 0)) == int(400 * share)


def test_uniform_motion_leaves_every_pixel() -> None:
    assert len(pokes.foreground(flow_of(np.ones((8, 8))), 1)) == 36


def test_background_is_outside_the_mask_or_what_moves_least() -> None:
    amplitude = np.arange(400.0).reshape(20, 20)
    still = pokes.background(flow_of(amplitude), 0)
    assert {tuple(p) for p in still} == {(x, 0) for x in range(20)}  # 5 %
    mask = np.ones((20, 20), np.int32)
    mask[10, 4] = 0
    assert pokes.background(flow_of(amplitude), 0, mask).tolist() == [[4, 10]]
    assert len(pokes.background(flow_of(amplitude), 0, np.ones((20, 20), np.int32))) == 20


def test_background_keeps_clear_of_objects_where_there_is_room() -> None:
    mask = np.zeros((20, 20), np.int32)
    mask[:, 9:11] = 7
    columns = {x for x, _ in pokes.background(flow_of(np.ones((20, 20))), 3, mask)}
    assert columns == {3, 4, 5, 14, 15, 16}  # three pixels lie between them and both object and edge
    mask[:, 3:17] = 7
    mask[5, 6] = 0
    assert pokes.background(flow_of(np.ones((20, 20))), 3, mask).tolist() == [[6, 5]]


def test_background_pokes_copy_a_displacement_of_the_foreground() -> None:
    amplitude = np.zeros((20, 20))
    amplitude[8:11, 8:11] = 5.0
    for seed in range(10):
        poke = pokes.draw_poke(flow_of(amplitude), 3, True, np.random.default_rng(seed))
        assert poke.displacement.tolist() == [5.0, 0.0]
        assert amplitude[poke.position[1], poke.position[0]] == 0


def test_the_poke_is_a_square() -> None:
    poke = pokes.poke_map((5, 2), np.array([1.5, -2.0]), 8, 3)
    assert poke[1:4, 4:7].reshape(-1, 2).tolist() == [[1.5, -2.0]] * 9
    assert np.count_nonzero(poke) == 18
    flow = np.random.default_rng(0).standard_normal((8, 8, 2)).astype(np.float32)
    patch = pokes.poke_map((5, 2), flow[2, 5], 8, 3, flow)
    assert np.array_equal(patch[1:4, 4:7], flow[1:4, 4:7])
    assert np.count_nonzero(patch) == 18


@pytest.mark.parametrize("angle", [np.pi / 2, 0.2])
def test_rotation_turns_positions_and_vectors(angle: float) -> None:
    """A point at p goes to R (p - c) + c + s, its displacement f to R f, with R = [[cos, -sin], [sin, cos]]."""
    size, point, vector = 33, np.array([20.0, 14.0]), np.array([3.0, 1.0])
    geometry = transforms.Geometry(angle, (2 / size, -1 / size))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    blob = np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / 8.0)
    moved = geometry.flow((blob[..., None] * vector).astype(np.float32))
    weight = np.hypot(moved[..., 0], moved[..., 1])
    center = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
    assert center == pytest.approx(rotation @ (point - 16) + 16 + [2, -1], abs=0.02)
    assert moved.sum((0, 1)) / weight.sum() * np.hypot(*vector) == pytest.approx(rotation @ vector, abs=1e-4)
    frame = np.repeat((255 * blob)[None, ..., None], 3, -1).astype(np.uint8)
    brightness = geometry.pixels(frame)[0, ..., 0].astype(float)
    assert np.array([(brightness * x).sum(), (brightness * y).sum()]) / brightness.sum() == pytest.approx(
        center, abs=0.05
    )


def test_what_is_mirrored_at_the_border_moves_the_other_way() -> None:
    flow = np.full((9, 9, 2), [2.0, 1.0], np.float32)
    shifted = transforms.Geometry(0.0, (3 / 9, 0.0)).flow(flow)
    assert shifted[:, :3].reshape(-1, 2).tolist() == [[-2.0, 1.0]] * 27
    assert shifted[:, 3:].reshape(-1, 2).tolist() == [[2.0, 1.0]] * 54


def test_nothing_changes_without_rotation_and_shift() -> None:
    still = transforms.Geometry(0.0, (0.0, 0.0))
    flow = np.random.default_rng(0).standard_normal((8, 8, 2)).astype(np.float32)
    labels = np.arange(64, dtype=np.int32).reshape(8, 8)
    assert np.array_equal(still.flow(flow), flow)
    assert np.array_equal(still.labels(labels), labels)


def test_augmented_flow_is_the_flow_of_the_augmented_frames() -> None:
    errors, lengths = [], []
    for index in range(6):
        frames = plants.render("train", index, 128, [0, 10])
        geometry = transforms.draw_geometry(15.0, 0.1, np.random.default_rng(index))
        changed = geometry.pixels(frames)
        expected = geometry.flow(plants.plants_flow("train", index, 128))
        found = optical_flow.estimate(*changed)
        region = np.hypot(expected[..., 0], expected[..., 1]) > 3.0
        region[:16], region[-16:], region[:, :16], region[:, -16:] = False, False, False, False
        errors.append(np.hypot(*(found - expected)[region].T).mean())
        lengths.append(np.hypot(*expected[region].T).mean())
    assert np.mean(errors) < 0.5 * np.mean(lengths)


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
    """17 frames, in the last of which the poke is reached; single frames, of the image autoencoder, have none."""
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
    jitter = dict.fromkeys(("brightness", "contrast", "saturation", "hue"), 0.0)
    clips = ReadClip(
        source, tuple(range(len(source))), ClipOrder(len(source), 2, 0, train), 1, 11, 1, 32, "resize",
        Augmentation(0.0, jitter),
    )  # fmt: skip
    return poke_reader.ReadPokedClip(clips, poke_reader.PokeSettings.of(ConfigDict(POKE | changes)))


def test_one_poke_in_eight_is_on_the_background() -> None:
    reader, rng = poked_reader(), np.random.default_rng(0)
    flow = flow_of(np.random.default_rng(1).random((32, 32)))
    count = sum(bool(reader._pokes.draw(flow, None, None, rng)["is_background"]) for _ in range(800))
    assert abs(count - 100) < 4 * np.sqrt(800 * 7 / 64)


def test_impulses_are_as_long_as_the_clip_has_motion() -> None:
    reader = poked_reader(train=False, normalize="impulse", impulse_motion=2.0, zeropoke_amount=0)
    clip, plain = reader(0), poked_reader(train=False, zeropoke_amount=0)(0)
    steps = [np.hypot(*np.moveaxis(plants.plants_flow("train", 0, 32, t, t + 1), -1, 0)).mean() for t in range(10)]
    assert np.hypot(*clip["poke_displacement"]) == pytest.approx(np.mean(steps) / 2.0, rel=1e-4)
    unit = plain["poke_displacement"] / np.hypot(*plain["poke_displacement"])
    assert clip["poke_displacement"] / np.hypot(*clip["poke_displacement"]) == pytest.approx(unit, abs=1e-5)


def test_flow_is_flipped_with_the_frames() -> None:
    reader = poked_reader(geometry={"probability": 0.0, "rotation": 0.0, "shift": 0.0}, zeropoke_amount=0)
    clips = dataclasses.replace(reader.clips, augmentation=Augmentation(1.0, reader.clips.augmentation.jitter))
    reader = dataclasses.replace(reader, clips=clips)
    frames, flow = plants.render("train", 0, 32, range(11)), plants.plants_flow("train", 0, 32)
    pixels, flipped, _ = reader._augment(frames, flow, None, np.random.default_rng(0))
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
    order = pipeline._weighted(ClipOrder(30, 2, 0, True), Still(3), (0, 1, 2), 10)
    assert isinstance(order, WeightedOrder)
    assert order.objects == (tuple(range(10)), tuple(range(10, 30)))
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
