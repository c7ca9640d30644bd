"""Weights of other people's code: the authors' state dicts, both ways."""

from i2v_jax.torch_interop.state_dicts.conversion import load_torch, to_torch

__all__ = ["load_torch", "to_torch"]
