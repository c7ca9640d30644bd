import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from i2v_jax.configs import common
from i2v_jax.data import flows
from i2v_jax.data import masks as masks_module
from i2v_jax.data.folder.builder import Folder
from i2v_jax.data.protocol import Protocol
from i2v_jax.data.registry import open_split
from i2v_jax.errors import UserError
from i2v_jax.evaluation.clips import open_clips
from i2v_jax.input import flow, flow_store, masks, pipeline, transforms
from i2v_jax.input.sources import open_source
from i2v_jax.media.images import read_rgb
from i2v_jax.pretrained import learned_flow, weights
from tests.data.conftest import Prepare
from tests.input.helpers import write_frames
from tests.input.test_poke_reader import POKE

OPTIONS = flows.FlowOptions(distance=4, size=32, least_motion=0.008)
TRAIN = {"train": 3}  # videos


def drifting(count: int, speed: int) -> np.ndarray:
    """uint8 [count, 48, 64, 3], a smooth picture that moves `speed` pixels to the right per frame."""
    noise = np.random.default_rng(0).standard_normal((48, 64 + 64, 3)).astype(np.float32)
    picture = np.clip(128 + 250 * cv2.GaussianBlur(noise, (0, 0), 3.0), 0, 255).astype(np.uint8)
    return np.stack([picture[:, 64 - speed * i : 128 - speed * i] for i in range(count)])


@pytest.fixture
def folder(tmp_path: Path, prepared: Prepare) -> Path:
    """Two videos that move by 1 pixel per frame and a still one, prepared."""
    for name, speed in (("a", 1), ("b", 1), ("still", 0)):
        write_frames(tmp_path / "raw" / name, drifting(17, speed))
    return prepared(Folder, eval_fraction=0.0, test_fraction=0.0).folder


def test_flow_is_estimated_once_per_clip_and_still_videos_are_counted(folder: Path) -> None:
    summary = flows.store_flows(folder, "train", OPTIONS, threads=2)
    assert summary.stored == 2
    assert [(item.path, item.reason[:9]) for item in summary.skipped] == [("still", "no motion")]
    assert json.loads((summary.folder / "skipped.json").read_text())[0]["path"] == "still"
    store = flow_store.FlowStore(folder, TRAIN)
    assert (store.has(0, 4), store.has(2, 4)) == (True, False)
    stored = np.load(store.path(0, 4))
    assert (stored.shape, stored["flow"].shape) == ((13,), (13, 32, 43, 2))
    assert np.abs(stored["flow"]).max() <= 1
    inner = store.read(0, 12, 16)[6:-6, 8:-8]
    assert inner.mean((0, 1)) == pytest.approx([4 * 43 / 64, 0.0], abs=0.15)


def test_a_second_run_keeps_what_is_there(folder: Path) -> None:
    first = flows.store_flows(folder, "train", OPTIONS, threads=1)
    store = flow_store.FlowStore(folder, TRAIN)
    times = [store.path(video, 4).stat().st_mtime_ns for video in (0, 1)]
    store.path(1, 4).unlink()
    (first.folder / ".killed.tmp").write_bytes(b"cut off")
    flows.store_flows(folder, "train", OPTIONS, threads=1)
    assert store.path(0, 4).stat().st_mtime_ns == times[0]
    assert store.has(1, 4)
    assert not list(first.folder.glob(".*.tmp"))


def test_flows_of_other_options_are_refused(tmp_path: Path, folder: Path) -> None:
    flows.store_flows(folder, "train", OPTIONS, threads=1)
    before = flow_store.FlowStore(folder, TRAIN).read(0, 0, 4)
    given = tmp_path / "given"
    given.mkdir()
    for changed in ({"given": given}, {"size": 24}, {"least_motion": 0.5}, {"input_size": 48}):
        options = dataclasses.replace(OPTIONS, **changed)
        with pytest.raises(UserError) as raised:
            flows.store_flows(folder, "train", options, threads=1)
        different = {name for name, value in options.recorded.items() if value != OPTIONS.recorded[name]}
        assert ({raised.value.field}, raised.value.value) == (different, options.recorded[raised.value.field])
    assert np.array_equal(flow_store.FlowStore(folder, TRAIN).read(0, 0, 4), before)
    flows.store_flows(
        folder, "train", dataclasses.replace(OPTIONS, distance=8, size=24), threads=1
    )  # a folder of its own


def test_still_videos_are_not_estimated_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = flows.store_flows(folder, "train", OPTIONS, threads=1)
    monkeypatch.setattr(flow, "estimate", lambda *frames: pytest.fail("estimated again"))
    second = flows.store_flows(folder, "train", OPTIONS, threads=1)
    assert (second.stored, second.skipped) == (2, first.skipped)


