"""Eight virtual CPU devices for all tests, and the compiler settings of the entry points."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax

from i2v_jax.distributed import runtime

runtime.configure_platform()
jax.config.update("jax_num_cpu_devices", 8)
