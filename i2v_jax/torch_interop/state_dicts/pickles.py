"""Reads pickles of NumPy arrays without running the code that a pickle can contain."""

import io
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np

from i2v_jax.errors import UserError

# The names that a pickle of NumPy arrays refers to, in NumPy 1 and 2.
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ALLOWED: Mapping[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise UserError(
                f"the pickle refers to {module}.{name} (may refer to NumPy arrays only): get the file again",
                value=f"{module}.{name}",
            )
        return _ALLOWED[module, name]


def read_arrays(content: bytes) -> Any:
    """Returns the NumPy arrays of a pickle, in dicts, lists and tuples.

    Raises:
      UserError: the pickle is damaged, or refers to anything but array reconstruction. Nothing of it is called.
    """
    try:
        return _ArraysOnly(io.BytesIO(content)).load()
    except (pickle.UnpicklingError, EOFError) as error:
        raise UserError(f"not a complete pickle of NumPy arrays ({error}): get the file again") from error