def test_precomputed_files_are_taken_and_bad_ones_are_counted(tmp_path: Path, folder: Path) -> None:
    given = tmp_path / "given"
    for name, shape in (("a", (24, 32, 2)), ("b", (32, 24, 2))):
        (given / name).mkdir(parents=True)
        for start in range(13):
            np.save(given / name / f"{start:03d}_{start + 4:03d}.npy", np.full(shape, start + 1.0))
    options = flows.FlowOptions(distance=4, size=12, least_motion=0.0, given=given)
    summary = flows.store_flows(folder, "train", options, threads=1)
    reasons = {item.path: item.reason for item in summary.skipped}
    assert "24x32" in reasons["b"] and "64x48" in reasons["b"]
    assert "there is no folder" in reasons["still"]
    assert np.all(flow_store.FlowStore(folder, TRAIN).read(0, 2, 6) == 1.5)  # 3 pixels at half the size
    (given / "a" / "007_011.npy").unlink()
    flow_store.FlowStore(folder, TRAIN).path(0, 4).unlink()
    again = flows.store_flows(folder, "train", options, threads=1)
    assert "7_11.npy" in again.skipped[0].reason
    with pytest.raises(UserError) as raised:
        flows.store_flows(folder, "train", flows.FlowOptions(4, 12, 0.0, tmp_path / "none"), threads=1)
    assert raised.value.field == "flow"


