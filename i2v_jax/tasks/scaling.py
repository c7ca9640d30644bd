"""What scales with the size of the batch, relative to `reference_batch`, that of the configuration's file.

A larger batch makes an epoch of fewer steps. What these functions return counts as many clips as before.
"""

import math

from ml_collections import ConfigDict

RATE_RULES = ("none", "linear", "sqrt")


def reference_batch(stage: ConfigDict) -> int:
    """Returns the batch size that the fields of a stage's section are for."""
    return stage.reference_batch or stage.batch_size


def batch_ratio(stage: ConfigDict) -> float:
    """Returns `batch_size` / `reference_batch`, 1.0 where they are the same."""
    return stage.batch_size / reference_batch(stage)


def drawn_frames(count: int, clips: int, stage: ConfigDict) -> int:
    """Returns how many frames to draw from `clips` clips, a batch or a part of one: `count` from a reference batch."""
    return max(1, round(count * clips / reference_batch(stage)))


def scaled_step(step: int, stage: ConfigDict) -> int:
    """Returns the step before which as many clips are seen as in `step` steps of reference batches."""
    return math.ceil(step / batch_ratio(stage))


def rate_factor(rule: str, ratio: float) -> float:
    """Returns the factor of the learning rate for a batch of `ratio` reference batches.

    "linear" keeps the sum of the steps that SGD takes in an epoch (Goyal et al. 2017), "sqrt" the noise of Adam's steps
    (Malladi et al. 2022).
    """
    return {"none": 1.0, "linear": ratio, "sqrt": math.sqrt(ratio)}[rule]


def scaled_decay(decay: float, stage: ConfigDict) -> float:
    """Returns the decay of a moving average over steps whose horizon is as many clips as with the reference batch."""
    return decay ** batch_ratio(stage)
