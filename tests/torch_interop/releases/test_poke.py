"""The poke release's config and checkpoint become configuration and networks, and come back."""

import pathlib

import numpy as np
import pytest

from i2v_jax.configs import iper
from i2v_jax.errors import UserError
from i2v_jax.torch_interop import load_torch
from i2v_jax.torch_interop.releases import documents, poke
from i2v_jax.torch_interop.state_dicts import torch_files
from tests.launch.synthesis import last_line, launch
from tests.reference import fixtures

CONFIG = """
data:
  dataset: IperDataset
  spatial_size: !!python/tuple [64,64]
  poke_size: 3
  max_frames: 5
  aug_trans: !!python/tuple [0.2,0.1]
  equal_poke_val: True
training: {n_epochs: 1000, lr: 0.0002, tau: [0.01,0.025,0.05], lr_reduce: 0.3, latent_dynamics_weight: 0.1}
architecture: {nf_first: 32, nf_deep: 256, min_spatial_size: 8, n_gru_layers: 3, poke_every_t: True, poke_scale: False}
gan: {n_layers: 3, gen_weight: 1, gp_weight: 1e-4}
"""


@pytest.fixture
def release(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


def test_the_config_is_moved(release: pathlib.Path):
    config = poke.configure(iper.get_config("model=poke"), documents.read(release / "config.yaml"))
    assert (config.data.size, config.data.frames, config.data.poke.poke_size) == (64, 6, 3)
    assert (config.poke.model.features, config.poke.model.min_spatial_size) == (256, 8)
    assert config.poke.optimizer.milestones == (10, 25, 50)
    assert (config.poke.loss.latent, config.poke.loss.spatial_penalty) == (0.1, 1e-4)
    assert (config.data.poke.geometry.shift, config.data.poke.fill, config.data.poke.normalize) == (
        0.2,
        "value",
        "none",
    )


def test_there_and_back_is_bit_equal(release: pathlib.Path):
    fixture = fixtures.load("poke_model_64")
    file = release / "reg_ckpt_checkpoint_3000.pt"
    torch_files.write(file, {"model": fixture.state, "optimizer_dyn": {"state": {}}})
    imported = poke.read_release(file, release / "config.yaml")
    (report,) = imported.networks
    assert imported.preset.options(imported.config)[:2] == [
        "--config=configs/iper.py:model=poke,size=64,preset=release",
        "--config.data.frames=6",
    ]
    assert imported.missing() == ["poke/temporal_discriminator", "poke/patch_discriminator"]
    assert len(report.used) == len(fixture.state) and not report.left and not report.changed
    _, expected = load_torch("poke_model", fixture.state, fixture.config)
    for name, tree in expected["params"].items():
        assert_same(imported.stages["poke"][name]["params"], tree)
    poke.write_release(imported.config, imported.stages, release / "out")
    written = torch_files.read_state_dict(release / "out" / "reg_ckpt_checkpoint_0.pt", "model")
    assert written.keys() == fixture.state.keys()
    assert all(np.array_equal(written[key], fixture.state[key]) for key in written)
    back = poke.configure(iper.get_config("model=poke,preset=release"), documents.read(release / "out" / "config.yaml"))
    assert back.to_dict() == imported.config.to_dict()


@pytest.mark.slow
def test_there_and_back_by_command(release: pathlib.Path):
    fixture = fixtures.load("poke_model_64")
    file, run = release / "reg_ckpt_checkpoint_3000.pt", release / "run"
    torch_files.write(file, {"model": fixture.state, "optimizer_dyn": {"state": {}}})
    arguments = (f"--checkpoint={file}", f"--config={release / 'config.yaml'}", f"--workdir={run}")
    done = launch("launch.import_torch", "--kind=poke", *arguments)
    assert done.returncode == 0, done.stderr
    assert "poke/model" in done.stdout and "all equal" in done.stdout and "--poke=X,Y,DX,DY" in done.stdout
    assert (run / "parity.txt").is_file() and (run / "config.json").is_file()
    done = launch("launch.export_torch", f"--workdir={run}", f"--out={release / 'out'}")
    assert done.returncode == 0, done.stderr
    written = torch_files.read_state_dict(release / "out" / "reg_ckpt_checkpoint_0.pt", "model")
    assert written.keys() == fixture.state.keys()
    assert all(np.array_equal(written[key], fixture.state[key]) for key in written)
    again = launch("launch.import_torch", "--kind=poke", *arguments)
    assert again.returncode == 2 and last_line(again.stderr).startswith("error: ")


def assert_same(ours, expected):
    assert ours.keys() == expected.keys()
    for name, value in ours.items():
        assert_same(value, expected[name]) if isinstance(value, dict) else np.testing.assert_array_equal(
            value, expected[name]
        )


def test_other_models_are_named(release: pathlib.Path):
    file = release / "a.pt"
    torch_files.write(file, {"model": {"w": np.zeros(3, np.float32)}})
    with pytest.raises(UserError) as raised:
        poke.read_release(file, release / "config.yaml")
    assert raised.value.value["unknown"] == ["w"]
    (release / "config.yaml").write_text(CONFIG.replace("poke_scale: False", "poke_scale: True"))
    with pytest.raises(UserError) as raised:
        poke.read_release(file, release / "config.yaml")
    assert (raised.value.field, raised.value.value) == ("poke_scale", True)
    with pytest.raises(UserError) as raised:
        poke.read_release(release / "b.pt", release / "config.yaml")
    assert raised.value.value == str(release / "b.pt")


@pytest.mark.parametrize(("field", "value"), [("levels", 1), ("image_norm", "layer"), ("image_norm", "none")])
def test_models_that_the_authors_do_not_have_are_refused(tmp_path: pathlib.Path, field: str, value):
    config = iper.get_config("model=poke")
    config.poke.model[field] = value
    with pytest.raises(UserError) as raised:
        poke.write_release(config, {}, tmp_path / "out")
    assert (raised.value.field, raised.value.value) == (f"poke.model.{field}", value)
    assert not (tmp_path / "out").exists()
