"""Named streams of random numbers: `jax.random.fold_in(key, stream)` gives each use its own."""

import enum


class Stream(enum.IntEnum):
    """Streams of a training's key beside those of its steps, which `fold_in` the number of the step."""

    INIT = 2**31 - 1
    EVALUATE = 2**31 - 2
    PREVIEW = 2**31 - 3
