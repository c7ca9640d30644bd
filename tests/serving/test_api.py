"""The HTTP API on stand-in models: values worked out by hand, and formats."""

import base64
import io

import av
import numpy as np
from PIL import Image

from tests.serving import stand_ins
from tests.serving.stand_ins import GRAY, SIZE, ask, png, video_of


def test_an_answer_is_the_start_frame_and_what_follows(poke_client):
    video = video_of(ask(poke_client, poke=[3, 3, 2, 0]))
    assert video.shape == (1, 5, SIZE, SIZE, 3)
    np.testing.assert_allclose(video[0, :, 0, 0, 0], GRAY + 0.02 * np.arange(5), atol=1e-5)


def test_pokes_are_in_pixels_of_the_image(poke_client):
    """An image twice as wide: dx is half as long for the model."""
    image = base64.b64encode(png(width=2 * SIZE)).decode()
    response = poke_client.post(
        "/v1/poke", json={"image": image, "poke": "30,3,4,0", "frames": 1}, headers={"Accept": "application/x-npz"}
    )
    np.testing.assert_allclose(video_of(response)[0, :, 0, 0, 0], [GRAY, GRAY + 0.02], atol=1e-5)


def test_several_pokes_and_in_turn(poke_client):
    each = video_of(ask(poke_client, poke=[[3, 3, 2, 0], [5, 5, 4, 0]]))
    assert each.shape[:2] == (2, 5)
    np.testing.assert_allclose(each[:, -1, 0, 0, 0], [GRAY + 0.08, GRAY + 0.16], atol=1e-5)
    turn = video_of(ask(poke_client, poke=["3,3,2,0", "5,5,4,0"], in_turn=True))
    assert turn.shape[:2] == (1, 10)
    np.testing.assert_allclose(turn[0, [4, 5, 9], 0, 0, 0], GRAY + np.array([0.08, 0.08, 0.24]), atol=1e-5)


def test_a_form_asks_the_same(poke_client):
    response = poke_client.post(
        "/v1/poke?frames=2",
        data={"poke": ["3,3,2,0", "5,5,4,0"], "format": "npz"},
        files={"image": ("a.png", png(mode="L"), "image/png")},
    )
    np.testing.assert_allclose(video_of(response)[:, -1, 0, 0, 0], [GRAY + 0.04, GRAY + 0.08], atol=1e-5)


def test_several_pokes_in_the_address(poke_client):
    response = poke_client.post(
        "/v1/poke?poke=3,3,2,0&poke=5,5,4,0&frames=9&frames=2", json={"example": "gray", "format": "npz"}
    )
    np.testing.assert_allclose(video_of(response)[:, -1, 0, 0, 0], [GRAY + 0.04, GRAY + 0.08], atol=1e-5)


def test_impulses_are_drawn_as_arrows_of_one_length():
    """Tests a model of 16 pixels and a poke of half a pixel; /v1/render draws the same arrow."""
    with stand_ins.client(stand_ins.pokes(impulse=True)) as client:
        answered = ask(client, poke="3,3,0.5,0", format="strip", scale=4, frames=1)
        frames = [("frame", (f"{n}.png", png(), "image/png")) for n in range(2)]
        saved = client.post("/v1/render", files=frames, data={"mark": "0,3,3,6,0", "format": "strip", "scale": "4"})
        for response in (answered, saved):
            first, second = np.split(
                np.asarray(Image.open(io.BytesIO(response.content)))[2:-2, 2:].astype(int), 2, axis=1
            )
            assert np.ptp(first[:, :-2]) > 50 > np.ptp(second[:, :-2])
        refused = ask(client, poke="3,3,1,1")
        assert refused.status_code == 400 and "1,1" in refused.json()["error"]


def test_formats(poke_client):
    mp4 = poke_client.post("/v1/poke", json={"example": "gray", "poke": "3,3,2,0", "scale": 4})
    assert mp4.headers["content-type"] == "video/mp4"
    with av.open(io.BytesIO(mp4.content)) as container:
        assert [(frame.width, frame.height) for frame in container.decode(video=0)] == [(64, 64)] * 5
    gif = ask(poke_client, poke="3,3,2,0", format="gif")
    assert Image.open(io.BytesIO(gif.content)).n_frames == 5
    strip = Image.open(io.BytesIO(ask(poke_client, poke="3,3,2,0", format="strip", scale=2).content))
    assert strip.size == (5 * (SIZE + 2) + 2, SIZE + 4)
    plain = Image.open(io.BytesIO(ask(poke_client, poke="3,3,2,0", format="strip", scale=2, arrows=False).content))
    assert np.ptp(np.asarray(plain)[4:-4, 4 : SIZE - 4]) == 0
    assert np.ptp(np.asarray(strip)[4:-4, 4 : SIZE - 4]) > 0  # the arrow


