"""Reading other people's weight files without running the code that a pickle can carry."""

import io
import pathlib
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np

from i2v_jax.errors import UserError

# What a pickle of NumPy arrays refers to, under the names of NumPy 1 and 2.
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
            raise UserError(f"refused to unpickle {module}.{name}: only NumPy arrays in plain containers are read")
        return _ALLOWED[module, name]


def read_arrays(content: bytes) -> Any:
    """The NumPy arrays, in dicts, lists and tuples, of a pickle.

    Raises:
      UserError: the pickle is damaged, or refers to anything but array reconstruction; nothing of it is called.
    """
    try:
        return _ArraysOnly(io.BytesIO(content)).load()
    except (pickle.UnpicklingError, EOFError) as error:
        raise UserError(f"this is not a whole pickle of NumPy arrays ({error}): get the file again") from error


def read_torch_file(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The state dict of a file that `torch.save` wrote, or of its entry "state_dict".

    Raises:
      UserError: PyTorch is not installed, or the file is missing, damaged, or holds more than tensors in containers.
    """
    try:
        import torch
    except ImportError as error:
        raise UserError(f"reading {path} needs PyTorch: pip install 'i2v_jax[torch]'") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"{path} is not a PyTorch file of plain tensors: {reason[0]}") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"{path} holds no state dict: expected names of parameters and their tensors")
    return {key: value.detach().numpy() for key, value in state.items()}
