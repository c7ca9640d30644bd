"""The part of a clip that the losses of the poke model may be limited to."""

import numpy as np

from i2v_jax.input import patches
from tests.input.helpers import flow_of
from tests.input.test_poke_reader import batch_of, plants_pipeline


def test_a_rectangle_bounds_what_moves_in_any_frame() -> None:
    first, last = np.zeros((20, 30)), np.zeros((20, 30))
    first[3:6, 7:9], last[11:13, 20:25] = 5.0, 2.0
    shown = [patches.moving(flow_of(amplitude)) for amplitude in (first, last)]
    assert patches.rectangle(shown).tolist() == [3, 7, 10, 18]
    assert patches.rectangle([np.zeros((20, 30), bool)]).tolist() == [0, 0, 20, 30]


def test_batches_of_training_have_patches() -> None:
    for kind in ("flow", "mask"):
        chosen = plants_pipeline(patch=kind)
        batch = batch_of(chosen)
        assert batch["patch"].shape == chosen.batch_spec["patch"].shape == (4, 4)
        top, left, height, width = batch["patch"].T
        assert (np.minimum(top, left) >= 0).all()
        assert (np.minimum(height, width) >= 1).all()
        assert (np.maximum(top + height, left + width) <= 32).all()
        assert "patch" not in batch_of(plants_pipeline(train=False, patch=kind))
    for name, array in batch_of(plants_pipeline()).items():
        assert np.array_equal(array, batch[name]), name  # the same clips and pokes


def test_a_patch_holds_what_is_poked() -> None:
    batch = batch_of(plants_pipeline(patch="flow", zeropoke_amount=0))
    top, left, height, width = batch["patch"].T
    x, y = batch["poke_position"].T
    assert ((left <= x) & (x < left + width) & (top <= y) & (y < top + height)).all()
