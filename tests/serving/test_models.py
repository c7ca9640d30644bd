"""Work directories as served models."""

import numpy as np

from i2v_jax.configs import plants
from i2v_jax.sampling.load import load_generator
from i2v_jax.serving.models import open_model
from tests.sampling.random_run import write_run
from tests.serving import stand_ins


def test_a_cinn_with_pokes_is_opened_as_such(tmp_path):
    """The picture is three times as wide as the model's and twice as high."""
    write_run(tmp_path / "run", plants.get_config("model=cinn,demo,runlocal"))
    model = open_model(tmp_path / "run")
    about = model.describe()
    model.load()
    assert (about["model"], about["samples"] is None) == ("poke", False)
    pixels = np.zeros((2 * model.size, 3 * model.size, 3), np.uint8)
    values = {"poke": ["31,20,6,-4", "3,3,1,0"], "samples": 3, "seed": 5, "temperature": 0.5, "crop": "resize"}
    request, _ = model.requests(values, pixels)
    np.testing.assert_allclose(request.poke, [[10, 9.75], [2, -2]])
    np.testing.assert_array_equal(
        request.control, load_generator(tmp_path / "run").encode_pokes([[10, 9.75]], [[2, -2]])
    )
    assert (request.samples, request.seed, request.temperature, request.frames) == (3, 5, 0.5, 16)


def test_answers_come_from_quick_programs_until_others_are_compiled():
    model = stand_ins.pokes()
    model.warm_up()
    (request,) = model.requests({"poke": "8,8,4,0"}, stand_ins.EXAMPLE)
    assert model._quick
    before = np.concatenate([part for (part,) in model.run([request])], axis=1)
    assert list(model.optimize())
    assert not model._quick
    np.testing.assert_allclose(np.concatenate([part for (part,) in model.run([request])], axis=1), before, atol=1e-5)
