"""The input pipeline: source -> clip sampling -> decoding -> resize, crop, flip, jitter -> batches.

A batch is a dict of NumPy arrays:

    video      float32 [B, T, H, W, 3] in [-1, 1]; frame 0 is the start frame
    direction  int32 [B], 36 bins of 10 degrees (`input/directions.py`), if the data set has this label
    endpoint   float32 [B, 3], end effector in the last frame in raw units, if the data set has this label and clips
               are not flipped
    class      int32 [B], index of the video's folder (`input/classes.py`), with `data.classified`
    index      int64 [B], index of the clip, in evaluation
    valid      bool [B], False for clips that pad the last batch, in evaluation

With `data.poke` (`input/poke_reader.py`) and T > 1 there are, instead of the labels:

    poke               float32 [B, H, W, 2], (dx, dy) in pixels in a square around the poked pixel, zero elsewhere
    poke_position      int32 [B, 2], (x, y)
    poke_displacement  float32 [B, 2], (dx, dy) of the poked pixel's contents from the first to the last frame, or to
                       the one that `data.poke.flow_frames` names
    is_background      bool [B]; if True, the video is the start frame repeated
    flow               float32 [B, H, W, 2], between the same frames, in evaluation
    mask               int32 [B, H, W], objects in the first frame (0: background), in evaluation, if they are known

The position in the data is the global step. The contents of a step depend only on (seed, step) and the configuration,
not on the number of hosts, workers or devices: host p of P gets rows p * B/P to (p + 1) * B/P of the same global batch.
"""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any

import grain
import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict

from i2v_jax import files
from i2v_jax.commands import command
from i2v_jax.errors import UserError
from i2v_jax.input import sequences, sources, transforms, workers
from i2v_jax.input.clip_pokes import ClipPokes, KnownMotion, PokeSettings
from i2v_jax.input.clips import Augmentation, ClipOrder, ReadClip, WeightedOrder, clip_counts, long_enough
from i2v_jax.input.colors import Jitter
from i2v_jax.input.flow_store import FlowStore
from i2v_jax.input.poke_reader import ReadPokedClip
from i2v_jax.input.unreadable import Count, Reader, SkipUnreadable
from i2v_jax.logs import logger
from i2v_jax.pixels import from_levels

