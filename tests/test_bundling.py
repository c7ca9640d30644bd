"""A trained model as one file, and the same samples from it."""

import dataclasses
import functools
import json

import flax.traverse_util
import jax
import numpy as np
import pytest

from i2v_jax import bundle, bundling
from i2v_jax.bundling import EXACT, psnr_of_samples, read_numbers, write_bundle
from i2v_jax.configs import plants, sky
from i2v_jax.errors import UserError
from i2v_jax.evaluation.records import write_records
from i2v_jax.sampling.load import load_generator
from i2v_jax.sampling.stages import as_trained, described_checkpoints, last_step, model_name, variables_sha256
from i2v_jax.training import events
from i2v_jax.training.run import train_stages
from i2v_jax.workdir import read_workdir
from tests.evaluation.protocol_of_fvd import FVD
from tests.reports.test_comparison import record
from tests.sampling.random_run import write_run

CONFIGS = {"poke": (plants, ""), "cinn": (sky, ""), "controlled": (plants, "model=cinn,")}
NETWORKS = {
    "poke": {"poke/object_encoder", "poke/poke_encoder", "poke/dynamics", "poke/decoder"},
    "cinn": {"video_vae/encoder", "video_vae/decoder", "image_ae/encoder", "flow/flow"},
    "controlled": {"video_vae/encoder", "video_vae/decoder", "image_ae/encoder", "flow/flow"},
}
# Folders of whoever trained the model, which its file must not name.
COMMAND = "python -m launch.train --config=plants --workdir=/home/me/runs/plants --config.data.dir=~/data"


def config_of(kind):
    module, argument = CONFIGS[kind]
    config = module.get_config(f"{argument}demo,runlocal")
    config.compile_cache = "/home/me/cache"
    if kind == "cinn":
        config.control = "none"
    return config


@pytest.fixture(scope="module")
def run_of(tmp_path_factory):
    """Kind -> a work directory."""

    @functools.cache
    def written(kind):
        folder = tmp_path_factory.mktemp("runs") / kind
        write_run(folder, config_of(kind))
        events.record(folder / config_of(kind).stages[0], "started", command=COMMAND)
        return folder

    return written


@pytest.fixture(scope="module")
def poke(run_of):
    """The work directory of a poke model, and its file."""
    return run_of("poke"), write_bundle(run_of("poke"), run_of("poke").with_suffix(".i2v")).path


def samples(generator):
    about, frame = generator.describe(), np.zeros((1, generator.size, generator.size, 3))
    control = generator.encode_pokes([[16, 16]], [[4, 0]]) if about.pokes else None
    return generator.generate(frame, jax.random.key(3), 2, control=control)


@pytest.mark.parametrize(
    "kind", ["poke", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("cinn", "controlled"))]
)
def test_samples_are_bit_equal(kind, run_of, tmp_path):
    run, file = run_of(kind), tmp_path / "model.i2v"
    written = write_bundle(run, file)
    assert set(written.networks) == NETWORKS[kind]
    original, loaded = load_generator(run), load_generator(file)
    found, expected = (flax.traverse_util.flatten_dict(dict(one.variables)) for one in (loaded, original))
    assert found.keys() == expected.keys()
    for place, array in expected.items():
        np.testing.assert_array_equal(found[place], as_trained(array), strict=True)
    assert loaded.describe() == original.describe()
    np.testing.assert_array_equal(samples(loaded), samples(original), strict=True)


def test_a_file_stands_in_for_its_work_directory(poke):
    run, file = poke
    config = read_workdir(file)
    expected = read_workdir(run).to_dict() | {"compile_cache": ""}
    assert config.to_dict() == expected
    assert described_checkpoints(config, file) == described_checkpoints(config, run) == ["poke: step 4, the latest"]
    assert (last_step(config, file), model_name(file)) == (last_step(config, run), "poke")
    for checkpoint in ("best", 4):
        with pytest.raises(UserError) as raised:
            load_generator(file, checkpoint=checkpoint)
        assert (raised.value.field, raised.value.value) == ("checkpoint", checkpoint)


def test_it_cannot_be_trained_on(poke):
    _, file = poke
    with pytest.raises(UserError) as raised:
        train_stages(config_of("poke"), file)
    assert (raised.value.field, raised.value.value) == ("workdir", str(file))


