"""Several models behind one server, and their files."""

import numpy as np
import pytest

from i2v_jax import bundle
from i2v_jax.bundling import write_bundle
from i2v_jax.configs import plants
from i2v_jax.errors import UserError
from i2v_jax.serving.examples import Example
from i2v_jax.serving.models import ServedModel
from i2v_jax.serving.offers import ModelFile, open_offers
from tests.sampling.random_run import write_run
from tests.serving import stand_ins
from tests.serving.stand_ins import GRAY, ask, video_of


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("offers") / "run"
    write_run(folder, plants.get_config("demo,runlocal"))
    return folder


@pytest.fixture(scope="module")
def two_models():
    with stand_ins.client(stand_ins.pokes(), stand_ins.samples()) as client:
        yield client


def test_a_model_is_compiled_when_it_is_named_and_then_answers(two_models):
    listed = two_models.get("/v1/models").json()["models"]
    assert listed == [{"name": name, "bundled": False} for name in ("one", "two")]
    offers = two_models.app.state.offers
    second = offers.engine(list(offers)[1])
    assert not second.ready and second._thread.ident is None
    assert two_models.get("/v1/model", params={"model": "two"}).json()["model"] == "sample"
    stand_ins.wait_until(lambda: two_models.get("/healthz?model=two").status_code == 200)
    assert video_of(ask(two_models, "/v1/sample", model="two", samples=2)).shape[0] == 2
    video = video_of(ask(two_models, poke=[3, 3, 2, 0]))  # of the first one
    np.testing.assert_allclose(video[0, -1, 0, 0, 0], GRAY + 0.08, atol=1e-5)
    for name, samples in (("one", 1), ("two", 4)):
        motion = {"poke": [3, 3, 2, 0]} if name == "one" else {}
        with two_models.websocket_connect("/v1/stream") as socket:
            socket.send_json({"id": 1, "model": name, "example": "gray", **motion})
            assert socket.receive_json()["samples"] == samples


def test_an_unknown_model_is_named(two_models):
    for answer in (
        two_models.get("/v1/model?model=three"),
        two_models.get("/healthz?model=three"),
        ask(two_models, model="three", poke=[3, 3, 2, 0]),
        ask(two_models, model=["one"], poke=[3, 3, 2, 0]),
    ):
        assert answer.status_code == 400
        assert "/v1/models" in answer.json()["error"]


def test_a_second_model_that_cannot_be_loaded_leaves_the_first(two_models):
    def damaged():
        raise UserError("b.i2v is damaged")

    broken = ServedModel(two_models.app.state.offers.first.model._about, damaged, "resize")
    with stand_ins.client(stand_ins.pokes(), broken) as client:
        stand_ins.wait_until(lambda: "damaged" in client.get("/healthz?model=two").text)
        refused = ask(client, poke=[3, 3, 2, 0], model="two")
        assert (refused.status_code, "damaged" in refused.json()["error"]) == (503, True)
        assert ask(client, poke=[3, 3, 2, 0]).status_code == 200


def test_names_and_what_is_read(run, tmp_path):
    file = tmp_path / "run.i2v"
    write_bundle(run, file)
    offers = open_offers([run, file, file], None, _images(tmp_path))
    assert [offer.name for offer in offers] == ["run", "run~2", "run~3"]
    assert [offer.model._loaded is not None for offer in offers] == [True, False, False]
    assert [list(offer.examples) for offer in offers] == [["a"]] * 3
    assert offers[1].file.path() == file
    with pytest.raises(UserError):
        open_offers([run, tmp_path / "none"])


def _images(folder):
    (folder / "images").mkdir()
    (folder / "images" / "a.png").write_bytes(stand_ins.png())
    return folder / "images"


def test_a_work_directory_is_offered_as_a_file(run):
    offers = open_offers([run])
    application = stand_ins.app.create_app(offers)
    with stand_ins.TestClient(application) as client:
        answer = client.get("/v1/model.i2v")
        path = offers[0].file.path()
        assert path.read_bytes() == answer.content
        assert bundle.read_card(path).checkpoint_sha256 == offers[0].model.sha256()
    assert (answer.status_code, answer.headers["content-disposition"]) == (200, 'attachment; filename="run.i2v"')
    assert not path.exists()


def test_a_model_that_was_trained_further_is_not_mixed_up(run):
    model = open_offers([run])[0].model
    model.sha256 = lambda: "of another one"
    file = ModelFile(run, None, model)
    offers = [stand_ins.Offer("one", model, lambda: {"gray": Example("gray", stand_ins.EXAMPLE)}, file)]
    with stand_ins.TestClient(stand_ins.app.create_app(offers)) as client:
        answer = client.get("/v1/model.i2v")
        assert (answer.status_code, "restart" in answer.json()["error"]) == (409, True)
