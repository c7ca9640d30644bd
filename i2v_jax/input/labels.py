"""The labels of clips: arrays that travel with every batch beside the video, such as what a control is made of."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from i2v_jax.errors import UserError
from i2v_jax.input import directions


@dataclasses.dataclass(frozen=True)
class Label:
    """One label.

    Attributes:
        dtype: of the array.
        shape: for one clip.
        mirror: the label of a clip that was flipped horizontally, from its label before. None if that is not known:
            then clips that may be flipped do not have the label.
        stored: shape of the float32 values that `launch.prepare` stores for one video, None for an axis over frames:
            () is one number for the whole video, (None, 3) is three for each frame.
        read: the label of a clip from what is stored for its video, a float32 array of the shape `stored`, and the
            clip's frames. None if the label is not stored.
    """

    dtype: type
    shape: tuple[int, ...] = ()
    mirror: Callable[[Any], Any] | None = None
    stored: tuple[int | None, ...] = ()
    read: Callable[[np.ndarray, Sequence[int]], Any] | None = None

    def of_video(self, values: np.ndarray) -> np.ndarray:
        """Returns the flat values of a video in the shape `stored`."""
        return values.reshape([-1 if length is None else length for length in self.stored])


def _mirror_direction(direction: Any) -> np.int32:
    return np.int32(directions.mirrored_bin(int(direction)))


def _read_direction(stored: np.ndarray, frame_indices: Sequence[int]) -> np.int32:
    return np.int32(directions.direction_bin(float(stored)))


def _read_endpoint(stored: np.ndarray, frame_indices: Sequence[int]) -> np.ndarray:
    return stored[frame_indices[-1]]


_LABELS: dict[str, Label] = {
    "direction": Label(np.int32, mirror=_mirror_direction, read=_read_direction),  # bins, see `directions`
    # of a robot, which has no valid mirrored position
    "endpoint": Label(np.float32, (3,), stored=(None, 3), read=_read_endpoint),
    "class": Label(np.int32, mirror=lambda label: label),
}


def register(name: str, label: Label) -> None:
    """Adds a label from outside the package. Raises UserError if another label has its name."""
    if _LABELS.setdefault(name, label) is not label:
        raise UserError(f"a label named {name!r} is already registered: choose another name", "name", name)


def get_label(name: str) -> Label:
    """Returns the label of a name. Raises UserError for an unknown one."""
    if name not in _LABELS:
        known = ", ".join(_LABELS)
        raise UserError(f"unknown label {name}: there are {known}; a label of your own needs `plugins`", "label", name)
    return _LABELS[name]
