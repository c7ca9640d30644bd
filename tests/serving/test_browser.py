"""The page in a headless browser: what a hand does, what a stand-in model is asked, what is seen and saved."""

import concurrent.futures
import contextlib
import io
import threading

import av
import numpy as np
import pytest
from PIL import Image

from i2v_jax.serving import api
from i2v_jax.serving.examples import Example
from tests.serving import stand_ins
from tests.serving.stand_ins import SIZE, png

pytestmark = pytest.mark.slow

DESKTOP, PHONE = (1280, 800), (390, 844)
ACCENT = (255, 64, 32)


class Seen:
    """A page, what its model was asked, and what it asked of whom."""

    def __init__(self, page, requests, address):
        self.page, self.requests, self.address, self.fetched, self.trouble = page, requests, address, [], []
        page.on("request", lambda request: self.fetched.append(request.url))
        page.on("pageerror", lambda error: self.trouble.append(str(error)))

    def open(self):
        self.page.goto(self.address)
        self.page.wait_for_selector("html[data-ready]", timeout=120_000)
        return self

    def point(self, x, y):
        """Where a share of the picture's sides is on the screen."""
        box = self.page.locator("#picture").bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def drag(self, tail, tip, look=lambda: None):
        self.page.mouse.move(*self.point(*tail))
        self.page.mouse.down()
        self.page.mouse.move(*self.point(*tip), steps=3)
        look()
        self.page.mouse.up()

    def wait_for_answer(self, frames):
        """Until a new clip is on the stage, has so many frames after its first, and is whole."""
        self.page.wait_for_function(
            """frames => performance.getEntriesByName("first frame").length
                && document.getElementById("time").max == frames
                && !document.querySelector("#save button").disabled""",
            arg=str(frames),
        )
        self.page.evaluate("performance.clearMeasures('first frame')")

    def colour(self, x, y):
        """Of the canvas there, in shares of its sides."""
        return self.page.evaluate(
            """([x, y]) => {
                const canvas = document.getElementById("picture");
                const at = [x * canvas.width, y * canvas.height].map(Math.floor);
                return [...canvas.getContext("2d").getImageData(...at, 1, 1).data].slice(0, 3);
            }""",
            [x, y],
        )

    def message(self):
        return self.page.text_content("#message")

    def slide(self, name, value):
        self.page.evaluate(
            """([id, value]) => {
                document.getElementById(id).value = value;
                document.getElementById(id).dispatchEvent(new Event("input"));
            }""",
            [name, value],
        )

    def saved(self, form):
        with self.page.expect_download() as download:
            self.page.click(f"#save button[value={form}]")
        return download.value.suggested_filename, download.value.path().read_bytes()


@contextlib.contextmanager
def recorded(model, **settings):
    """A server, and the list of what its model is asked."""
    asked, requests = [], model.requests

    def recording(values, pixels):
        asked.append(dict(values))
        made = requests(values, pixels)
        asked[-1]["made"] = made
        return made

    model.requests = recording
    with stand_ins.server(model, **settings) as address:
        yield address, asked


