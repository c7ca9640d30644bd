"""Models of the cINN release other than BAIR's: 128x128 textures, checkpoints that are not the best, and control."""

import pytest

from i2v_jax.torch_interop.releases import cinn, documents
from i2v_jax.torch_interop.releases.release import load_part
from i2v_jax.torch_interop.state_dicts import torch_files
from tests.reference import fixtures
from tests.torch_interop.releases import release_files

_CHANGES = {
    "stage1": [
        ("upsample_s: [2, 1]", "upsample_s: [2, 2]"),
        ("channels: [64, 128, 256, 512, 512]", "channels: [64, 128, 128, 256, 512]"),
        ("stride_s: [1, 2, 2, 2]\nDiscriminator_Temporal", "stride_s: [2, 2, 2, 2]\nDiscriminator_Temporal"),
        ("stride_s: [1, 1, 2, 2]", "stride_s: [1, 2, 2, 2]"),
        ("img_size: 64", "img_size: 128"),
        ("dataset: 'BAIR'", "dataset: 'DTDB'\n  texture: 'clouds'"),
    ],
    "ae": [("in_size: 64", "in_size: 128"), ('norm: "in"', 'norm: "bn"'), ("z_dim: 64}", "z_dim: 128}")],
    "stage2": [("{z_dim: 64", "{z_dim: 128"), ("img_size: 64, dataset: 'BAIR'", "img_size: 128, dataset: 'DTDB'")],
}


def _texts() -> dict[str, str]:
    texts = {"stage1": release_files.STAGE1, "ae": release_files.AE, "stage2": release_files.STAGE2}
    for part, changes in _CHANGES.items():
        for old, new in changes:
            assert texts[part].count(old) == 1, old
            texts[part] = texts[part].replace(old, new)
    return texts


@pytest.mark.slow
def test_textures_at_128_from_the_latest_checkpoints(tmp_path):
    folders = release_files.write_configs(tmp_path, **_texts())
    autoencoder = fixtures.state("image_autoencoder_landscape")
    states = {
        "stage1/latest_checkpoint_ENC.pth.tar": fixtures.state("video_encoder_landscape"),
        "stage1/latest_checkpoint_GEN.pth": fixtures.state("video_decoder_landscape_nf16"),
        "stage1/latest_checkpoint_DISC_t.pth": fixtures.state("temporal_discriminator_landscape"),
        "ae/Encoder_stage2.pth.tar": {
            key.removeprefix("encoder."): value for key, value in autoencoder.items() if key.startswith("encoder.")
        },
        "stage2/cINN.pth": fixtures.state("flow_cond128"),
    }
    for file, state in states.items():
        torch_files.write(tmp_path / file, {"epoch": 3, "state_dict": state})
    imported = cinn.read_release(folders)
    assert imported.config.data.name == "dtdb_clouds"
    assert imported.preset.arguments == ("size=128", "preset=release", "texture=clouds")
    assert imported.config.image_ae.encoder.norm == "bn"
    assert {report.file for report in imported.networks} == {file.split("/")[1] for file in states}
    assert not any(report.changed for report in imported.networks)  # each array comes back bit by bit
    assert imported.missing() == ["video_vae/patch_discriminator", "image_ae/decoder", "image_ae/patch_discriminator"]


def _found(folders: cinn.Folders) -> dict[str, documents.Document]:
    return folders.documents()


def test_where_checkpoints_are_looked_for(tmp_path):
    """The config's names come first, the best before the latest, .pth before .pth.tar."""
    folders = release_files.write_configs(tmp_path)
    files = [file.name for file in cinn._files("video_vae/decoder", folders, _found(folders))]
    best, latest = "best_PFVD_GEN", "latest_checkpoint_GEN"
    assert list(dict.fromkeys(files)) == [f"{best}.pth", f"{best}.pth.tar", f"{latest}.pth", f"{latest}.pth.tar"]
    discriminator = cinn._files("video_vae/temporal_discriminator", folders, _found(folders))
    assert discriminator[0] == folders.stage1 / "latest_checkpoint_DISC_t.pth"


def test_control_by_endpoint(tmp_path):
    """The condition of the flow has thirty more entries: the fixture's keys and shapes."""
    stage2 = release_files.STAGE2.replace("control: False", "control: True")
    folders = release_files.write_configs(tmp_path, stage2=stage2)
    found = _found(folders)
    preset = cinn._preset(found["stage1"], found["stage2"])
    assert preset.arguments == ("size=64", "control=endpoint", "preset=release")
    config = cinn._configure(preset.config(), found)
    assert config.control == "endpoint"
    part = cinn._parts(config)["flow/flow"]
    fixture = fixtures.load("flow_control")
    assert {name: part.config[name] for name in fixture.config} == fixture.config
    _, report = load_part("flow/flow", part, tmp_path / "cINN.pth", fixture.state, {})
    assert len(report.used) + len(report.left) == len(fixture.state) and not report.changed
