"""A work directory belongs to one process, and to one configuration of everything that affects what is learned."""

import errno
import fcntl
import json
import os

import pytest

from i2v_jax import logs
from i2v_jax.config_files import load
from i2v_jax.errors import UserError
from i2v_jax.workdir import claim_workdir, lock_workdir, read_workdir


def checkpoint(workdir, stage, step):
    (workdir / stage / "checkpoints" / str(step)).mkdir(parents=True)


def refused(config, workdir):
    with pytest.raises(UserError) as raised:
        claim_workdir(config, workdir)
    assert "\n" not in str(raised.value)
    return raised.value.field, raised.value.value


def test_a_work_directory_belongs_to_one_configuration(tmp_path):
    claim_workdir(load("sky:demo", ["video_vae.decoder.channel_factor=4"]), tmp_path)
    claim_workdir(load("sky:demo"), tmp_path)  # nothing was trained yet
    checkpoint(tmp_path, "video_vae", 100)
    again = load("sky:demo,stage=flow", ["train.log_every=7", "video_vae.steps=9", "mesh.fsdp=2", "data.workers=1"])
    claim_workdir(again, tmp_path)  # how long, how often and where may change
    assert read_workdir(tmp_path).to_dict() == again.to_dict()
    for override, value in {"video_vae.decoder.channel_factor": 4, "data.flip": 0.5, "train.ema": 0.0}.items():
        assert refused(load("sky:demo", [f"{override}={value}"]), tmp_path) == (override, value)
    assert refused(load("sky"), tmp_path)[0].startswith("data.")
    assert not list(tmp_path.glob("*.tmp"))


def test_fields_of_a_stage_that_has_not_started_may_change(tmp_path):
    claim_workdir(load("sky:demo"), tmp_path)
    checkpoint(tmp_path, "video_vae", 100)
    changes = ["flow.network.blocks=4", "image_ae.batch_size=3", "flow.data.clips_per_video.train=2", "control=none"]
    claim_workdir(load("sky:demo", changes), tmp_path)
    checkpoint(tmp_path, "flow", 50)
    for name, value in {"flow.network.blocks": 8, "control": "direction", "flow.data.clips_per_video.train": 3}.items():
        own = [change for change in changes if not change.startswith(name)]
        assert refused(load("sky:demo", [*own, f"{name}={value}"]), tmp_path) == (name, value)
    claim_workdir(load("sky:demo", [*changes, "image_ae.batch_size=4"]), tmp_path)


def test_what_only_the_flow_depends_on_may_change_without_a_flow(tmp_path):
    config = load("taichi")
    claim_workdir(config, tmp_path)
    checkpoint(tmp_path, "poke", 100)
    claim_workdir(load("taichi", ["select=best"]), tmp_path)
    checkpoint(tmp_path / "cinn", "flow", 100)
    claim_workdir(load("sky:demo"), tmp_path / "cinn")
    assert refused(load("sky:demo", ["select=best"]), tmp_path / "cinn") == ("select", "best")


def test_a_trained_stage_stays_in_the_configuration(tmp_path):
    claim_workdir(load("sky:demo"), tmp_path)
    checkpoint(tmp_path, "video_vae", 100)
    claim_workdir(load("sky:demo,ablation=no_cinn"), tmp_path)
    claim_workdir(load("sky:demo"), tmp_path)
    checkpoint(tmp_path, "flow", 100)
    assert refused(load("sky:demo,ablation=no_cinn"), tmp_path)[0] == "control"


def test_an_import_can_be_trained_on_in_another_way(tmp_path):
    claim_workdir(load("bair:size=64"), tmp_path)
    for stage in ("video_vae", "image_ae", "flow"):
        checkpoint(tmp_path, stage, 0)
    for name, value in {
        "video_vae.decoder.channel_factor": 16, "control": "endpoint", "flow.network.blocks": 4,
    }.items():  # fmt: skip
        assert refused(load("bair:size=64", [f"{name}={value}"]), tmp_path) == (name, value)
    changes = ["data.name=folder", "video_vae.batch_size=2", "video_vae.loss.kl=1e-3", "flow.steps=7"]
    mine = load("bair:size=64", changes)
    claim_workdir(mine, tmp_path)
    assert read_workdir(tmp_path).to_dict() == mine.to_dict()
    checkpoint(tmp_path, "video_vae", 1)
    assert refused(load("bair:size=64", [*changes, "video_vae.batch_size=3"]), tmp_path) == ("video_vae.batch_size", 3)


