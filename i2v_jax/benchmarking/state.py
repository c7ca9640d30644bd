"""What an evaluation has found so far: files that are replaced whole, so that a killed one goes on.

Every file holds what one process of one run has found; what is done is the union of all.
"""

import hashlib
import json
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

from i2v_jax.errors import UserError
from i2v_jax.evaluation import accumulators
from i2v_jax.evaluation.accumulators import Accumulator, ClipTable

Tables = dict[str, Accumulator]


class State:
    """The folder of an evaluation of certain settings; others have others."""

    def __init__(self, folder: pathlib.Path, settings: Mapping[str, Any]) -> None:
        """`settings` is all that the values of a clip depend on, JSON.

        Raises:
            UserError: the folder cannot be made.
        """
        self.key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
        self.folder = folder / f"unfinished-{self.key}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot write {self.folder}: {error.strerror}") from error

    def load(self) -> Tables:
        """The tables of all files, merged."""
        found: Tables = {}
        for path in sorted(self.folder.glob("clips-*.npz")):
            found = merged(found, accumulators.load(path))
        return found

    def save(self, tables: Tables) -> None:
        """All that this process has found in this run, in place of what it saved before.

        Raises:
            UserError: the file cannot be written.
        """
        clips = [table.index for table in tables.values() if isinstance(table, ClipTable)]
        first = min(int(index[0]) for index in clips if len(index))
        accumulators.save(self.folder / f"clips-{first:06d}.npz", tables)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def merged(tables: Tables, more: Mapping[str, Accumulator]) -> Tables:
    """`tables` with what `more` has, each table by itself."""
    both = {name: accumulators.merge(tables[name], table) for name, table in more.items() if name in tables}
    return {**tables, **more, **both}
