"""Stores the optical flow of a prepared data set for training and evaluation (`input.flow_store.FlowStore`).

One file contains the flows of one video, from every frame to the frame `distance` later.
"""

import dataclasses
import hashlib
import importlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from i2v_jax import files
from i2v_jax.data import sidecars
from i2v_jax.errors import UserError
from i2v_jax.input import flow, flow_store, transforms
from i2v_jax.input.sources import RecordSource

Estimator = Callable[[Sequence[np.ndarray], Sequence[np.ndarray]], Iterable[np.ndarray]]  # of pairs of frames

ESTIMATORS = ("dis", "gmflow")

_CHUNK = 64  # flows to estimate from frames that are read at once
_FLOW_FILE = re.compile(r"0*(\d+)_0*(\d+)(\.npy|\.flo)")


@dataclasses.dataclass(frozen=True)
class FlowOptions:
    """Which flows to store."""

    distance: int  # in frames
    size: int  # maximum of the shorter side of a stored flow in pixels
    least_motion: float  # videos in which nothing moves this far are skipped; fraction of the shorter side
    given: Path | None = None  # folder of precomputed files; None: estimate
    input_size: int = 0  # shorter side of the frames that flow is estimated from; 0: `size`
    estimator: str = "dis"  # or "gmflow" or MODULE:FUNCTION, see `estimator_of`

    @property
    def recorded(self) -> dict[str, object]:
        """The options that the flows depend on, under their names on the command line."""
        given = self.estimator if self.given is None else str(self.given.resolve())
        options: dict[str, object] = {"flow": given, "flow_size": self.size, "flow_motion": self.least_motion}
        options["flow_input_size"] = self.input_size
        if given == "gmflow":
            from i2v_jax.pretrained import weights

            options["flow_weights"] = weights.source_sha256("gmflow")
        return options

    @classmethod
    def of(cls, distance: int, recorded: Mapping[str, Any]) -> Self:
        """Returns the options that are `recorded`."""
        given = Path(recorded["flow"])
        is_folder = given.is_absolute()
        return cls(
            distance,
            recorded["flow_size"],
            recorded["flow_motion"],
            given if is_folder else None,
            recorded.get("flow_input_size", 0),
            "dis" if is_folder else recorded["flow"],
        )

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """Returns (height, width) of the stored flow of frames."""
        return transforms.within(height, width, self.size)

    def input_shape(self, height: int, width: int) -> tuple[int, int]:
        """Returns (height, width) of the frames that the flow is estimated from."""
        return transforms.within(height, width, self.input_size or self.size)


def estimator_of(name: str) -> Estimator:
    """Returns what estimates flow: OpenCV's DIS for "dis", a network for "gmflow", or else what MODULE:FUNCTION names.

    Such a function takes two frames, uint8 [h, w, 3], and returns the flow between them, float [h, w, 2] in pixels. It
    is called by several threads at the same time.

    Raises:
        UserError: there is no such function, or the network's weights were not fetched.
    """
    if name == "gmflow":
        from i2v_jax.pretrained import learned_flow  # whose libraries take seconds to import

        return learned_flow.estimator()
    if name == "dis":
        return lambda first, second: map(flow.estimate, first, second)
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"--flow={name}: there is no such function ({error})", "flow", name) from error
    return lambda first, second: map(found, first, second)


def store_flows(prepared: Path, split: str, options: FlowOptions, threads: int) -> sidecars.Summary:
    """Stores the flow of every video of a split that an earlier run did not store.

    Raises:
        UserError: `options.given` or the estimator does not exist, there are flows with other options, or the disk is
            full.
    """
    if options.given is not None and not options.given.is_dir():
        raise UserError(
            f"there is no folder {options.given}: --flow must be 'dis', 'gmflow', MODULE:FUNCTION or a folder of "
            "flow files",
            "flow",
            str(options.given),
        )
    estimate = estimator_of(options.estimator)
    source = RecordSource(prepared, split)
    return sidecars.store(
        source,
        flow_store.flow_folder(prepared, options.distance) / split,
        lambda video, path: _write(source, video, path, options, estimate),
        options.recorded,
        threads=threads,
        what="flow",
    )