def test_a_work_directory_has_one_user_at_a_time(tmp_path):
    workdir = tmp_path / "run"
    with lock_workdir(workdir), pytest.raises(UserError) as raised, lock_workdir(workdir):
        pass
    assert raised.value.value == str(workdir)
    with lock_workdir(workdir):
        pass


def test_reading_what_is_not_a_work_directory(tmp_path):
    with pytest.raises(UserError) as raised:
        read_workdir(tmp_path)
    assert raised.value.field == "workdir"
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError) as raised:
        read_workdir(tmp_path)
    assert raised.value.field == "workdir"


def test_plugins_of_a_work_directory_are_imported(tmp_path):
    config = load("sky:demo")
    config.plugins = ("toy_that_was_removed",)
    claim_workdir(config, tmp_path)
    with pytest.raises(UserError) as raised:
        read_workdir(tmp_path)
    assert (raised.value.field, raised.value.value) == ("plugins", "toy_that_was_removed")


def test_a_run_from_before_a_field_is_continued(tmp_path):
    """Its stages had the batch that their fields were for, in one part; its clips were read as they were then."""
    of_data = ("crop_margin", "resize", "eval_starts", "repeats", "splits")
    as_before = ["data.repeats=false", "data.crop_margin=0"]
    overrides = ["video_vae.batch_size=12", "video_vae.reference_batch=12", *as_before]
    config = load("landscape", overrides)
    claim_workdir(config, tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    for stage in written["stages"]:
        for name in ("reference_batch", "accumulate", "remat"):
            written[stage].pop(name, None)
        for name in ("scaling", "mu_dtype", "plateau_last"):
            written[stage]["optimizer"].pop(name)
        del written[stage]["drop_last"]
    del written["select"]
    for name in of_data:
        del written["data"][name]
    for name in ("hue_forward", "kind"):
        del written["data"]["jitter"][name]
    (tmp_path / "config.json").write_text(json.dumps(written))
    checkpoint(tmp_path, "video_vae", 100)
    assert read_workdir(tmp_path).to_dict() == config.to_dict()
    reference = ("video_vae.reference_batch", 7)
    assert refused(load("landscape", [overrides[0], *as_before]), tmp_path) == reference
    claim_workdir(config, tmp_path)


def test_a_poke_run_from_before_a_field_is_continued(tmp_path):
    config = load("taichi")
    claim_workdir(config, tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    del written["data"]["poke"]["geometry"]["whole_pixels"], written["poke"]["model"]["copies"]
    (tmp_path / "config.json").write_text(json.dumps(written))
    checkpoint(tmp_path, "poke", 100)
    claim_workdir(config, tmp_path)
    assert refused(load("taichi", ["data.poke.geometry.whole_pixels=true"]), tmp_path)[1] is True


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(tmp_path, monkeypatch, number):
    def flock(file, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    warnings = []
    monkeypatch.setattr(logs.logger, "warning", warnings.append)
    with lock_workdir(tmp_path):
        (warning,) = warnings
    assert str(tmp_path) in warning


@pytest.mark.parametrize("content", [b"[1]", b"3", b"null", b"", b"\xff", b"{"])
def test_a_configuration_that_is_no_object(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    checkpoint(tmp_path, "video_vae", 100)
    for use in (read_workdir, lambda folder: claim_workdir(load("sky:demo"), folder)):
        with pytest.raises(UserError) as raised:
            use(tmp_path)
        assert (raised.value.field, raised.value.value) == ("workdir", str(tmp_path))
    assert (tmp_path / "config.json").read_bytes() == content
