"""The labels of clips: arrays that travel with every batch beside the video, such as what a control is made of."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
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
        read: the label of a clip from the stored record, the fields of a `tf.train.Example`, and the clip's frames.
            None if the label is not stored.
    """

    dtype: type
    shape: tuple[int, ...] = ()
    mirror: Callable[[Any], Any] | None = None
    stored: tuple[int | None, ...] = ()
    read: Callable[[Mapping[str, Any], Sequence[int]], Any] | None = None


def _mirror_direction(direction: Any) -> np.int32:
    return np.int32(directions.mirrored_bin(int(direction)))


def _read_direction(record: Mapping[str, Any], frame_indices: Sequence[int]) -> np.int32:
    return np.int32(directions.direction_bin(record["direction"].float_list.value[0]))


def _read_endpoint(record: Mapping[str, Any], frame_indices: Sequence[int]) -> np.ndarray:
    positions = np.asarray(record["endpoint"].float_list.value, np.float32).reshape(-1, 3)
    return positions[frame_indices[-1]]


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
