"""The results of an evaluation so far, in files that are each written once, so that it continues after it was killed.

Each file of clips holds some clips of one process in one run; the union of all is done. Moments are sums, and large: a
process keeps one file of them, which belongs to the last file of clips of its run and replaces the one before.
"""

import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from i2v_jax import files
from i2v_jax.errors import UserError
from i2v_jax.metrics import accumulators
from i2v_jax.metrics.accumulators import Accumulator, ClipTable, Moments

_SETTINGS = "settings.json"
# What else the values depend on is chosen by the user; these follow from the data that is there.
_OF_DATA = ("data", "clips", "data_sha256", "truth_stored", "truth_crop", "truth_resize")

Tables = dict[str, Accumulator]


class State:
    """The folder of an unfinished evaluation. Evaluations with other settings have other folders."""

    def __init__(self, folder: pathlib.Path, settings: Mapping[str, Any]) -> None:
        """`settings` is all that the values of a clip depend on, as JSON.

        Raises:
            UserError: the folder cannot be made, and its value is the path; or there is an unfinished evaluation of
                the same settings on other data, and its value has the names of those that differ.
        """
        self.key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
        self.folder = folder / f"unfinished-{self.key}"
        _check_data(folder, settings)
        with files.writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        files.write_text(self.folder / _SETTINGS, json.dumps(settings, sort_keys=True))
        self._saved: list[str] = []  # names of this process's files in this run, without their kind
        self._moments: Tables = {}

    def load(self) -> Tables:
        """Returns the tables of all files, merged."""
        found: Tables = {}
        last: dict[str, pathlib.Path] = {}
        for path in sorted(self.folder.glob("clips-*.npz")):
            found = accumulators.merge_all(found, accumulators.load(path))
            last[path.stem.split("-")[1]] = path
        for path in last.values():
            moments = path.with_name(path.name.replace("clips", "moments"))
            if moments.is_file():
                found = accumulators.merge_all(found, accumulators.load(moments))
        return found

    def save(self, tables: Tables) -> None:
        """Adds what this process has found since it last saved. Raises UserError if it cannot be written."""
        clips = {name: table for name, table in tables.items() if isinstance(table, ClipTable)}
        moments = {name: item for name, item in tables.items() if isinstance(item, Moments)}
        self._moments = accumulators.merge_all(self._moments, moments)
        first = min(int(table.index[0]) for table in clips.values() if len(table.index))
        run = self._saved[0].split("-")[0] if self._saved else f"{first:06d}"
        name = f"{run}-{len(self._saved):06d}"
        # In this order: moments without their clips are not read.
        if self._moments:
            accumulators.save(self.folder / f"moments-{name}.npz", self._moments)
        accumulators.save(self.folder / f"clips-{name}.npz", clips)
        if self._saved:
            (self.folder / f"moments-{self._saved[-1]}.npz").unlink(missing_ok=True)
        self._saved.append(name)

    def remove(self) -> None:
        files.remove_folder(self.folder)


def _check_data(folder: pathlib.Path, settings: Mapping[str, Any]) -> None:
    """Raises UserError if an evaluation of these settings was begun on other data."""
    for path in sorted(folder.glob(f"unfinished-*/{_SETTINGS}")):
        there = json.loads(path.read_text())
        given = json.loads(json.dumps(settings))  # tuples are lists there
        differing = [name for name in {**given, **there} if given.get(name) != there.get(name)]
        of_data = [name for name in differing if name in _OF_DATA]
        if of_data == differing != [] and any(path.parent.glob("clips-*.npz")):
            values = "; ".join(f"{name} is {there.get(name)!r}, not {given.get(name)!r}" for name in of_data)
            raise UserError(
                f"{path.parent} has an unfinished evaluation on other data ({values}): give another "
                "--out, or delete it",
                "data_dir",
                tuple(of_data),
            )
