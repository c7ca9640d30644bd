import cv2
import numpy as np
import pytest

from i2v_jax.input import flow as optical_flow
from i2v_jax.input.procedural import plants
from i2v_jax.input.procedural.plants_mechanics import Grip


def chain(index: int = 0, plant: int = -1, split: str = "train"):
    return plants._plants(split, index)[plant].chain


def test_clips_are_the_same_every_time_and_differ_from_each_other() -> None:
    first = plants.render("train", 3, 32, range(4))
    for cached in (plants._plants, plants._background):
        cached.cache_clear()
    assert np.array_equal(first, plants.render("train", 3, 32, range(4)))
    assert first.shape == (4, 32, 32, 3)
    assert first.dtype == np.uint8
    assert not np.array_equal(first, plants.render("train", 4, 32, range(4)))
    assert not np.array_equal(first, plants.render("test", 3, 32, range(4)))


def test_an_index_shows_the_same_scene_at_every_size() -> None:
    large, small = plants.render("eval", 1, 128, [0, 10]), plants.render("eval", 1, 64, [0, 10])
    shrunk = np.stack([cv2.resize(frame, (64, 64), interpolation=cv2.INTER_AREA) for frame in large]).astype(float)
    assert np.abs(shrunk - small).mean() < 2.0
    assert np.abs(shrunk - plants.render("eval", 2, 64, [0, 10])).mean() > 10.0
    large_flow, small_flow = plants.plants_flow("eval", 1, 128), plants.plants_flow("eval", 1, 64)
    both = plants.plants_mask("eval", 1, 128)[::2, ::2] == plants.plants_mask("eval", 1, 64)
    assert np.abs(large_flow[::2, ::2] / 2 - small_flow)[both].mean() < 0.05