def test_samples_depend_on_the_seed_alone(sample_client):
    one, two, other = (
        video_of(ask(sample_client, "/v1/sample", samples=count, seed=seed, frames=20))
        for count, seed in ((2, 7), (3, 7), (2, 8))
    )
    assert one.shape == (2, 21, 4, 4, 3)
    np.testing.assert_allclose(one, two[:2], atol=1e-5)
    assert np.abs(one - other).max() > 1e-3


def test_direction_and_temperature(sample_client):
    """z = nu + embedding + bin, and the first frame is x0 + z[0] + z[1] / 1000 (tests/sampling/stand_ins.py)."""
    video = video_of(ask(sample_client, "/v1/sample", samples=1, temperature=0, direction=35.0, frames=1))
    np.testing.assert_allclose(video[0, 1, 0, 0, 0], GRAY + 1.001 * (GRAY + 3), atol=1e-4)


def test_endpoint():
    """The position lies in the bins 4, 7 and 4 of its three one-hots of ten, which z adds as 4 + 17 + 24."""
    with stand_ins.client(stand_ins.samples("endpoint")) as client:
        assert client.get("/v1/model").json()["control"] == "endpoint"
        video = video_of(ask(client, "/v1/sample", samples=1, temperature=0, endpoint="0.6,0.1,0.25", frames=1))
    np.testing.assert_allclose(video[0, 1, 0, 0, 0], GRAY + 1.001 * (GRAY + 45), atol=1e-4)


def test_samples_of_pokes(poke_sample_client):
    """Frame t is brighter by t (nu + dx) / 100, with the same nu for all pokes of a seed."""
    described = poke_sample_client.get("/v1/model").json()
    assert (described["model"], described["poke"], described["samples"]) == (
        "poke",
        {"impulse": False},
        {"default": 4, "most": 8},
    )
    pokes = [[3, 3, 2, 0], [5, 6, 4, -1]]
    surest = video_of(ask(poke_sample_client, poke=pokes, samples=2, temperature=0, frames=20))
    assert surest.shape == (4, 21, SIZE, SIZE, 3)
    expected = GRAY + np.repeat([0.02, 0.04], 2) * np.array([[0], [1], [16], [20]])
    np.testing.assert_allclose(surest[:, [0, 1, 16, 20], 0, 0, 0].T, expected, atol=1e-4)
    drawn, fewer, other = (
        video_of(ask(poke_sample_client, poke=pokes, samples=samples, seed=seed, frames=10))[:, -1, 0, 0, 0]
        for samples, seed in ((3, 7), (2, 7), (3, 8))
    )
    assert len({*drawn[:3], *other[:3]}) == 6
    np.testing.assert_allclose(drawn[3:] - drawn[:3], [0.2] * 3, atol=1e-3)
    np.testing.assert_allclose(fewer, drawn[[0, 1, 3, 4]], atol=1e-5)


def test_pokes_of_samples_in_turn(poke_sample_client):
    turn = {"poke": ["3,3,2,0", "3,3,4,0"], "in_turn": True}
    assert "samples=1" in ask(poke_sample_client, **turn).json()["error"]
    video = video_of(ask(poke_sample_client, **turn, samples=1, temperature=0, frames=5))
    assert video.shape[:2] == (1, 12)
    np.testing.assert_allclose(video[0, [5, 6, 11], 0, 0, 0], GRAY + np.array([0.1, 0.1, 0.3]), atol=1e-4)


