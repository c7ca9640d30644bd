"""What cannot be trained is refused before the first stage: the field, its value, and what is allowed."""

import pathlib

import jax
import pytest
from jax.sharding import AxisType

from i2v_jax import config as configs
from i2v_jax.configs import common
from i2v_jax.data.registry import open_split
from i2v_jax.errors import UserError
from i2v_jax.input.pipeline import make_pipeline
from i2v_jax.training import preflight, run

ROOT = pathlib.Path(__file__).parents[2]
ALL = [path.stem for path in (ROOT / "configs").glob("*.py") if path.stem not in ("__init__", "common", "small")]


def load(spec):
    name, _, argument = spec.partition(":")
    return configs.load(f"{ROOT}/configs/{name}.py:{argument}")


def mesh(devices=1):
    return jax.make_mesh((devices, 1), ("data", "fsdp"), (AxisType.Auto,) * 2, devices=jax.devices()[:devices])


@pytest.mark.parametrize("name", ALL)
def test_every_configuration_passes(name):
    preflight.check_config(load(name), mesh())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("bair:control=sideways", "control=sideways: choose none, direction, endpoint, poke"),
        ("bair:dtype=bfloat17", "dtype=bfloat17: choose float32, bfloat16, float64"),
        ("bair:flow.network.scale=linear", r"flow\.network\.scale=linear: choose exp, sigmoid, softclamp"),
        ("bair:video_vae.encoder.depth=resnet9", r"video_vae\.encoder\.depth=resnet9: choose resnet18, resnet34"),
        ("bair:image_ae.encoder.depth=resnet101", r"image_ae\.encoder\.depth=resnet101: choose resnet18"),
        ("bair:image_ae.encoder.norm=batch", r"image_ae\.encoder\.norm=batch: choose in, bn"),
        ("bair:image_ae.patch_discriminator.norm=group", "image_ae.patch_discriminator.norm=group: choose actnorm, in"),
        ("sky:video_vae.patch_discriminator.norm=batch", "patch_discriminator.norm=batch: choose actnorm, instance"),
        ("plants:poke.patch_discriminator.norm=batch", "poke.patch_discriminator.norm=batch: choose actnorm, instance"),
        ("plants:poke.model.poke_norm=batch", r"poke\.model\.poke_norm=batch: choose instance, layer, none"),
        ("plants:poke.model.poke_over_time=later", "poke_over_time=later: choose constant, impulse, decay"),
        ("bair:video_vae.encoder.z_dim=32", "encoder.z_dim=32, video_vae.decoder.z_dim=64: .* give both the same"),
        ("bair:video_vae.encoder.z_dim=33,video_vae.decoder.z_dim=33", "z_dim=33: .* give an even number"),
        ("bair:data.size=48", "data.size=48: the image autoencoder exists for 32, 64, 128 pixels"),
        ("bair:flow.network.blocks=0", "flow.network.blocks=0: it must be 1 or more"),
        ("bair:image_ae.optimizer.name=sgd", r"image_ae\.optimizer\.name=sgd: choose adam, amsgrad, muon"),
        ("bair:image_ae.loss.perceptual_network=vgg11", "image_ae.loss.perceptual_network=vgg11: choose lpips, vgg19"),
        ("bair:flow.batch_size=0", "flow.batch_size=0: it must be 1 or more"),
        *(
            (f"bair:train.{name}_every=0", f"train.{name}_every=0: it must be 1 or more")
            for name in ("log", "preview", "checkpoint", "evaluate")
        ),
    ],
)
def test_a_field_that_cannot_be_what_it_is(spec, message, tmp_path):
    with pytest.raises(UserError, match=message):
        preflight.check_config(load(spec), mesh())
    config = load(spec)
    for stage in config.stages:  # what a run checks before it makes anything
        config[stage].batch_size = config[stage].batch_size and 8
    with pytest.raises(UserError, match=message):
        run.train_stages(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_batches_of_all_stages_are_checked_before_the_first():
    config = load("bair:video_vae.batch_size=8,image_ae.batch_size=32")
    with pytest.raises(UserError, match=r"flow\.batch_size=50 is not a multiple of the 4 devices"):
        preflight.check_config(config, mesh(4))
    config.stage = "image_ae"
    preflight.check_config(config, mesh(4))


@pytest.mark.parametrize(
    ("name", "control", "allowed"), [("sky", "endpoint", "none, direction"), ("textures", "direction", "none")]
)
def test_control_by_what_clips_do_not_carry(name, control, allowed):
    config = common.base(32)
    config.data.name = name
    config.data.num_clips.train = 4
    clips = make_pipeline(open_split(config.data, "train"), config.data, batch_size=2, seed=0, train=True)
    config.control = control
    with pytest.raises(UserError, match=rf"control={control}: the clips of {name} .* choose {allowed} \("):
        preflight.check_control(config, clips)
    config.control = allowed.rpartition(" ")[2]
    preflight.check_control(config, clips)


def test_the_batches_that_the_documents_give_for_several_devices_divide():
    """Four nodes of eight GPUs."""
    batches = "video_vae.batch_size=32,image_ae.batch_size=32,flow.batch_size=64"
    for document in ("docs/training.md", "launch/slurm/train.sbatch"):
        assert f"configs/bair.py:{batches}" in (ROOT / document).read_text()
    sizes = load(f"bair:{batches}")
    assert all(sizes[stage].batch_size % 32 == 0 for stage in sizes.stages)
