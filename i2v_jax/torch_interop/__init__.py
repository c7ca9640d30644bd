"""Converts state dicts of the authors' PyTorch code to our variables and back."""

from i2v_jax.torch_interop.state_dicts.conversion import load_torch, to_torch

__all__ = ["load_torch", "to_torch"]