def test_what_was_seen_can_be_saved(poke_client):
    frames = [("frame", (f"{n}.png", png(value=20 * n), "image/png")) for n in range(6)]
    saved = poke_client.post("/v1/render", files=frames, data={"format": "gif", "samples": "2", "scale": "2"})
    picture = Image.open(io.BytesIO(saved.content))
    assert (picture.n_frames, picture.size) == (3, (2 * (2 * SIZE + 2) + 2, 2 * SIZE + 4))
    pokes = ["0,3,3,4,0", *(f"{3 + n % 3},8.123,8.456,-0.123,4.567" for n in range(20))]
    marked = poke_client.post("/v1/render", files=frames, data={"format": "mp4", "mark": pokes})
    assert marked.headers["content-type"] == "video/mp4"
    one, other = (
        poke_client.post("/v1/render", files=frames, data={"format": "strip", "mark": marks}).content
        for marks in (["0,3,3,4,0", "3,3,8,4,0"], ["3,3,8,4,0", "0,3,3,4,0"])
    )
    assert one == other
    bad = (
        {"samples": "4"},
        {"mark": "1,2"},
        {"mark": "0,nan,1,1,1"},
        {"mark": "0,1e300,1,1,1"},
        {"mark": ["0,1,1,1,1"] * 513},
    )
    for data in bad:
        refused = poke_client.post("/v1/render", files=frames, data=data)
        assert refused.status_code == 400, data
    for nothing in ({"data": {"frame": "text"}}, {"json": {"frame": 5}}, {"json": {"frame": ["text"]}}):
        refused = poke_client.post("/v1/render", **nothing)
        assert refused.status_code == 400 and refused.json()["error"].startswith("frame: "), nothing


def test_long_chains_can_be_saved(poke_client):
    """Eight samples poked nine times, twelve frames each."""
    limits = poke_client.get("/v1/model").json()["save"]
    frames = [("frame", (f"{n}.png", png(), "image/png")) for n in range(8 * 9 * 12)]
    marks = [f"{12 * n},3,3,4,0" for n in range(9)] * 8
    assert limits["frames"] > len(frames) and limits["pokes"] > len(marks)
    saved = poke_client.post("/v1/render", files=frames, data={"format": "npz", "samples": "8", "mark": marks})
    assert video_of(saved).shape == (8, 9 * 12, SIZE, SIZE, 3)


def test_description_and_examples(poke_client, sample_client):
    described = poke_client.get("/v1/model").json()
    assert (described["model"], described["size"], described["examples"], described["frames"]["default"]) == (
        "poke",
        SIZE,
        ["gray"],
        4,
    )
    assert sample_client.get("/v1/model").json()["control"] == "direction"
    picture = Image.open(io.BytesIO(poke_client.get("/v1/examples/gray").content))
    assert np.asarray(picture).tolist() == stand_ins.EXAMPLE.tolist()
    assert poke_client.get("/v1/examples/none").status_code == 404


def test_an_example_has_the_size_in_whose_pixels_its_pokes_are():
    with stand_ins.client(stand_ins.pokes(), example=np.full((2 * SIZE, 2 * SIZE, 3), 100, np.uint8)) as client:
        picture = client.get("/v1/examples/gray")
        assert Image.open(io.BytesIO(picture.content)).size == (SIZE, SIZE)
        assert picture.headers["x-image-size"] == "32x32"
        video = video_of(ask(client, poke=[30, 30, 4, 0], frames=1))
        np.testing.assert_allclose(video[0, :, 0, 0, 0], [GRAY, GRAY + 0.02], atol=1e-5)


def test_metrics(poke_client):
    ask(poke_client, poke="3,3,1,0")
    ask(poke_client, poke="3,3,0,0")
    for path in ("/v1/examples/gray", "/v1/examples/none", "/static/page.js", "/nothing", "/v1/poke"):
        poke_client.get(path)
    lines = poke_client.get("/metrics").text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(values['i2v_requests_total{route="/v1/poke",status="200"}']) >= 1
    assert float(values['i2v_requests_total{route="/v1/poke",status="400"}']) >= 1
    counted = [("/v1/examples/{name}", 200), ("/v1/examples/{name}", 404), ("/static", 200), ("other", 404)]
    for route, status in [*counted, ("/v1/poke", 405)]:
        assert f'i2v_requests_total{{route="{route}",status="{status}"}}' in values
    assert 'i2v_requests_total{route="other",status="200"}' not in values
    assert values["i2v_ready"] == "1.0"
    assert values["i2v_waiting_requests"] == "0.0"
    assert float(values["i2v_first_frame_seconds_sum"]) > 0
