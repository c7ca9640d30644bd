"""Weights of other people's code: the authors' state dicts, both ways."""

from i2v_jax.interop.torch import load_torch, to_torch

__all__ = ["load_torch", "to_torch"]
