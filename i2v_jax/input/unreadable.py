"""Clips that cannot be read: with `data.on_error=skip` others take their place, and the log counts them."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from i2v_jax.errors import UserError
from i2v_jax.input.clips import ClipOrder
from i2v_jax.logs import logger

_REASON, _LENGTH = "unreadable", 400  # key of an element, and bytes of its text
_STREAM = 8  # of random numbers, beside those of `clips` and `poke_reader`
_TRIES = 100


class Reader(Protocol):
    """What a pipeline runs in its worker processes. Readers can be pickled."""

    @property
    def order(self) -> ClipOrder:
        """The order of the clips."""

    @property
    def spec(self) -> dict[str, jax.ShapeDtypeStruct]:
        """The shape and type of one element's arrays; a video may have levels, signed pixels in batches."""

    def __call__(self, position: int) -> Mapping[str, Any]:
        """Returns the element at a position of the stream."""

    def in_order(self, order: ClipOrder) -> "Reader":
        """Returns a reader of the same clips in another order."""


@runtime_checkable
class ReadsForSteps(Protocol):
    """A reader whose clips depend on the step that they are read for."""

    def read_for_step(self, position: int, step: int) -> Mapping[str, Any]:
        """Returns the clip of a position for the batch of a step."""


@dataclasses.dataclass(frozen=True)
class SkipUnreadable:
    """A reader that puts another clip of the epoch in the place of one whose video cannot be read.

    Which one depends on the seed and the position alone. In evaluation it is marked as not valid.
    """

    reader: Reader

    def __call__(self, position: int) -> Mapping[str, Any]:
        """Returns the element at a position, with the reason if it is another one.

        Raises:
            UserError: the clip and `_TRIES` others cannot be read.
        """
        try:
            return {**self.reader(position), _REASON: _as_bytes("")}
        except UserError as error:
            if error.field != "data.dir":
                raise
            reason = str(error)
        order = self.reader.order
        length = order.steps_per_epoch * order.batch_size
        epoch, step = int(position) // length, int(position) // order.batch_size
        rng = np.random.default_rng([order.seed, int(position), 0, _STREAM])
        for _ in range(_TRIES):
            try:
                element = {**self._read(epoch * length + int(rng.integers(length)), step), _REASON: _as_bytes(reason)}
            except UserError as error:
                if error.field != "data.dir":
                    raise
                continue
            return element if order.train else {**element, "valid": np.bool_(False)}
        raise UserError(f"{reason}; nor can any of {_TRIES} other clips", "data.dir")

    def _read(self, position: int, step: int) -> Mapping[str, Any]:
        if isinstance(self.reader, ReadsForSteps):
            return self.reader.read_for_step(position, step)
        return self.reader(position)


class Count:
    """Counts the clips that were replaced, and logs each video once, and the number when it has doubled."""

    def __init__(self) -> None:
        self.clips = 0
        self._told: set[str] = set()

    def take(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns a batch without the reasons why clips of it were replaced."""
        for row in batch.get(_REASON, ()):
            if reason := row.tobytes().rstrip(b"\0").decode(errors="ignore"):
                self.clips += 1
                if reason not in self._told or self.clips & (self.clips - 1) == 0:
                    self._told.add(reason)
                    logger.warning(f"{reason}. Another clip takes the place of its clips: {self.clips} so far")
        return {name: array for name, array in batch.items() if name != _REASON}


def _as_bytes(text: str) -> np.ndarray:
    """Returns uint8 [_LENGTH], which travels between processes as other arrays do."""
    return np.frombuffer(text.encode()[:_LENGTH].ljust(_LENGTH, b"\0"), np.uint8)