def stored_options(prepared: Path) -> list[FlowOptions]:
    """Returns the options of all flows that are stored, also of those that an update has to complete."""
    found = {path.parents[1]: json.loads(path.read_text()) for path in prepared.glob("flow/distance_*/*/options.json")}
    return [FlowOptions.of(int(folder.name.rpartition("_")[2]), options) for folder, options in sorted(found.items())]


def write_statistics(prepared: Path, distance: int) -> None:
    """Writes the length of the longest vector of all splits, by which impulses are divided (`FlowStore.longest`).

    A digest of the longest vector of every flow tells flows apart that were read from files.
    """
    folder = flow_store.flow_folder(prepared, distance)
    lengths = [flow_store.longest_by_start(path) for path in sorted(folder.glob("*/*.npy"))]
    longest = np.max([of_video.max(axis=0) for of_video in lengths], axis=0) if lengths else np.zeros(2)
    statistics = {
        "longest_in_frame_sizes": float(longest[0]),
        "longest_in_shorter_sides": float(longest[1]),
        "videos": len(lengths),
        "sha256": hashlib.sha256(b"".join(of_video.tobytes() for of_video in lengths)).hexdigest(),
    }
    files.write_text(folder / "statistics.json", json.dumps(statistics, indent=2))


def _write(source: RecordSource, video: int, path: Path, options: FlowOptions, estimate: Estimator) -> None:
    """Writes one record for each start. Raises UserError if the video cannot be used, for ever if nothing moves."""
    starts = source.num_frames(video) - options.distance
    if starts < 1:
        raise UserError(f"{source.num_frames(video)} frames, but a clip needs {options.distance + 1}")
    frame = source.read(video, [0])[0]
    height, width = options.shape(*frame.shape[:2])
    if options.given:
        flows = _given(source, video, frame.shape, options)
    else:
        flows = _estimated(source, video, options, estimate)
    stored = np.lib.format.open_memmap(path, "w+", flow_store.record(height, width), (starts,))
    furthest = 0.0
    for start, found in enumerate(flows):
        stored[start] = flow_store.to_record(flow.resize(found, height, width))
        furthest = max(furthest, float(stored[start]["longest"][1]) * min(height, width))
    stored.flush()
    if furthest < options.least_motion * min(height, width):
        raise sidecars.UnusableError(f"no motion: at most {furthest:.2f} pixels at {width}x{height}")


def _estimated(source: RecordSource, video: int, options: FlowOptions, estimate: Estimator) -> Iterator[np.ndarray]:
    total = source.num_frames(video)
    for begin in range(0, total - options.distance, _CHUNK):
        end = min(begin + _CHUNK + options.distance, total)
        frames = source.read(video, range(begin, end), options.input_size or options.size)
        small = [transforms.resize(frame, *options.input_shape(*frame.shape[:2])) for frame in frames]
        height, width = small[0].shape[:2]
        for found in map(np.asarray, estimate(small[: -options.distance], small[options.distance :])):
            if found.shape != (height, width, 2) or not np.isfinite(found).all():
                raise UserError(f"{options.estimator} gave {found.shape} for {height}x{width}, or what is not finite")
            yield found


def _given(source: RecordSource, video: int, shape: tuple[int, ...], options: FlowOptions) -> Iterator[np.ndarray]:
    """Yields the flows in `FOLDER/VIDEO/FIRST_SECOND.npy` or `.flo`; VIDEO may lack its suffix, frames start at 0."""
    name = source.name(video)
    folder = next((f for f in _folders(options.given, name) if f.is_dir()), None)
    if folder is None:
        raise UserError(f"there is no folder {options.given}/{name} with its flow files")
    matches = ((_FLOW_FILE.fullmatch(path.name), path) for path in folder.iterdir())
    files = {(int(match[1]), int(match[2])): path for match, path in matches if match}
    for start in range(source.num_frames(video) - options.distance):
        pair = (start, start + options.distance)
        if pair not in files:
            raise UserError(f"{folder} has no flow file {pair[0]}_{pair[1]}.npy or .flo")
        found = flow.read(files[pair])
        flow.check_size(found, shape[0], shape[1], files[pair])
        yield found


def _folders(given: Path | None, name: str) -> tuple[Path, ...]:
    return (given / name, (given / name).with_suffix("")) if given else ()