Batch = dict[str, np.ndarray]
_FOREVER = 2**40  # steps


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """Batches of one split. `iterator` may be called any number of times."""

    reader: Reader
    num_steps: int
    workers: int
    prefetch: int
    skip_unreadable: bool = False  # see `unreadable.SkipUnreadable`

    @property
    def num_clips(self) -> int:
        """The number of clips in the split: videos that are long enough, times clips per video."""
        return self.reader.order.num_clips

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches in an epoch. Evaluation fills up an incomplete last batch, training by choice."""
        return self.reader.order.steps_per_epoch

    @property
    def global_batch_size(self) -> int:
        """B, over all hosts."""
        return self.reader.order.batch_size

    @property
    def batch_spec(self) -> dict[str, jax.ShapeDtypeStruct]:
        """The shape and type of every array of the global batch."""
        # jax arrays would have 32 bits for 64-bit types; the specification keeps the types of the NumPy arrays.
        batch = self.global_batch_size
        return {
            name: jax.ShapeDtypeStruct((batch, *item.shape), np.float32 if _has_levels(name, item) else item.dtype)
            for name, item in self.reader.spec.items()
        }

    def keep_last(self) -> "Pipeline":
        """Returns the pipeline of the same clips whose epochs show all of them: others fill the last batch."""
        return dataclasses.replace(
            self, reader=self.reader.in_order(dataclasses.replace(self.reader.order, drop_last=False))
        )

    def iterator(self, start_step: int = 0, process: tuple[int, int] | None = None) -> "BatchIterator":
        """Returns an iterator over this host's part of the batches.

        Args:
            start_step: the first global step.
            process: index of this host and number of hosts; by default those of jax.

        Raises:
            UserError: the batch size is not divisible by the number of hosts.
        """
        index, count = process or (jax.process_index(), jax.process_count())
        if self.global_batch_size % count:
            size = self.global_batch_size
            raise UserError(
                f"invalid value for batch_size: {size} (must be divisible by the {count} hosts)", "batch_size", size
            )
        return BatchIterator(self, start_step, index, count)


class BatchIterator(Iterator[Batch]):
    """Iterates over this host's part of each global batch, `{"video": [B / hosts, T, H, W, 3], ...}`.

    Its state is the global step.
    """

    def __init__(self, pipeline: Pipeline, start_step: int, process_index: int, process_count: int):
        self._pipeline, self._step = pipeline, start_step
        self._process_index, self._process_count = process_index, process_count
        self._iterator: Any = None
        self._board = workers.Board(pipeline.workers)
        self._unreadable = Count()

    def __next__(self) -> Batch:
        try:
            with workers.named_if_killed(self._board):
                batch = self._read()
        except BaseException:
            self.close()  # otherwise the other threads or processes read on
            raise
        self._step += 1
        batch = self._unreadable.take(batch)
        return {name: from_levels(array) if _has_levels(name, array) else array for name, array in batch.items()}

    def get_state(self) -> dict[str, int]:
        """Returns the position as JSON-serializable state, which is the same on every host."""
        return {"step": self._step}

    def set_state(self, state: dict[str, int]) -> None:
        """Continues at a saved position. The number of hosts may have changed."""
        self.close()
        self._step = int(state["step"])

    def close(self) -> None:
        """Stops the threads and processes that read; the next batch starts them again."""
        if self._iterator is not None:
            self._iterator.close()
            self._iterator = None

    def _read(self) -> Batch:
        if self._iterator is not None:
            return next(self._iterator)
        with workers.starting():
            self._iterator = iter(self._dataset())
            return next(self._iterator)

    def _dataset(self) -> grain.IterDataset:
        pipeline, hosts = self._pipeline, self._process_count
        positions = grain.MapDataset.range(pipeline.num_steps * pipeline.global_batch_size)
        reader = SkipUnreadable(pipeline.reader) if pipeline.skip_unreadable else pipeline.reader
        local_batches = positions.map(reader).batch(pipeline.global_batch_size // hosts, drop_remainder=True)
        mine = local_batches[self._step * hosts + self._process_index :: hosts]
        if pipeline.workers == 0:
            threads = min(pipeline.prefetch, os.cpu_count() or 1)
            return mine.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=pipeline.prefetch))
        if not flags.FLAGS.is_parsed():  # Grain reads its flags when it starts processes, even without an absl app
            flags.FLAGS.mark_as_parsed()
        # Each worker process fills one batch at a time; more threads in it would only compete.
        dataset = mine.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=1))
        options = grain.MultiprocessingOptions(
            num_workers=pipeline.workers, per_worker_buffer_size=max(1, -(-pipeline.prefetch // pipeline.workers))
        )
        return dataset.mp_prefetch(options, worker_init_fn=self._board.set_up)


def _has_levels(name: str, item: jax.ShapeDtypeStruct | np.ndarray) -> bool:
    """Returns whether an array is a video in levels: workers send these, a quarter of the bytes of signed pixels."""
    return name == "video" and item.dtype == np.uint8


def make_pipeline(
    source: sources.VideoSource,
    data: ConfigDict,
    *,
    batch_size: int,
    seed: int,
    train: bool,
    num_epochs: int | None = None,
    drop_last: bool = True,
    repeats: Sequence[int] = (),
    field: str = "batch_size",
) -> Pipeline:
    """Builds the pipeline of one split of any data set.

    Args:
        source: the split, from `i2v_jax.data.registry.open_split`.
        data: the `data` part of a configuration.
        batch_size: B over all hosts.
        seed: of order and augmentation, and of random starts.
        train: True: clips are shuffled and augmented, and start anywhere. False: clips start by `data.eval_starts`, are
            in order and not augmented, and the last batch is filled up (see `valid`).
        num_epochs: how often to go through the clips; None: without end in training, once in evaluation.
        drop_last: whether training drops the clips of an epoch that do not fill a batch; else further clips fill it.
        repeats: how often each video of the source counts; empty: once.
        field: the field of the configuration that `batch_size` comes from, for messages.

    Raises:
        UserError: the crop is unknown or does not fit pokes, no video is long enough, the flow that `data.poke.flow`
            names is missing, or in training a batch is larger than the split.
    """
    transforms.check_crop(data.crop)
    split = source.split
    span = (data.frames - 1) * data.frame_stride + 1
    videos = long_enough(source, span)
    if len(videos) < len(source):
        left_out = len(source) - len(videos)
        logger.info(f"{data.name}/{split}: left out {left_out} videos shorter than {span} frames")
    # a single frame, which the image autoencoder trains on, has no motion to poke
    settings = PokeSettings.of(data.poke) if "poke" in data and data.frames > 1 else None
    if settings and settings.flow_frames >= data.frames:
        flow_frames = settings.flow_frames
        raise UserError(
            f"invalid value for data.poke.flow_frames: {flow_frames} (must be less than data.frames={data.frames})",
            "data.poke.flow_frames",
            flow_frames,
        )
    store = _open_flows(data, source, settings) if settings else None
    if settings and store is not None:
        videos = _with_flow(f"{data.name}/{split}", videos, store, settings.distance(data))
    if settings and data.crop_margin:
        raise UserError("pokes do not move with a crop: set data.crop_margin=0", "data.crop_margin", data.crop_margin)
    if repeats:
        videos = tuple(video for video in videos for _ in range(repeats[video]))
    clips_per_video = data.clips_per_video[split]
    counts = clip_counts(source, videos, clips_per_video)
    order = ClipOrder(int(counts.sum()), batch_size, seed, train, drop_last)
    if order.num_clips == 0 or order.steps_per_epoch == 0:
        raise UserError(
            f"{data.name}/{split} has {order.num_clips} clips, but {field} is {batch_size}: lower {field}, or raise "
            f"data.clips_per_video.{split}",
            field,
            batch_size,
        )
    if settings and train and data.poke.object_weighting:
        order = _weighted(order, [source.object_name(video) for video in videos], counts)
    clips = ReadClip(
        source=source,
        videos=videos,
        order=order,
        clips_per_video=clips_per_video,
        frames=data.frames,
        stride=data.frame_stride,
        size=data.size,
        crop=data.crop,
        augmentation=Augmentation(flip=data.flip, jitter=Jitter(**data.jitter), margin=data.crop_margin),
        resize=data.resize,
        starts=data.eval_starts,
    )
    reader: Reader = clips
    if settings:
        reader = poked = ReadPokedClip(clips, ClipPokes.of(data, settings, source, store))
        if train and data.poke.sequence.shortest:
            reader = sequences.in_sequences(poked, data, order.objects if isinstance(order, WeightedOrder) else ())
    epochs = num_epochs if num_epochs is not None else (None if train else 1)
    num_steps = _FOREVER if epochs is None else epochs * order.steps_per_epoch
    skips = data.on_error == "skip"
    return Pipeline(reader, num_steps, workers=data.workers, prefetch=data.prefetch, skip_unreadable=skips)


def _weighted(order: ClipOrder, shown: Sequence[str], counts: np.ndarray) -> ClipOrder:
    """Returns an order in which every object is equally likely; `shown` and `counts` are those of the videos."""
    of_clips = np.repeat(np.asarray(shown), counts)
    objects = tuple(np.flatnonzero(of_clips == name) for name in dict.fromkeys(shown))
    return WeightedOrder(**vars(order), objects=objects)


def _open_flows(data: ConfigDict, source: sources.VideoSource, settings: PokeSettings) -> FlowStore | None:
    """Returns the stored flows if the configuration asks for them. Raises UserError if the flow is not available."""
    if settings.flow == "exact" and not isinstance(source, KnownMotion):
        raise _flow_error(data, f"the exact motion of {data.name!r} is not known: choose dis or stored")
    if settings.flow != "stored":
        return None
    if not isinstance(source, sources.RecordSource):
        raise _flow_error(data, f"{data.name!r} is not stored on disk: choose exact or dis")
    store, distance = FlowStore(source.folder, source.stored_splits), settings.distance(data)
    folder = store.folder(distance)
    if files.is_in_bucket(folder):
        raise _flow_error(data, f"{folder} is in a bucket, where flows cannot be read: copy the data, or choose dis")
    if missing := store.missing(distance):
        prepare = command("prepare", "--flow=dis", f"--flow_distance={distance}", "...")
        raise _flow_error(data, f"there are no flows in {missing}: run {prepare}, or choose dis")
    return store


def _flow_error(data: ConfigDict, problem: str) -> UserError:
    return UserError(f"data.poke.flow={data.poke.flow}: {problem}", "data.poke.flow", data.poke.flow)


def _with_flow(name: str, videos: Sequence[int], store: FlowStore, distance: int) -> tuple[int, ...]:
    """Returns the videos whose flow was stored; videos without motion have none."""
    chosen = tuple(video for video in videos if store.has(video, distance))
    if not chosen:
        folder = store.path(videos[0], distance).parent
        raise UserError(f"{folder}: none of the {len(videos)} videos has a flow (see skipped.json there)")
    if len(chosen) < len(videos):
        left_out = len(videos) - len(chosen)
        logger.info(f"{name}: left out {left_out} videos without a stored flow")
    return chosen
