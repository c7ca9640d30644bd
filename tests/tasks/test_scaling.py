"""What depends on the size of the batch is that of the reference batch, in proportion."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.config_files import load
from i2v_jax.configs import stage_fields
from i2v_jax.models.posterior import Posterior
from i2v_jax.tasks import networks, scaling
from i2v_jax.tasks.poke import Poke
from i2v_jax.tasks.video_vae import Outputs, VideoVAE


def test_rules_are_those_of_the_configuration():
    assert stage_fields.RATE_RULES == scaling.RATE_RULES


def test_a_batch_of_the_reference_changes_nothing():
    for name, stage in (("bair", "video_vae"), ("landscape", "video_vae"), ("poking_plants", "poke")):
        section = load(name)[stage]
        assert section.reference_batch == section.batch_size
        assert scaling.batch_ratio(section) == 1.0
        assert scaling.drawn_frames(section.loss.spatial_frames, section.batch_size, section) == (
            section.loss.spatial_frames
        )
        assert scaling.scaled_step(4001, section) == 4001
        assert scaling.scaled_decay(0.999, section) == 0.999
        assert all(scaling.rate_factor(rule, 1.0) == 1.0 for rule in scaling.RATE_RULES)


def test_frames_steps_and_averages_follow_the_clips():
    section = load("landscape", ["video_vae.batch_size=28"]).video_vae
    assert scaling.drawn_frames(20, 28, section) == 80  # 20 of the 7 clips of the configuration
    assert scaling.drawn_frames(20, 14, section) == 40  # of half of a batch
    assert scaling.drawn_frames(20, 1, section) == 3
    assert scaling.scaled_step(4001, section) == 1001
    assert scaling.scaled_decay(0.999, section) == pytest.approx(0.999**4)


def test_tasks_draw_in_proportion():
    config = load("bair", ["video_vae.batch_size=80", "video_vae.loss.perceptual_network=laplacian"])
    batch = {"video": jax.ShapeDtypeStruct((40, 17, 64, 64, 3), np.float32)}
    draws = jax.eval_shape(VideoVAE(config, {}, 10).draws, batch, jax.random.key(0))
    assert draws.frame_indices.shape == (80,)
    overrides = ["poke.batch_size=40", "poke.loss.perceptual_network=laplacian"]
    config = load("poking_plants", overrides)
    task = Poke(config, networks.poke(config, jnp.float32), 10)
    assert jax.eval_shape(task.draws, batch, jax.random.key(0)).real.shape == (64,)
    assert [update.first_step for update in task.updates] == [0, 0, 1000, 1000]


class Squares:
    """A stand-in for discriminators of clips and frames, whose logits are sums of squares."""

    def apply(self, variables, x, train=False, mutable=()):
        logits = jnp.sum(jnp.square(x), axis=tuple(range(1, x.ndim)))[:, None]
        output = (logits, ()) if x.ndim == 5 else logits
        return (output, {}) if mutable else output


def test_the_gradient_penalty_of_parts_is_that_of_the_batch():
    """The gradient of a clip's logit x^2 is 2 x: with the mean over B clips, the penalty is 4 x^2 / B^2."""
    config = load("bair", ["video_vae.loss.perceptual_network=laplacian"])
    task = VideoVAE(config, dict.fromkeys(("temporal_discriminator", "patch_discriminator"), Squares()), 10)
    task._frames = lambda video, *_: video[:, 0]
    variables = {"temporal_discriminator": {}, "patch_discriminator": {}}
    rng = np.random.default_rng(0)
    video = jnp.asarray(rng.normal(size=(10, 17, 4, 4, 3)), jnp.float32)
    window = int(task.draws({"video": video}, jax.random.key(0)).window_start)
    seen = video[:, 1 + window : 1 + window + 12]
    expected = np.mean(np.sum(np.square(2 * seen / 10), axis=(1, 2, 3, 4)))

    def measured(clips):
        nothing = jnp.zeros((len(clips), 2))
        outputs = Outputs(Posterior(nothing, nothing), clips[:, 1:])
        _, (_, metrics) = task.discriminators_loss(variables, outputs, {"video": clips}, jax.random.key(0))
        return float(metrics["gradient_penalty"])

    assert measured(video) == pytest.approx(expected, rel=1e-5)
    assert np.mean([measured(part) for part in (video[::2], video[1::2])]) == pytest.approx(expected, rel=1e-5)
