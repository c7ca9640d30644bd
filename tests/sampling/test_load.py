"""From a work directory to a generator, and the errors when something is missing."""

import dataclasses
import operator
import pathlib
import shutil
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.config_files import load
from i2v_jax.configs import plants, sky
from i2v_jax.errors import UserError
from i2v_jax.launch import _checkpoint
from i2v_jax.sampling.load import (
    GENERATORS,
    GeneratorKind,
    assemble,
    describe,
    load_generator,
    register,
)
from i2v_jax.sampling.stages import described_checkpoints, load_stages
from i2v_jax.tasks.registry import Selection
from i2v_jax.training.checkpoint import Checkpointer, save_imported
from i2v_jax.training.run import make_task
from i2v_jax.training.saved_networks import load_networks, saved_steps
from i2v_jax.training.state import TrainState
from tests.sampling.random_run import EMA_FACTOR, stage_variables, write_run

ARGUMENT = "demo,runlocal"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("runs") / "sky"
    write_run(folder, sky.get_config(ARGUMENT))
    return folder


def test_averaged_parameters_are_loaded(run: pathlib.Path) -> None:
    generator = load_generator(run)
    assert (generator.size, generator.z_dim, generator.control.name) == (32, 16, "direction")
    written = stage_variables(sky.get_config(ARGUMENT))
    expected = {
        "encoder": written["video_vae"]["encoder"],
        "decoder": written["video_vae"]["decoder"],
        "image_encoder": written["image_ae"]["encoder"],
        "flow": written["flow"]["flow"],
    }
    assert set(generator.variables) == set(expected)
    for field, variables in expected.items():
        averaged = {**variables, "params": jax.tree.map(lambda leaf: EMA_FACTOR * leaf, variables["params"])}
        jax.tree.map(np.testing.assert_array_equal, generator.variables[field], averaged)


