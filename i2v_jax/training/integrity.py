"""Checksums of the files of a checkpoint, and what happens to a checkpoint that they do not fit.

Without them, a flipped bit would load as another number.
"""

import itertools
import json
import pathlib
import zlib
from collections.abc import Sequence

from i2v_jax import files
from i2v_jax.logs import logger
from i2v_jax.training import events

# The folders of a checkpoint. All but the metrics are needed to continue.
NETWORKS, OPTIMIZER, DATA, CONFIG, METRICS = "networks", "optimizer", "data", "config", "metrics"
IMPORTED = 0  # the step of a checkpoint that was imported
_NAME = "checksums.json"
# Orbax writes these again when it commits a checkpoint, after its checksums are written.
_WRITTEN_LATER = {"_CHECKPOINT_METADATA", "commit_success.txt", _NAME}
_CHUNK = 2**24  # bytes


def write_checksums(checkpoint: pathlib.Path) -> None:
    """Writes the size and the CRC-32 of every file of a checkpoint into its folder."""
    paths = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name not in _WRITTEN_LATER)
    table = {str(path.relative_to(checkpoint)): _size_and_crc32(path) for path in paths}
    (checkpoint / _NAME).write_text(json.dumps(table, indent=1) + "\n")


def damage(checkpoint: pathlib.Path, *items: str) -> str:
    """Returns the first damaged file of a checkpoint and what is wrong with it, "" if all is intact.

    A checkpoint that was written before there were checksums counts as intact if no folder is missing.

    Args:
      checkpoint: its folder.
      items: folders that it needs, to look at; by default all that have checksums.
    """
    for item in items:
        if not (checkpoint / item).is_dir():
            return f"it has no {item}"
    try:
        table = json.loads((checkpoint / _NAME).read_bytes())
        wanted = {name: (size, crc) for name, (size, crc) in table.items()}
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, TypeError, AttributeError):
        return f"{_NAME} cannot be read"
    for item in items:
        if not any(name.startswith(f"{item}/") for name in wanted):
            return f"{_NAME} says nothing of {item}"
    for name, (size, crc) in wanted.items():
        if items and name.split("/")[0] not in items:
            continue
        try:
            found = _size_and_crc32(checkpoint / name)
            if found[0] != size:
                return f"{name} has {found[0]} bytes instead of {size}"
            if found[1] != crc:
                return f"{name} has another checksum"
        except OSError as error:
            return f"{name}: {error.strerror}"
    return ""


def set_damaged_aside(root: pathlib.Path, steps: Sequence[int]) -> int:
    """Returns the step of the newest intact checkpoint, 0 if there is none.

    Newer ones, which are damaged, are moved to the folder `damaged` beside `root`; one without checksums is damaged if
    an older one has them. A checkpoint of which only the metrics are damaged stays without them: they are moved there,
    too. One that was imported stays where it is: nothing can stand in for it, and reading it fails.

    Args:
      root: the folder of a stage's checkpoints, `STAGE/checkpoints`.
      steps: those of all complete checkpoints there.
    Raises:
      UserError: a folder cannot be moved.
    """
    guarded = [step for step in steps if (root / str(step) / _NAME).is_file()]
    left = sorted(steps)
    while left and left[-1] != IMPORTED:
        step = left[-1]
        found = damage(root / str(step), NETWORKS, OPTIMIZER, DATA, CONFIG)
        if not found and step not in guarded and any(older < step for older in guarded):
            found = f"{_NAME} is missing"
        if not found:
            break
        left.pop()
        moved = _move_aside(root / str(step), root.parent, str(step))
        logger.warning(f"checkpoint {root / str(step)} is damaged ({found}): moved to {moved}")
        events.record(root.parent, "checkpoint set aside", step=step, problem=found)
    if steps and not left:
        logger.warning(f"no checkpoint is left in {root}: training starts again from the first step")
    for step in left:
        if found := _metrics_damage(root / str(step)):
            moved = _move_aside(root / str(step) / METRICS, root.parent, f"{step}-{METRICS}")
            logger.warning(f"checkpoint {root / str(step)} is kept without a score ({found}): see {moved}")
            events.record(root.parent, "score set aside", step=step, problem=found)
    return left[-1] if left else 0


def _metrics_damage(checkpoint: pathlib.Path) -> str:
    """Returns what is wrong with the metrics of a checkpoint, "" if they are intact or were never written."""
    if not (checkpoint / METRICS).is_dir():
        return ""
    try:
        json.loads((checkpoint / METRICS / "metrics").read_bytes())
    except (OSError, ValueError) as error:
        return f"{METRICS} cannot be read: {error}"
    return damage(checkpoint, METRICS)


def _move_aside(path: pathlib.Path, stage: pathlib.Path, name: str) -> pathlib.Path:
    """Moves a folder to `stage/damaged/NAME`, or NAME-2 and so on if that exists. Returns where it is."""
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    target = next(path for path in (stage / "damaged" / each for each in names) if not path.exists())
    with files.writing(target):
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
    return target


def _size_and_crc32(path: pathlib.Path) -> tuple[int, int]:
    size = crc = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            size, crc = size + len(chunk), zlib.crc32(chunk, crc)
    return size, crc