def test_all_is_at_rest_in_frame_0_and_only_pulled_plants_move() -> None:
    pulls = plants.plants_motion("train", 0)
    video = plants.render("train", 0, 64, range(11)).astype(int)
    assert np.array_equal(video[0], plants.render("train", 0, 64, [0], pulls=())[0])
    mask, flow = plants.plants_mask("train", 0, 64), plants.plants_flow("train", 0, 64)
    moving = np.isin(mask, [pull.plant + 1 for pull in pulls])
    assert np.all(flow[~moving] == 0)
    assert np.all(np.hypot(*plants.plants_flow("train", 0, 64, 0, 1)[moving].T) > 0)
    seen = np.zeros((64, 64), bool)  # where a pulled plant ever is, with its soft border
    for time in range(11):
        seen |= np.isin(plants.plants_mask("train", 0, 64, time), [pull.plant + 1 for pull in pulls])
    seen = cv2.dilate(seen.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert np.all(video[:, ~seen] == video[:1, ~seen])


def test_masks_name_every_plant_in_front() -> None:
    for index in range(4):
        mask = plants.plants_mask("train", index, 64)
        count = len(plants._plants("train", index))
        assert count in (2, 3)
        assert set(np.unique(mask)) <= set(range(count + 1))
        assert mask.max() == count  # nothing stands before the nearest one
        assert 0.1 < (mask > 0).mean() < 0.6


def test_motion_is_of_a_size_that_can_be_learnt() -> None:
    furthest = []
    for index in range(24):
        flow = plants.plants_flow("train", index, 64)
        furthest.append(np.hypot(flow[..., 0], flow[..., 1]).max())
    assert 6.0 < np.mean(furthest) < 14.0
    assert min(furthest) > 2.0
    assert max(furthest) < 24.0


def test_every_vibration_answers_as_a_damped_oscillator() -> None:
    """Solves r'' + 2 d w r' + w^2 r = 1 from rest numerically; slow modes oscillate, fast ones are overdamped."""
    plant = chain()
    speed, _ = plant._modes
    damping = plant.damping * speed / speed[0]
    assert damping.min() < 1.0 < damping.max()
    step = 1e-3
    times = 2.0 + step * np.arange(-1, 2)
    before, now, after = plant._responses(times)
    velocity, acceleration = (after - before) / (2 * step), (after - 2 * now + before) / step**2
    assert acceleration + 2 * damping * speed * velocity + speed**2 * now == pytest.approx(np.ones_like(now), abs=1e-3)
    start, soon = plant._responses(np.array([0.0, 1e-6]))
    assert start == pytest.approx(np.zeros_like(start), abs=1e-12)
    assert (soon - start) / 1e-6 == pytest.approx(np.zeros_like(start), abs=1e-4)  # without speed


def test_jacobian_is_the_derivative() -> None:
    plant, rng = chain(), np.random.default_rng(0)
    for grip in (Grip(2, 0.4), Grip(len(plant.parent) - 1, 0.7, 0.01, -0.02)):
        deflection = 0.2 * rng.standard_normal(2 * len(plant.parent))
        found = plant._jacobian(plant.pose(deflection), grip)
        for i, step in enumerate(1e-6 * np.eye(len(deflection))):
            ahead, behind = (plant.pose(deflection + sign * step).at(grip) for sign in (1, -1))
            assert found[:, i] == pytest.approx((ahead - behind) / 2e-6, abs=1e-6)


def test_links_stay_joined_and_keep_their_shape() -> None:
    plant, rng = chain(), np.random.default_rng(0)
    pose = plant.pose(rng.uniform(-0.3, 0.3, (5, 2 * len(plant.parent))))
    ends = pose.start + pose.axis * pose.length[..., None]
    for link, parent in enumerate(plant.parent):
        joint = np.broadcast_to(plant.root, (5, 2)) if parent < 0 else ends[:, parent]
        assert pose.start[:, link] == pytest.approx(joint, abs=1e-12)
    assert np.hypot(*np.moveaxis(pose.axis, -1, 0)) == pytest.approx(np.ones(pose.length.shape))


def test_a_pulled_point_ends_where_it_was_pulled_to() -> None:
    for index in range(12):
        for pull in plants.plants_motion("train", index):
            plant = chain(index, pull.plant)
            force = plant.pull_to(pull.grip, np.array(pull.displacement), plants.LAST_FRAME)
            begin, end = plant.motion(pull.grip, force, np.array([0.0, plants.LAST_FRAME])).at(pull.grip)
            assert end - begin == pytest.approx(np.array(pull.displacement), abs=1e-6)


def test_the_answer_to_a_poke_takes_the_poked_pixel_to_its_target() -> None:
    """Pokes any pixel of a plant except near its root by 4 px at 64x64, in any direction."""
    rng = np.random.default_rng(1)
    for index in range(6):
        rows, columns = np.nonzero(plants.plants_mask("test", index, 64)[:48])
        for i in rng.integers(len(rows), size=3):
            angle = rng.uniform(0, 2 * np.pi)
            displacement = np.array([4 * np.cos(angle), 4 * np.sin(angle)])
            pulls = plants.pull_at("test", index, 64, (columns[i], rows[i]), displacement)
            ended = plants.plants_flow("test", index, 64, pulls=pulls)[rows[i], columns[i]]
            assert ended == pytest.approx(displacement, abs=0.02)


def test_clips_of_any_length_show_the_same_motion() -> None:
    """Frame 16 of 17 is frame 10 of 11, frame 8 is frame 5; the flow to the last frame is the same."""
    usual, longer, single = (plants.PlantsSource("test", 4, frames, 32) for frames in (11, 17, 1))
    assert np.array_equal(usual.read(2, range(11)), plants.render("test", 2, 32, range(11)))
    assert np.array_equal(longer.read(2, [0, 8, 16]), usual.read(2, [0, 5, 10]))
    assert not np.array_equal(longer.read(2, [10]), usual.read(2, [10]))
    assert np.array_equal(longer.true_flow(2, 0, 16), usual.true_flow(2, 0, 10))
    assert np.array_equal(usual.true_flow(2, 0, 10), plants.plants_flow("test", 2, 32))
    assert np.array_equal(longer.true_mask(2, 16), plants.plants_mask("test", 2, 32, 10))
    assert np.array_equal(single.read(2, [0]), usual.read(2, [0]))
    assert plants.clip_times(17)[::8] == [0, 5, 10]


def _side(index: int, pull: plants.Pull, split: str = "train") -> float:
    """Returns 1 if the point moves clockwise around the plant's root, -1 if counterclockwise."""
    plant = chain(index, pull.plant, split)
    (x, y), (dx, dy) = plant.rest().at(pull.grip) - plant.root, pull.displacement
    return float(np.sign(x * dy - y * dx))


def test_in_a_breeze_plants_bend_to_one_side() -> None:
    shares, sides = [], []
    for index in range(60):
        pulls = plants.plants_motion("train", index, 0.5)
        turns = [_side(index, pull) for pull in pulls]
        assert len(set(turns)) == 1
        assert len({pull.plant for pull in pulls}) == len(pulls)
        shares.append((len(pulls) - 1) / (len(plants._plants("train", index)) - 1))
        sides.append(turns[0])
        assert len(plants.plants_motion("train", index, 1.0)) == len(plants._plants("train", index))
    assert np.mean(shares) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(60))  # four standard deviations and more
    assert abs(np.mean(sides)) < 4 / np.sqrt(60)
    source = plants.PlantsSource("train", 4, 11, 32, breeze=1.0)
    pulls = plants.plants_motion("train", 1, 1.0)
    assert np.array_equal(source.read(1, [10]), plants.render("train", 1, 32, [10], pulls))
    assert np.array_equal(source.true_flow(1, 0, 10), plants.plants_flow("train", 1, 32, pulls=pulls))
    assert np.array_equal(source.true_mask(1, 10), plants.plants_mask("train", 1, 32, 10, pulls))