def test_a_checkpoint_can_be_chosen_of_the_last_stage(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The stages before it are those with which it was trained."""
    copy, config = tmp_path / "run", sky.get_config(ARGUMENT)
    shutil.copytree(run, copy)
    params = load_networks(run / "flow")["params"]
    checkpointer = Checkpointer(copy / "flow", keep=1, best="nll")
    for step, nll in ((6, 1.0), (8, 2.0)):
        scaled = jax.tree.map(lambda leaf, factor=step: factor * leaf, params)
        state = TrainState(jnp.asarray(step), scaled, {}, {}, {})
        checkpointer.save(state, {"step": step}, config, {"nll": nll})
    checkpointer.close()
    chosen: tuple[tuple[Selection | None, int], ...] = (
        ("latest", 8), ("best", 6), (6, 6), ("release", 6), (None, 8)
    )  # fmt: skip
    for choice, factor in chosen:
        stages = load_stages(config, copy, choice)
        expected = jax.tree.map(operator.methodcaller("__mul__", factor), params["flow"])
        jax.tree.map(np.testing.assert_array_equal, stages["flow"]["flow"]["params"], expected)
        assert stages["video_vae"].keys() == {"encoder", "decoder"}
    with pytest.raises(UserError) as raised:
        load_stages(config, copy, 7)
    assert (raised.value.field, raised.value.value) == ("checkpoint", 7)
    assert described_checkpoints(config, copy)[-1] == "flow: step 8, the latest"
    assert described_checkpoints(config, copy, 8)[-1] == "flow: step 8"


def test_the_configuration_chooses_the_checkpoints_of_all_stages(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The authors take the best of all but the image autoencoder. What was imported is the best there is."""
    copy, config = tmp_path / "run", sky.get_config(ARGUMENT)
    shutil.copytree(run, copy)
    for stage in ("video_vae", "image_ae"):
        params, (latest,) = load_networks(copy / stage)["params"], saved_steps(copy / stage)
        checkpointer = Checkpointer(copy / stage, keep=2, best="fvd")
        for step, fvd in ((latest + 1, 10.0), (latest + 2, 12.5)):
            of_step = jax.tree.map(lambda leaf, step=step: np.full_like(leaf, step), params)
            state = TrainState(jnp.asarray(step), of_step, {}, {}, {})
            checkpointer.save(state, {"step": step}, config, {"fvd": fvd, "psnr": 20.0})
        checkpointer.close()
    config.select = "release"
    (step,) = saved_steps(copy / "flow")
    assert described_checkpoints(config, copy, step) == [
        f"video_vae: step {latest + 1}, the best by fvd",
        f"image_ae: step {latest + 2}, the latest",
        f"flow: step {step}",
    ]
    frozen = make_task(config, "flow", copy, steps_per_epoch=10).frozen
    steps = {"video_encoder": latest + 1, "video_decoder": latest + 1, "image_encoder": latest + 2}
    for network, expected in steps.items():
        assert {float(leaf.max()) for leaf in jax.tree.leaves(frozen[network]["params"])} == {expected}
    config.select = "best"
    assert described_checkpoints(config, copy, step)[1] == f"image_ae: step {latest + 1}, the best by fvd"
    shutil.rmtree(copy / "flow")
    save_imported(copy / "flow", stage_variables(config)["flow"], config)
    assert described_checkpoints(config, copy)[-1] == "flow: as imported"
    assert load_stages(config, copy).keys() == {"video_vae", "image_ae", "flow"}


@pytest.mark.parametrize(
    ("text", "meant"), [("latest", "latest"), ("best", "best"), ("release", "release"), ("120", 120)]
)
def test_the_flag_that_chooses_it(text: str, meant: Selection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_checkpoint, "CHECKPOINT", types.SimpleNamespace(value=text))
    assert _checkpoint.chosen() == meant
    monkeypatch.setattr(_checkpoint, "CHECKPOINT", types.SimpleNamespace(value=f"-{text}"))
    with pytest.raises(UserError) as raised:
        _checkpoint.chosen()
    assert (raised.value.field, raised.value.value) == ("checkpoint", f"-{text}")


def test_a_missing_stage_is_named(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    partly = tmp_path / "partly"
    shutil.copytree(run, partly)
    shutil.rmtree(partly / "flow")
    with pytest.raises(UserError) as raised:
        load_generator(partly)
    assert (raised.value.field, raised.value.value) == ("stages", ("flow",))


def test_no_work_directory(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError) as raised:
        load_generator(tmp_path)
    assert (raised.value.field, raised.value.value) == ("workdir", str(tmp_path))


def test_a_config_of_other_networks_is_refused() -> None:
    config = sky.get_config(ARGUMENT)
    stages = stage_variables(config)
    other = load(f"sky:{ARGUMENT}", ["video_vae.decoder.channel_factor=8"])
    with pytest.raises(UserError) as raised:
        assemble(other, stages, origin="runs/a")
    assert (raised.value.field, raised.value.value) == ("checkpoint", "runs/a/video_vae: decoder")


def test_a_checkpoint_of_another_stage_is_refused() -> None:
    config = sky.get_config(ARGUMENT)
    stages = stage_variables(config)
    with pytest.raises(UserError) as raised:
        assemble(config, {**stages, "flow": stages["image_ae"]}, origin="runs/a")
    assert (raised.value.field, raised.value.value) == ("checkpoint", "runs/a/flow")


@pytest.mark.parametrize("arguments", [f"plants:{ARGUMENT}", f"plants:model=cinn,{ARGUMENT}", f"sky:{ARGUMENT}"])
def test_a_configuration_is_described_as_its_generator(arguments: str) -> None:
    name, argument = arguments.split(":")
    config = {"plants": plants, "sky": sky}[name].get_config(argument)
    assert describe(config) == assemble(config, stage_variables(config), origin="random").describe()


def test_stages_without_videos_are_named() -> None:
    config = sky.get_config(ARGUMENT)
    config.stages = ("image_ae",)
    with pytest.raises(UserError) as raised:
        describe(config)
    assert (raised.value.field, raised.value.value) == ("stages", ("image_ae",))


def test_the_last_stage_that_has_a_generator_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage from outside may follow stages of the package."""
    described = describe(sky.get_config(ARGUMENT))
    kind = GeneratorKind(lambda config: described, lambda *_: pytest.fail("not assembled"))
    monkeypatch.setitem(GENERATORS, "another_flow", kind)
    config = sky.get_config(ARGUMENT)
    config.stages = ("video_vae", "image_ae", "another_flow")
    assert describe(config) is described
    register("another_flow", kind)  # again: the same object
    with pytest.raises(UserError) as raised:
        register("another_flow", dataclasses.replace(kind))
    assert (raised.value.field, raised.value.value) == ("name", "another_flow")