def test_the_card_says_where_the_model_comes_from(poke, tmp_path):
    run, _ = poke
    sha256 = variables_sha256(load_generator(run).variables)
    good = record(FVD, "plants", 100.0)
    good = dataclasses.replace(good, model=dataclasses.replace(good.model, checkpoint_sha256=sha256))
    write_records(run / "evaluations" / "poke" / "metrics.json", [good, record(FVD, "of another checkpoint", 1.0)])
    write_bundle(run, tmp_path / "a.i2v", name="Plants", license="MIT", numbers={"error": 0.5})
    card = bundle.read_card(tmp_path / "a.i2v")
    assert (card.name, card.license, card.numbers) == ("Plants", "MIT", {"error": 0.5})
    assert (card.dtype, card.psnr, card.checkpoint_sha256, card.step) == ("float32", None, sha256, 4)
    assert card.commands == ("python -m launch.train --config=plants --workdir=plants --config.data.dir=data",)
    assert list(card.metrics) == [json.loads(json.dumps(good.to_json()))]


@pytest.mark.parametrize("dtype", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
def test_narrower_numbers_are_measured(dtype, poke, tmp_path):
    run, file = poke
    written = write_bundle(file, tmp_path / "narrow.i2v", dtype=dtype)
    narrow = load_generator(written.path)
    assert {str(array.dtype) for array in bundle.read_arrays(written.path).values()} == {dtype}
    assert {str(array.dtype) for array in jax.tree.leaves(narrow.variables)} == {"float32"}
    measured = psnr_of_samples(load_generator(run), narrow.variables, read_workdir(run).data)
    assert 10 < measured < EXACT
    assert measured == written.card.psnr == bundle.read_card(written.path).psnr
    assert written.path.stat().st_size < 0.6 * file.stat().st_size


def test_start_frames_without_the_data_are_the_same_everywhere():
    data = config_of("poke").data
    data.name = "bair"  # which was not prepared
    frames = bundling._start_frames(data)
    assert frames.shape == (bundling.MEASURED_FRAMES, data.size, data.size, 3) and np.abs(frames).max() <= 1
    np.testing.assert_array_equal(frames, bundling._start_frames(data))


def test_numbers_too_large_for_float16_are_named():
    with pytest.raises(UserError) as raised:
        bundling._narrowed("flow/flow/params/w", np.array([7e4], np.float32), "float16")
    assert raised.value.field == "dtype" and "flow/flow/params/w" in str(raised.value)
    assert bundling._narrowed("w", np.array([7e4], np.float32), "bfloat16").dtype == "bfloat16"
    assert bundling._narrowed("permutation", np.arange(3), "float16").dtype == np.arange(3).dtype


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda arrays: {name: a for name, a in arrays.items() if "/decoder/" not in name}, "poke/decoder is missing"),
        (lambda arrays: arrays | {"poke/critic/params/w": np.zeros(3, np.float32)}, "poke/critic is not used"),
        (lambda arrays: arrays | {"poke/decoder/params/w": np.zeros(3, np.float32)}, "decoder/w"),
        (lambda arrays: {name: a[None] if name == min(arrays) else a for name, a in arrays.items()}, "found (1, "),
    ],
)
def test_tensors_that_do_not_fit_are_named(change, words, poke, tmp_path):
    _, file = poke
    arrays = bundle.read_arrays(file)
    bundle.write(tmp_path / "other.i2v", change(arrays), bundle.read_config(file), bundle.read_card(file))
    with pytest.raises(UserError) as raised:
        load_generator(tmp_path / "other.i2v")
    assert words in str(raised.value)


def test_numbers_are_read_without_curves(tmp_path):
    file = tmp_path / "numbers.json"
    file.write_text(json.dumps({"clips": 64, "psnr_db": 22.9, "per_frame": {"psnr": {"model": [23.0, 22.8]}}}))
    assert read_numbers(str(file)) == {"clips": 64.0, "psnr_db": 22.9}
    wrong = tmp_path / "wrong.json"
    for content in ('{"psnr_db": [23.0]}', "[1, 2]", "{", None):
        if content is None:
            wrong.unlink()
        else:
            wrong.write_text(content)
        with pytest.raises(UserError) as raised:
            read_numbers(str(wrong))
        assert (raised.value.field, raised.value.value) == ("numbers", str(wrong))