def test_a_breeze_leaves_the_pulled_plant_alone() -> None:
    (poke,) = plants.plants_motion("test", 4)[:1]
    outcomes = [plants.in_breeze("test", 4, poke, 0.5, np.random.default_rng(draw)) for draw in range(8)]
    assert all(outcome[0] == poke for outcome in outcomes)
    assert len(set(outcomes)) > 2
    sides = {_side(4, pull, "test") for outcome in outcomes for pull in outcome}
    assert sides == {_side(4, poke, "test")}


def test_what_cannot_be_reached_goes_a_part_of_the_way() -> None:
    """Pokes a pixel at the root of a stem across half of the frame."""
    plant = chain()
    force = plant.pull_to(Grip(0, 0.2), np.array([0.5, 0.0]), plants.LAST_FRAME)
    begin, end = plant.motion(Grip(0, 0.2), force, np.array([0.0, plants.LAST_FRAME])).at(Grip(0, 0.2))
    assert 0.0 <= (end - begin)[0] < 0.5
    assert np.isfinite(force).all()


def test_the_answer_to_a_poke_is_seen_in_the_frames() -> None:
    mask = plants.plants_mask("test", 0, 64)
    rows, columns = np.nonzero(mask == mask.max())
    x, y = int(columns[len(rows) // 4]), int(rows[len(rows) // 4])
    video = plants.respond("test", 0, (x, y), (3.0, -1.0))
    assert video.shape == (11, 64, 64, 3)
    assert np.array_equal(video[0], plants.render("test", 0, 64, [0])[0])
    pulls = plants.pull_at("test", 0, 64, (x, y), (3.0, -1.0))
    assert np.array_equal(video, plants.render("test", 0, 64, range(11), pulls))
    assert plants.plants_flow("test", 0, 64, pulls=pulls)[y, x] == pytest.approx([3.0, -1.0], abs=0.01)


def test_a_poke_on_the_background_moves_nothing() -> None:
    rows, columns = np.nonzero(plants.plants_mask("test", 0, 64) == 0)
    video = plants.respond("test", 0, (columns[0], rows[0]), (4.0, 0.0))
    assert np.all(video == video[:1])
    assert plants.pull_at("test", 0, 64, (-3, 70), (4.0, 0.0)) == ()


def visible(index: int, size: int, flow: np.ndarray) -> np.ndarray:
    """Returns foreground pixels, bool [H, W], whose material is in front and well inside a plant in the last frame."""
    first, last = (plants.plants_mask("train", index, size, time) for time in (0, plants.LAST_FRAME))
    rows, columns = np.nonzero(first)
    x, y = (np.rint(p + flow[rows, columns, i]).astype(int) for i, p in enumerate((columns, rows)))
    shown = np.zeros(first.shape, bool)
    inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
    rows, columns, x, y = rows[inside], columns[inside], x[inside], y[inside]
    shown[rows, columns] = last[y, x] == first[rows, columns]
    return shown & (cv2.erode((first > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)


def test_the_last_frame_warped_by_the_flow_is_the_first_frame() -> None:
    warped_errors, still_errors = [], []
    for index in range(6):
        first, last = plants.render("train", index, 128, [0, plants.LAST_FRAME])
        flow = plants.plants_flow("train", index, 128)
        x, y = np.meshgrid(np.arange(128, dtype=np.float32), np.arange(128, dtype=np.float32))
        warped = cv2.remap(last, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR)
        region = visible(index, 128, flow) & (np.hypot(flow[..., 0], flow[..., 1]) > 2.0)
        warped_errors.append(np.abs(warped.astype(float) - first)[region].mean())
        still_errors.append(np.abs(last.astype(float) - first)[region].mean())
    assert np.mean(warped_errors) < 0.1 * np.mean(still_errors)


def test_flow_agrees_with_an_estimator() -> None:
    errors, lengths = [], []
    for index in range(6):
        first, last = plants.render("train", index, 128, [0, plants.LAST_FRAME])
        flow = plants.plants_flow("train", index, 128)
        region = visible(index, 128, flow) & (np.hypot(flow[..., 0], flow[..., 1]) > 2.0)
        errors.append(np.hypot(*(optical_flow.estimate(first, last) - flow)[region].T).mean())
        lengths.append(np.hypot(*flow[region].T).mean())
    assert np.mean(errors) < 0.25 * np.mean(lengths)
