"""What an evaluation has found so far: files that are written once each, so that a killed one goes on.

Every file holds tables of some clips. Processes write files of their own; what is done is the union of all.
"""

import hashlib
import json
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

from i2v_jax.errors import UserError
from i2v_jax.evaluation import accumulators
from i2v_jax.evaluation.accumulators import ClipTable

Tables = dict[str, ClipTable]


class State:
    """The folder of an evaluation of certain settings; others have others."""

    def __init__(self, folder: pathlib.Path, settings: Mapping[str, Any]) -> None:
        """`settings` is all that the values of a clip depend on, JSON.

        Raises:
            UserError: the folder cannot be made.
        """
        text = json.dumps(settings, sort_keys=True)
        self.folder = folder / f"unfinished-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot write {self.folder}: {error.strerror}") from error

    def load(self) -> Tables:
        """The tables of all files, merged."""
        merged: Tables = {}
        for path in sorted(self.folder.glob("clips-*.npz")):
            for name, table in accumulators.load(path)[0].items():
                assert isinstance(table, ClipTable)
                merged[name] = merged[name].merge(table) if name in merged else table
        return merged

    def save(self, tables: Tables) -> None:
        """Adds a file, whole or not at all. Raises UserError when it cannot be written."""
        first = min(int(table.index[0]) for table in tables.values() if len(table.index))
        accumulators.save(self.folder / f"clips-{first:06d}.npz", tables)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def merged(tables: Tables, more: Mapping[str, ClipTable]) -> Tables:
    """`tables` with the clips of `more`, each table by itself."""
    return {**tables, **{name: tables[name].merge(table) if name in tables else table for name, table in more.items()}}