def halved(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """An estimator of somebody's own: half of DIS."""
    return flow.estimate(first, second) / 2


def misshapen(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.zeros((2, *first.shape[:2]))


def test_any_function_of_two_frames_may_estimate_flow(folder: Path) -> None:
    options = dataclasses.replace(OPTIONS, least_motion=0.0, estimator=f"{__name__}:halved")
    flows.store_flows(folder, "train", options, threads=2)
    frames = [
        transforms.resize(frame, 32, 43) for frame in open_source("folder", str(folder), "train").read(0, [2, 6], 32)
    ]
    found = flow_store.FlowStore(folder, TRAIN).read(0, 2, 6)
    assert found == pytest.approx(halved(*frames), abs=2**-10)
    with pytest.raises(UserError) as raised:
        flows.store_flows(folder, "train", dataclasses.replace(options, estimator="no.module:f"), threads=1)
    assert (raised.value.field, raised.value.value) == ("flow", "no.module:f")
    other = dataclasses.replace(options, estimator=f"{__name__}:misshapen", distance=5)
    assert len(flows.store_flows(folder, "train", other, threads=1).skipped) == 3


def test_learned_flow_is_stored_with_the_hash_of_its_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("I2V_JAX_CACHE", str(folder.parent / "cache"))
    options = dataclasses.replace(OPTIONS, estimator="gmflow")
    with pytest.raises(UserError) as raised:
        flows.store_flows(folder, "train", options, threads=1)
    assert (raised.value.field, raised.value.value) == ("gmflow", str(weights.path("gmflow")))
    assert not (folder / "flow").exists()
    monkeypatch.setattr(learned_flow, "estimator", lambda: lambda first, second: map(flow.estimate, first, second))
    weights.save(weights.path("gmflow"), {}, "1" * 64)
    flows.store_flows(folder, "train", options, threads=2)
    store = flow_store.FlowStore(folder, TRAIN)
    assert (store.options(4)["flow"], store.options(4)["flow_weights"]) == ("gmflow", "1" * 64)
    assert store.has(1, 4)
    weights.save(weights.path("gmflow"), {}, "2" * 64)
    with pytest.raises(UserError) as raised:
        flows.store_flows(folder, "train", options, threads=1)
    assert (raised.value.field, raised.value.value) == ("flow_weights", "2" * 64)


def test_videos_that_are_too_short_are_counted(folder: Path) -> None:
    summary = flows.store_flows(folder, "train", flows.FlowOptions(17, 32, 0.0), threads=1)
    assert {item.reason for item in summary.skipped} == {"17 frames, but a clip needs 18"}


def test_stored_flow_flows_through_the_pipeline(tmp_path: Path, folder: Path) -> None:
    data = common.base(32).data
    data.update(name="folder", dir=str(tmp_path / "out"), frames=5, flip=0.0, workers=0)
    data.clips_per_video.train = 4
    data.declare(poke=POKE | {"flow": "stored", "zeropoke_amount": 0})
    data.poke.geometry.probability = 0.0
    with pytest.raises(UserError) as raised:
        pipeline.make_pipeline(open_split(data, "train"), data, batch_size=4, seed=0, train=True)
    assert (raised.value.field, raised.value.value) == ("data.poke.flow", "stored")
    flows.store_flows(folder, "train", OPTIONS, threads=1)
    chosen = pipeline.make_pipeline(open_split(data, "train"), data, batch_size=4, seed=0, train=True)
    assert chosen.num_clips == 8  # not of the still video
    iterator = chosen.iterator()
    displacements = next(iterator)["poke_displacement"]
    iterator.close()
    assert np.median(displacements, 0) == pytest.approx([2.0, 0.0], abs=0.5)


def test_a_clip_reads_the_bytes_of_its_flow_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flows.store_flows(folder, "train", OPTIONS, threads=1)
    store = flow_store.FlowStore(folder, TRAIN)
    whole = np.load(store.path(1, 4))
    before = io_bytes()
    found = store.read(1, 12, 16)
    assert io_bytes() - before < 2 * whole.dtype.itemsize
    assert np.array_equal(found, whole[12]["scale"] * whole[12]["flow"].astype(np.float32))
    for start in (-1, 13):
        with pytest.raises(UserError):
            store.read(1, start, start + 4)


def io_bytes() -> int:
    """Returns how many bytes this process has read."""
    return int(Path("/proc/self/io").read_text().splitlines()[0].split()[1])


def test_flow_of_earlier_versions_is_read(folder: Path) -> None:
    store = flow_store.FlowStore(folder, TRAIN)
    values = np.random.default_rng(0).standard_normal((13, 8, 6, 2)).astype(np.float16)
    store.path(0, 4).parent.mkdir(parents=True)
    np.save(store.path(0, 4), values)
    assert np.array_equal(store.read(0, 3, 7), values[3])
    vectors = values.astype(np.float32)
    assert flow_store.longest_by_start(store.path(0, 4)).max(axis=0) == pytest.approx(
        (np.hypot(vectors[..., 0] / 6, vectors[..., 1] / 8).max(), np.hypot(*np.moveaxis(vectors, -1, 0)).max() / 6)
    )


def test_records_keep_flow_of_any_length() -> None:
    for length in (0.0, 1e-6, 3.0, 1e6):
        flow_map = length * np.random.default_rng(0).standard_normal((5, 7, 2)).astype(np.float32)
        stored = flow_store.to_record(flow_map)
        found = stored["scale"] * stored["flow"].astype(np.float32)
        assert found == pytest.approx(flow_map, abs=2**-24 * length, rel=2**-11)


def test_impulses_share_one_unit(tmp_path: Path, folder: Path) -> None:
    """Flow is divided by its largest length in all splits, so that impulses keep their relative strengths."""
    data = common.base(32).data
    data.update(name="folder", dir=str(tmp_path / "out"), frames=5, flip=0.0, workers=0)
    data.clips_per_video.train = 4
    data.declare(poke=POKE | {"flow": "stored", "zeropoke_amount": 0, "normalize": "impulse"})
    data.poke.geometry.probability = 0.0
    flows.store_flows(folder, "train", OPTIONS, threads=1)
    source = open_split(data, "train")
    with pytest.raises(UserError) as raised:
        pipeline.make_pipeline(source, data, batch_size=8, seed=0, train=True)
    assert raised.value.field == "data.poke.normalize"
    flows.write_statistics(folder, 4)
    iterator = pipeline.make_pipeline(source, data, batch_size=8, seed=0, train=True).iterator()
    impulses = next(iterator)["poke_displacement"]
    iterator.close()
    data.poke.normalize = "none"
    iterator = pipeline.make_pipeline(source, data, batch_size=8, seed=0, train=True).iterator()
    pixels = next(iterator)["poke_displacement"]
    iterator.close()
    longest, _ = flow_store.FlowStore(folder, TRAIN).longest(4)
    assert impulses == pytest.approx(pixels / (32 * longest), rel=1e-4)
    lengths = np.hypot(*impulses.T)
    assert lengths.max() <= 1.0
    assert np.ptp(lengths) > 0


def test_the_command_adds_flow_to_a_prepared_data_set(tmp_path: Path, folder: Path) -> None:
    options = ["--dataset=folder", f"--raw_dir={tmp_path / 'raw'}", f"--data_dir={tmp_path / 'out'}"]
    options += ["--eval_fraction=0", "--test_fraction=0"]  # as it was prepared
    options += ["--flow=dis", "--flow_distance=4", "--flow_distance=8", "--flow_size=24"]
    options += ["--masks=grabcut", "--mask_size=16", "--preview"]
    done = subprocess.run(
        [sys.executable, "-m", "launch.prepare", *options],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "already" in done.stdout
    assert done.stdout.count("flow of 2 videos, 1 skipped") == 2
    assert "masks of 3 videos, 0 skipped" in done.stdout
    picture = read_rgb(folder / "preview_train.png")
    assert picture.shape[0] > 2 * 256  # a row for each video with flow
    assert picture.shape[1] > 5 * 256
    stored_masks = masks.MaskStore(folder, TRAIN)
    assert stored_masks.read(2, 16).shape == (16, 21)
    frame = open_source("folder", str(tmp_path / "out"), "train").read(2, [16], 16)[0]
    assert np.array_equal(stored_masks.read(2, 16), masks.grabcut(transforms.resize(frame, 16, 21), 1))
    store = flow_store.FlowStore(folder, TRAIN)
    assert store.read(1, 8, 16).shape == (24, 32, 2)
    lengths = [
        np.hypot(*np.moveaxis(store.read(video, start, start + 8), -1, 0)) for video in (0, 1) for start in range(9)
    ]
    assert store.longest(8)[1] * 24 == pytest.approx(np.max(lengths), rel=1e-3)


def test_evaluation_reads_stored_flow(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pokes of an evaluation come from the flow that was stored for its split, which tells evaluations apart."""
    data = common.base(32).data
    data.update(name="folder", dir=str(tmp_path / "out"), frames=5)
    data.declare(poke=POKE | {"flow": "stored"})
    protocol = Protocol("poke", 4, False, "random", clips=4, stride=1)
    described = open_clips(data, protocol, "train").pokes.described
    flows.store_flows(folder, "train", OPTIONS, threads=1)
    reader = open_clips(data, protocol, "train")
    assert reader.pokes.described != described
    moving = [index for index in range(4) if reader.clip(index).video != "still"]
    store = flow_store.FlowStore(folder, TRAIN)
    monkeypatch.setattr(flow, "estimate", lambda *frames: pytest.fail("estimated"))
    for index in moving:
        raw = reader.raw_clip(index)
        stored = store.read(raw.video, raw.indices[0], raw.indices[-1])
        assert np.array_equal(reader.pokes.flow(raw), flow.fit(stored, 32, "resize"))
    assert moving and len(reader.read(moving)["poke"]) == len(moving)


def test_the_protocol_does_not_depend_on_where_flow_files_lie(tmp_path: Path, folder: Path) -> None:
    found = []
    for place, speed in (("here", 1), ("there", 1), ("other", 2)):
        for start in range(13):
            path = tmp_path / place / "a" / f"{start}_{start + 4}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, np.full((48, 64, 2), speed, np.float32))
        flows.store_flows(folder, "train", dataclasses.replace(OPTIONS, given=tmp_path / place), threads=1)
        flows.write_statistics(folder, 4)
        found.append(flow_store.FlowStore(folder, TRAIN).described(4))
        shutil.rmtree(folder / "flow")
    assert found[0] == found[1] != found[2]


def test_an_update_carries_flow_and_masks_over(tmp_path: Path, prepared: Prepare, folder: Path) -> None:
    masks_module.store_masks(folder, "train", 16, threads=1)
    flows.store_flows(folder, "train", OPTIONS, threads=1)
    store, mask_store = flow_store.FlowStore(folder, TRAIN), masks.MaskStore(folder, TRAIN)
    kept = {path(video): path(video).read_bytes() for video in (0, 1) for path in (_flow_path(store), mask_store.path)}
    for name in ("aa", "c"):
        write_frames(tmp_path / "raw" / name, drifting(17, 2))
    prepared(Folder, eval_fraction=0.0, test_fraction=0.0, update=True)
    source = open_source("folder", str(folder), "train")
    names = [source.name(video) for video in range(5)]
    assert names == ["a", "aa", "b", "c", "still"]
    later, later_masks = (kind(folder, source.stored_splits) for kind in (flow_store.FlowStore, masks.MaskStore))
    assert [later.has(video, 4) for video in range(5)] == [True, False, True, False, False]
    assert flows.stored_options(folder) == [OPTIONS]
    assert masks_module.stored_size(folder) == 16
    for before, after in ((0, 0), (1, 2)):
        assert later.path(after, 4).read_bytes() == kept[store.path(before, 4)]
        assert later_masks.path(after).read_bytes() == kept[mask_store.path(before)]
    summary = flows.store_flows(folder, "train", flows.stored_options(folder)[0], threads=1)
    assert (summary.stored, [item.path for item in summary.skipped]) == (4, ["still"])


def _flow_path(store: flow_store.FlowStore) -> Callable[[int], Path]:
    return lambda video: store.path(video, 4)
