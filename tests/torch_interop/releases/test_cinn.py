"""The cINN release becomes a work directory and comes back, key by key; what does not fit is named in one line."""

import jax
import numpy as np
import pytest

from i2v_jax.configs import sky
from i2v_jax.errors import UserError
from i2v_jax.sampling.load import load_generator
from i2v_jax.sampling.stages import load_stages
from i2v_jax.torch_interop.releases import cinn
from i2v_jax.torch_interop.state_dicts import torch_files
from i2v_jax.workdir import read_workdir
from tests.launch.synthesis import launch
from tests.reference import fixtures
from tests.torch_interop.releases import release_files


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return release_files.write_release(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def run(folders, tmp_path_factory):
    """Returns the imported work directory and the command's output."""
    workdir = tmp_path_factory.mktemp("runs") / "bair"
    places = [f"--{part}={getattr(folders, part)}" for part in ("stage1", "ae", "stage2")]
    result = launch("launch.import_torch", "--kind=cinn", *places, f"--workdir={workdir}")
    assert result.returncode == 0, result.stderr
    return workdir, result.stdout


@pytest.mark.slow
def test_the_imported_model_reproduces_the_fixtures(run):
    workdir, said = run
    assert "video_vae/decoder" in said and "all equal" in said and "differ" not in said
    assert "flow/flow: 20 x sub_layers.*.norm_layer.initialized []" in said
    (line,) = (line for line in said.splitlines() if "image_ae/decoder, " in line)
    assert "video_vae/temporal_discriminator" in line
    config = "configs/bair.py:size=64,preset=release --config.video_vae.decoder.channel_factor=16"
    assert f"launch.train --config={config} --workdir={workdir}" in said
    generator = load_generator(workdir)
    decoder, flow, encoder = (
        fixtures.load(name, with_state=False)
        for name in ("video_decoder_bair_nf16", "flow_cond64", "video_encoder_bair")
    )
    start_frame = np.moveaxis(decoder.inputs["start_frame"], 1, -1)
    video = np.moveaxis(generator._run("decode", start_frame, decoder.inputs["z"]), -1, 2)
    stride = decoder.config["video_stride"]
    assert_close(video[..., ::stride, ::stride], decoder, "video")
    control = np.zeros((3, 0), np.float32)
    z = generator._run("inverse", flow.inputs["residual"], flow.inputs["embedding"], control)
    assert_close(z, flow, "z_of_residual")
    residual = generator._run("forward", flow.inputs["z"], flow.inputs["embedding"], control)
    assert_close(residual, flow, "residual_of_z")
    assert_close(generator._run("encode", np.moveaxis(encoder.inputs["video"], 2, -1)), encoder, "mean")
    videos = generator.generate(start_frame, jax.random.key(0), 2)
    assert videos.shape == (1, 2, 16, 64, 64, 3) and np.isfinite(videos).all()


def assert_close(ours, fixture, name):
    expected = fixture.outputs[name]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=fixture.tolerance * np.abs(expected).max(), err_msg=name)


@pytest.mark.slow
def test_there_and_back_is_bit_equal(run, tmp_path):
    workdir, _ = run
    result = launch("launch.export_torch", f"--workdir={workdir}", f"--out={tmp_path / 'out'}")
    assert result.returncode == 0, result.stderr
    for file, state in release_files.states().items():
        written = torch_files.read_state_dict(tmp_path / "out" / file)
        assert written.keys() == state.keys(), file
        assert all(np.array_equal(written[key], state[key]) for key in state), file
    config = read_workdir(workdir)
    again = cinn.read_release(cinn.Folders(*(tmp_path / "out" / part for part in ("stage1", "ae", "stage2"))))
    assert again.config.to_dict() == config.to_dict()
    stages = load_stages(config, workdir)
    assert jax.tree.structure(again.stages) == jax.tree.structure(stages)
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, again.stages, stages)))
    strict_loading(tmp_path / "out")