@pytest.fixture
def open_page(chromium):
    """(address and requests of `recorded`) -> a page; further arguments are those of a browser context."""
    contexts = []

    def opened(server, viewport=DESKTOP, **settings):
        address, asked = server
        context = chromium.new_context(viewport={"width": viewport[0], "height": viewport[1]}, **settings)
        contexts.append(context)
        return Seen(context.new_page(), asked, address)

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def poke_server():
    examples = {"grey": Example("grey", stand_ins.EXAMPLE), "dark": Example("dark", stand_ins.EXAMPLE // 4)}
    with recorded(stand_ins.pokes(), examples=examples) as server:
        yield server


@pytest.mark.parametrize(("viewport", "ratio"), [(DESKTOP, 1), (DESKTOP, 2), (PHONE, 3), ((820, 1100), 1.5)])
def test_a_drag_asks_for_the_place_where_it_was(poke_server, open_page, viewport, ratio):
    seen = open_page(poke_server, viewport, device_scale_factor=ratio).open()
    live = []
    seen.drag((0.25, 0.5), (0.5, 0.625), look=lambda: live.append(seen.colour(0.36, 0.555)))
    seen.wait_for_answer(4)
    (made,) = seen.requests[-1]["made"]
    pixel = SIZE / seen.page.locator("#picture").bounding_box()["width"]  # one of the screen, in the model's
    np.testing.assert_allclose(made.poke[0], [0.25 * SIZE - 0.5, 0.5 * SIZE - 0.5], atol=1.01 * pixel)
    np.testing.assert_allclose(made.poke[1], [0.25 * SIZE, 0.125 * SIZE], atol=2.01 * pixel)
    np.testing.assert_allclose(live[0], ACCENT, atol=12)  # the arrow, while it is drawn
    assert seen.page.evaluate("document.getElementById('picture').width") == round(
        seen.page.locator("#picture").bounding_box()["width"] * ratio
    )
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= viewport[0]
    assert all(url.startswith((seen.address, "blob:")) for url in seen.fetched)
    assert not seen.trouble


def test_the_answer_is_played_and_stands(poke_server, open_page):
    """The last of four frames is brighter than the picture by 4 dx / 100, of 127.5."""
    seen = open_page(poke_server).open()
    seen.drag((0.25, 0.25), (0.75, 0.25))
    seen.wait_for_answer(4)
    seen.page.wait_for_function("() => document.getElementById('clock').textContent === '4 / 4'")
    np.testing.assert_allclose(seen.colour(0.1, 0.9), [100 + 127.5 * 0.04 * SIZE / 2] * 3, atol=2)
    seen.page.keyboard.press("Tab")
    seen.page.locator("#time").fill("0")
    assert seen.colour(0.1, 0.9) == [100] * 3
    seen.page.click("#play")
    seen.page.wait_for_function("() => document.getElementById('clock').textContent === '4 / 4'")


def test_pokes_of_the_picture_and_of_the_last_frame(poke_server, open_page):
    seen = open_page(poke_server).open()
    seen.drag((0.25, 0.25), (0.5, 0.25))
    seen.wait_for_answer(4)
    seen.drag((0.25, 0.75), (0.5, 0.75))
    seen.wait_for_answer(4)
    assert seen.page.locator("#clips button").count() == 2
    seen.page.check("[name=from][value=last]", force=True)
    seen.drag((0.5, 0.25), (0.75, 0.25))
    seen.wait_for_answer(8)
    assert seen.page.locator("#clips button").count() == 2  # it went on
    brighter = 100 + 127.5 * 0.04 * SIZE / 4
    np.testing.assert_allclose(seen.requests[-1]["made"][0].start_frame.mean(), brighter / 127.5 - 1, atol=0.02)
    name, content = seen.saved("gif")
    assert name == "video.gif"
    assert Image.open(io.BytesIO(content)).n_frames == 9
    seen.page.click("#examples button[value=dark]")
    seen.page.wait_for_function("() => document.querySelectorAll('#clips button').length === 0")
    assert seen.colour(0.5, 0.5) == [25] * 3


def test_saving(poke_server, open_page):
    seen = open_page(poke_server).open()
    seen.slide("frames", 7)
    seen.drag((0.25, 0.25), (0.5, 0.25))
    seen.wait_for_answer(7)
    name, content = seen.saved("mp4")
    with av.open(io.BytesIO(content)) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert (name, len(frames)) == ("video.mp4", 8)
    assert frames[0].shape == (256, 256, 3)
    assert np.ptp(frames[0][60:70]) > 50 > np.ptp(frames[0][200:])  # the arrow
    assert Image.open(io.BytesIO(seen.saved("gif")[1])).n_frames == 8
    name, content = seen.saved("strip")
    assert (name, Image.open(io.BytesIO(content)).width) == ("stills.png", 8 * (128 + 2) + 2)
    assert seen.message() == "Saved stills.png."


def test_uploads(open_page):
    with recorded(stand_ins.pokes(), max_body=2**20) as server:
        seen = open_page(server).open()

        def upload(name, content, words):
            seen.page.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": content})
            seen.page.wait_for_function(f"() => document.getElementById('message').textContent.includes({words!r})")

        upload("a.png", b"not a picture", "not an image that can be read")
        upload("b.png", png(300, 300)[:200], "damaged or truncated")
        upload("c.png", b"", "file is empty")
        upload("d.png", bytes(2**20 + 1), "too large: 1 MiB at most")
        seen.drag((0.25, 0.25), (0.5, 0.25))  # the picture before is still there
        seen.wait_for_answer(4)
        upload("e.png", png(40, 20, 200), "")
        seen.page.wait_for_selector("#fit", state="visible")
        seen.drag((0.25, 0.25), (0.5, 0.25))
        seen.wait_for_answer(4)
        np.testing.assert_allclose(seen.requests[-1]["made"][0].start_frame.mean(), 200 / 127.5 - 1, atol=0.01)
        assert not seen.trouble


def test_two_at_once(poke_server, open_page):
    one, other = (open_page(poke_server).open() for _ in range(2))
    one.slide("frames", 30)
    one.drag((0.25, 0.25), (0.5, 0.25))
    other.drag((0.25, 0.25), (1.0, 0.25))
    other.wait_for_answer(4)
    one.wait_for_answer(30)
    other.page.wait_for_function("() => document.getElementById('clock').textContent === '4 / 4'")
    np.testing.assert_allclose(other.colour(0.1, 0.9), [100 + 127.5 * 0.04 * 12] * 3, atol=2)


def test_keyboard(poke_server, open_page):
    seen = open_page(poke_server).open()
    seen.page.focus("#picture")
    for key in ("ArrowLeft", "ArrowUp", "Enter", "Shift+ArrowRight", "ArrowDown", "Enter"):
        seen.page.keyboard.press(key)
    seen.wait_for_answer(4)
    (made,) = seen.requests[-1]["made"]
    assert made.poke[0].tolist() == [SIZE // 2 - 1, SIZE // 2 - 1]
    assert made.poke[1].tolist() == [5, 1]


def test_touch(poke_server, open_page):
    seen = open_page(poke_server, PHONE, has_touch=True, is_mobile=True, device_scale_factor=3).open()
    fingers = seen.page.context.new_cdp_session(seen.page)

    def touch(kind, *points):
        places = [dict(zip("xy", seen.point(*point), strict=True)) for point in points]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    touch("touchStart", (0.5, 0.75))
    touch("touchMove", (0.5, 0.6))
    touch("touchMove", (0.5, 0.25))
    touch("touchEnd")
    seen.wait_for_answer(4)
    (made,) = seen.requests[-1]["made"]
    np.testing.assert_allclose(made.poke[0], [0.5 * SIZE - 0.5, 0.75 * SIZE - 0.5], atol=0.1)
    np.testing.assert_allclose(made.poke[1], [0, -0.5 * SIZE], atol=0.1)
    assert seen.page.evaluate("scrollY") == 0


def test_a_short_drag_and_one_that_leaves_the_picture(poke_server, open_page):
    seen = open_page(poke_server).open()
    before = len(seen.requests)
    seen.drag((0.5, 0.5), (0.502, 0.5))
    assert "Drag a little further" in seen.message()
    assert len(seen.requests) == before
    seen.drag((0.01, 0.5), (-0.2, 0.5))
    seen.wait_for_answer(4)
    assert seen.requests[-1]["made"][0].poke[1][0] < -0.2 * SIZE


def test_samples_without_a_poke(open_page):
    with recorded(stand_ins.samples("none")) as server:
        seen = open_page(server).open()
        assert not seen.page.is_visible("#wheel")
        assert not seen.page.is_visible("#poke-settings")
        seen.slide("samples", 3)
        seen.slide("temperature", 0.5)
        seen.page.fill("#seed", "41")
        seen.page.click("#run")
        seen.wait_for_answer(16)
        asked = seen.requests[-1]
        assert [asked[name] for name in ("samples", "temperature", "seed", "frames")] == [3, 0.5, 41, 16]
        assert seen.page.locator("#clips button").count() == 3
        assert Image.open(io.BytesIO(seen.saved("gif")[1])).width == 2 * (256 + 2) + 2  # side by side, in two rows
        seen.page.uncheck("#all")
        assert Image.open(io.BytesIO(seen.saved("gif")[1])).width == 256
        seen.page.click("#new-seed")
        seen.page.wait_for_function("() => document.getElementById('seed').value !== '41'")
        seen.wait_for_answer(16)
        assert seen.requests[-1]["seed"] == int(seen.page.input_value("#seed"))
        assert not seen.trouble


def test_the_direction_wheel(open_page):
    with recorded(stand_ins.samples("direction")) as server:
        seen = open_page(server).open()
        seen.page.click("#run")
        seen.wait_for_answer(16)
        assert "direction" not in seen.requests[-1]
        box = seen.page.locator("#wheel").bounding_box()
        seen.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 5)
        assert seen.page.text_content("#degrees") == "90°"
        seen.page.keyboard.press("ArrowLeft")
        seen.page.focus("#wheel")
        seen.page.keyboard.press("ArrowRight")
        degrees = int(seen.page.text_content("#degrees")[:-1])
        seen.page.click("#run")
        seen.wait_for_answer(16)
        assert seen.requests[-1]["direction"] == degrees
        seen.drag((0.75, 0.5), (0.25, 0.5))
        seen.wait_for_answer(16)
        assert seen.requests[-1]["direction"] == 180
        seen.page.click("#any-direction")
        assert seen.page.text_content("#degrees") == "any"


def test_stochastic_pokes(open_page):
    """A drag, several samples, temperature and seed; the next poke goes on with the sample that was chosen."""
    model = stand_ins.poke_samples()
    with recorded(model) as server:
        seen = open_page(server).open()
        seen.slide("frames", 4)
        seen.slide("samples", 3)
        seen.slide("temperature", 1.5)
        seen.drag((0.25, 0.25), (0.5, 0.25))
        seen.wait_for_answer(4)
        assert [seen.requests[-1][name] for name in ("samples", "temperature", "seed")] == [3, 1.5, 0]
        assert seen.page.locator("#clips button").count() == 3
        seen.page.click("#clips button >> nth=1")
        seen.page.check("[name=from][value=last]", force=True)
        seen.drag((0.25, 0.25), (0.5, 0.25))
        seen.wait_for_answer(8)
        ((answer,),) = model.run(seen.requests[-2]["made"])
        np.testing.assert_allclose(seen.requests[-1]["made"][0].start_frame, answer[1, -1], atol=0.01)
        assert np.abs(answer[[0, 2], -1] - answer[1, -1]).min() > 0.01
        seen.page.click("#new-seed")
        seen.wait_for_answer(8)
        assert seen.requests[-1]["seed"] != 0
        assert seen.requests[-1]["poke"] == seen.requests[-2]["poke"]


def test_a_new_seed_asks_the_poke_of_its_own_frame(open_page):
    """Whatever was held in between: by the choice of the next poke's frame, by a drag that was too short."""
    with recorded(stand_ins.poke_samples()) as server:
        seen = open_page(server).open()
        seen.slide("frames", 4)
        seen.slide("samples", 2)
        seen.drag((0.25, 0.25), (0.5, 0.25))
        seen.wait_for_answer(4)
        seen.page.check("[name=from][value=last]", force=True)
        seen.drag((0.25, 0.25), (0.5, 0.25))
        seen.wait_for_answer(8)
        poked = seen.requests[-1]["made"][0].start_frame
        assert np.abs(poked - seen.requests[-2]["made"][0].start_frame).min() > 0.01
        seen.page.check("[name=from][value=start]", force=True)
        seen.page.click("#new-seed")
        seen.wait_for_answer(8)
        np.testing.assert_array_equal(seen.requests[-1]["made"][0].start_frame, poked)
        seen.page.check("[name=from][value=last]", force=True)
        seen.drag((0.5, 0.5), (0.502, 0.5))
        seen.page.click("#new-seed")
        seen.wait_for_answer(8)
        np.testing.assert_array_equal(seen.requests[-1]["made"][0].start_frame, poked)
        assert not seen.trouble


def test_another_picture_or_setting_ends_an_answer(open_page):
    model = stand_ins.slow(stand_ins.pokes(), 0.05)
    examples = {"grey": Example("grey", stand_ins.EXAMPLE), "dark": Example("dark", stand_ins.EXAMPLE // 4)}
    with recorded(model, examples=examples) as server:
        seen = open_page(server)
        sent = []
        seen.page.on("websocket", lambda socket: socket.on("framesent", lambda text: sent.append('"cancel"' in text)))
        seen.open()

        def begin():
            seen.slide("frames", 60)
            seen.drag((0.25, 0.25), (0.5, 0.25))
            seen.page.wait_for_function("() => document.getElementById('time').max > 1")

        begin()
        seen.page.click("#examples button[value=dark]")
        seen.page.wait_for_function("() => document.querySelectorAll('#clips button').length === 0")
        begin()
        seen.slide("frames", 3)
        assert seen.message() == "Stopped: a setting was changed."
        assert seen.page.locator("#clips button").count() == 0
        assert sent == [False, True, False, True]
        seen.drag((0.25, 0.25), (0.5, 0.25))
        seen.wait_for_answer(3)
        assert not seen.trouble


def test_what_is_too_much_is_told_in_words(open_page, monkeypatch):
    """A file of too many frames, before it is sent; a queue that is full."""
    monkeypatch.setattr(api, "MAX_FRAMES_SENT", 6)
    model = stand_ins.pokes()
    with recorded(model, waiting=1) as server, concurrent.futures.ThreadPoolExecutor(2) as pool:
        seen = open_page(server).open()
        seen.drag((0.25, 0.25), (0.5, 0.25))
        seen.wait_for_answer(4)
        assert seen.saved("gif")[0] == "video.gif"
        seen.slide("frames", 7)
        seen.drag((0.25, 0.25), (0.5, 0.25))
        seen.wait_for_answer(7)
        seen.page.click("#save button[value=gif]")
        seen.page.wait_for_selector("#message.error")
        assert seen.message() == "These are 8 frames, and a file takes 6: begin anew from the picture."
        assert [url for url in seen.fetched if "render" in url] == [f"{seen.address}/v1/render"]

        begun, may = stand_ins.hold(model)
        one = pool.submit(stand_ins.post, seen.address, poke=[3, 3, 1, 0])
        assert begun.wait(20)
        other = pool.submit(stand_ins.post, seen.address, poke=[3, 3, 1, 0])
        stand_ins.wait_until(lambda: "i2v_waiting_requests 1.0" in stand_ins.told(seen.address, "/metrics"))
        seen.drag((0.25, 0.25), (0.5, 0.25))
        seen.page.wait_for_function("() => document.getElementById('message').textContent.includes('are waiting')")
        assert seen.message() == "1 requests are waiting already: try again in a moment"
        may.set()
        assert (one.result(), other.result()) == (200, 200)
        seen.drag((0.25, 0.25), (0.5, 0.25))
        seen.wait_for_answer(7)
        assert not seen.trouble


def test_a_dropped_file_is_squeezed_or_cut(poke_server, open_page):
    """Twice as wide as high, black at its left quarter and light elsewhere: cutting takes the black away."""
    seen = open_page(poke_server).open()
    wide = Image.new("RGB", (64, 32), (200, 200, 200))
    wide.paste((0, 0, 0), (0, 0, 16, 32))
    buffer = io.BytesIO()
    wide.save(buffer, "PNG")
    seen.page.evaluate(
        """content => {
            const files = new DataTransfer();
            files.items.add(new File([Uint8Array.from(content)], "wide.png", { type: "image/png" }));
            document.dispatchEvent(new DragEvent("drop", { dataTransfer: files, cancelable: true }));
        }""",
        list(buffer.getvalue()),
    )
    seen.page.wait_for_selector("#fit", state="visible")
    assert seen.page.input_value("#fit") == "resize"
    assert (seen.colour(0.05, 0.5), seen.colour(0.9, 0.5)) == ([0] * 3, [200] * 3)
    for crop, left in (("center", 200), ("resize", 0)):
        with seen.page.expect_response("**/v1/image"):
            seen.page.select_option("#fit", crop)
        seen.page.wait_for_function(
            """left => {
                const canvas = document.getElementById("picture");
                return canvas.getContext("2d").getImageData(9, 99, 1, 1).data[0] === left;
            }""",
            arg=left,
        )
    seen.drag((0.25, 0.25), (0.5, 0.25))
    seen.wait_for_answer(4)
    assert not seen.trouble


def test_it_waits_for_the_model_and_tells_what_fails(open_page):
    model, may = stand_ins.pokes(), threading.Event()
    warm_up, run = model.warm_up, model.run
    model.warm_up = lambda: (may.wait(20), warm_up())
    with recorded(model) as server:
        seen = open_page(server)
        seen.page.goto(seen.address)
        seen.page.wait_for_selector("#examples img")
        assert "being compiled" in seen.page.inner_text("#curtain")
        seen.drag((0.25, 0.25), (0.5, 0.25))
        assert not seen.requests
        may.set()
        seen.page.wait_for_selector("html[data-ready]")
        assert not seen.page.is_visible("#curtain")
        model.run = lambda requests: 1 / 0
        seen.drag((0.25, 0.25), (0.5, 0.25))
        seen.page.wait_for_selector("#message.error")
        assert "The server failed to compute this (ZeroDivisionError)" in seen.message()
        assert seen.page.locator("#clips button").count() == 0
        model.run = run
        seen.drag((0.25, 0.25), (0.5, 0.25))
        seen.wait_for_answer(4)
    seen.page.wait_for_selector("#message.error")
    assert "The connection to the server is lost" in seen.message()
    assert not seen.trouble


def test_without_examples(open_page):
    with recorded(stand_ins.pokes(), examples={}) as server:
        seen = open_page(server).open()
        assert seen.message() == "Upload a picture to begin."
        seen.drag((0.25, 0.25), (0.5, 0.25))
        assert not seen.requests
        seen.page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": png()})
        seen.page.wait_for_selector("#picture:not(.idle)")
        seen.drag((0.25, 0.25), (0.5, 0.25))
        seen.wait_for_answer(4)
        assert not seen.trouble
