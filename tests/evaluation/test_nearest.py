"""The nearest training clips of samples."""

import numpy as np
import pytest

from i2v_jax.evaluation.evaluated_model import EvaluatedModel
from i2v_jax.evaluation.nearest import nearest_training_clips
from tests.evaluation.conftest import SIZE


def test_the_nearest_training_clip_of_a_training_clip_is_itself(model: EvaluatedModel) -> None:
    reader = nearest_training_clips(model, np.zeros((1, 17, SIZE, SIZE, 3), np.float32), limit=12).reader
    assert len(reader) == 12
    example_ids = [5, 11]
    clips = reader.read(example_ids)["video"]
    nearest = nearest_training_clips(model, np.concatenate([clips, 0.9 * clips[:1]]), limit=12, batch_size=5)
    assert nearest.by_pixels.tolist() == [5, 11, 5]
    assert nearest.by_latent.tolist()[:2] == [5, 11]
    assert nearest.pixel_distance[:2].tolist() == [0, 0]
    assert nearest.pixel_distance[2] == pytest.approx(0.1 * np.sqrt(np.mean(clips[0] ** 2)), rel=1e-4)