def strict_loading(out):
    """Plain PyTorch networks with the authors' keys take every file with strict=True."""
    torch = pytest.importorskip("torch")
    from benchmarks import torch_networks

    networks = {
        "stage1/best_PFVD_ENC.pth": torch_networks.VideoEncoder(
            (64, 128, 256, 512, 512), (1, 2, 2, 2), (1, 2, 2, 2), 64
        ),
        "stage1/best_PFVD_GEN.pth": torch_networks.VideoDecoder(16, 64, (2, 1), (2, 1)),
        "stage1/latest_checkpoint_DISC_s.pth": torch_networks.PatchDiscriminator(),
        "ae/encoder_stage2.pth": torch_networks.ImageEncoder(64, "in"),
        "stage2/cINN.pth": torch_networks.ConditionalFlow(64, 64),
    }
    for file, network in networks.items():
        network.load_state_dict(torch.load(out / file, weights_only=True)["state_dict"], strict=True)


def test_a_missing_file_is_named(tmp_path):
    folders = release_files.write_configs(tmp_path)
    with pytest.raises(UserError) as raised:
        cinn.read_release(folders)
    assert raised.value.value == str(folders.stage1 / "best_PFVD_ENC.pth")
    (folders.ae / "config_stage2_AE.yaml").unlink()
    with pytest.raises(UserError) as raised:
        cinn.read_release(folders)
    assert raised.value.value == str(folders.ae / "config_stage2_AE.yaml")


@pytest.mark.parametrize(
    ("part", "old", "new", "field", "value"),
    [
        ("ae", "in_size: 64", "in_size: 128", "Data.img_size", 64),
        ("stage2", "{z_dim: 64", "{z_dim: 128", "Conditioning_Model.z_dim", 128),
        ("ae", 'norm: "in"', 'norm: "an"', "AE.norm", "an"),
        ("stage1", "channel_factor: 16", "", "Decoder.channel_factor", None),
        ("stage1", "channel_factor: 16", "channel_factor: wide", "Decoder.channel_factor", "wide"),
        ("stage1", "Decoder:", "Decoder: !!python/object/apply:os.getcwd []", "", "stage1/config_stage1.yaml"),
        ("stage1", "img_size: 64", "img_size: 96", "Data.img_size", 96),
    ],
)
def test_configs_that_contradict_each_other(tmp_path, part, old, new, field, value):
    texts = {"stage1": release_files.STAGE1, "ae": release_files.AE, "stage2": release_files.STAGE2}
    assert old in texts[part]
    texts[part] = texts[part].replace(old, new)
    with pytest.raises(UserError) as caught:
        cinn.read_release(release_files.write_configs(tmp_path, **texts))
    found = caught.value.value
    assert caught.value.field == field
    assert found == value if field else str(found).endswith(value)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_network(tmp_path):
    folders = release_files.write_configs(tmp_path)
    content = {"state_dict": {"main.0.bias": np.zeros(64, np.float32)}}
    torch_files.write(folders.stage1 / "best_PFVD_ENC.pth", content)
    with pytest.raises(UserError) as raised:
        cinn.read_release(folders)
    assert raised.value.value == "patch_discriminator"


def test_arrays_of_another_size(tmp_path):
    folders = release_files.write_configs(tmp_path)
    state = {"conv_mu.bias": np.zeros(32, np.float32)}
    torch_files.write(folders.stage1 / "best_PFVD_ENC.pth", {"state_dict": state})
    with pytest.raises(UserError) as raised:
        cinn.read_release(folders)
    assert any("(64,)" in key for key in raised.value.value["wrongly shaped"])


def test_models_that_the_release_does_not_have(tmp_path):
    channels, width = "video_vae.decoder.channel_factor", "image_ae.encoder.width"
    for argument, field, value in (("runlocal", channels, 4), ("", width, 32), ("demo", channels, None)):
        with pytest.raises(UserError) as raised:
            cinn.write_release(sky.get_config(argument), {}, tmp_path / "out")
        assert raised.value.field == field and value in (None, raised.value.value)
    assert not (tmp_path / "out").exists()
