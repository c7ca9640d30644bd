"""The page in a headless browser: what is uploaded, saved, and shown as a message."""

import concurrent.futures
import io
import threading

import av
import numpy as np
import pytest
from PIL import Image

from i2v_jax.serving import api
from tests.compiling import HANG
from tests.serving import stand_ins
from tests.serving.browser import recorded
from tests.serving.stand_ins import png

pytestmark = pytest.mark.slow

SHOWN = """value => {
    const canvas = document.getElementById("picture");
    return canvas.getContext("2d").getImageData(9, 99, 1, 1).data[0] === value;
}"""  # as the color of the picture at its left


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
    assert "stills.png" in seen.message()


def test_uploads(open_page):
    with recorded(stand_ins.pokes(), max_body=2**20) as server:
        seen = open_page(server).open()

        def upload(name, content, words):
            seen.page.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": content})
            seen.page.wait_for_function(f"() => document.getElementById('message').textContent.includes({words!r})")

        upload("a.png", b"not a picture", "not an image")
        upload("b.png", png(300, 300)[:200], "truncated")
        upload("c.png", b"", "empty")
        upload("d.png", bytes(2**20 + 1), "1 MiB")
        seen.drag((0.25, 0.25), (0.5, 0.25))  # the picture before is still there
        seen.wait_for_answer(4)
        upload("e.png", png(40, 20, 200), "")
        seen.page.wait_for_selector("#fit", state="visible")
        seen.drag((0.25, 0.25), (0.5, 0.25))
        seen.wait_for_answer(4)
        np.testing.assert_allclose(seen.requests[-1]["made"][0].start_frame.mean(), 200 / 127.5 - 1, atol=0.01)
        assert not seen.trouble


def test_a_picture_that_comes_during_a_drag_ends_the_drag(poke_server, open_page):
    seen = open_page(poke_server).open()
    before = len(seen.requests)

    def upload():
        with seen.page.expect_response("**/v1/image"):
            seen.page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": png(value=200)})
        seen.page.wait_for_function(SHOWN, arg=200)

    seen.drag((0.25, 0.25), (0.5, 0.25), look=upload)
    seen.page.wait_for_timeout(100)
    assert (len(seen.requests) - before, seen.message()) == (0, "")
    seen.drag((0.25, 0.25), (0.5, 0.25))
    seen.wait_for_answer(4)
    np.testing.assert_allclose(seen.requests[-1]["made"][0].start_frame.mean(), 200 / 127.5 - 1, atol=0.01)
    assert (len(seen.requests) - before, seen.trouble) == (1, [])


def test_the_picture_that_was_chosen_last_stays(poke_server, open_page):
    """The upload is answered after the example that was chosen later."""
    seen = open_page(poke_server).open()
    held = []

    def hold(route):
        held.append(route)

    seen.page.route("**/v1/image", hold)
    seen.page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": png(value=200)})
    seen.page.click("#examples button[value=dark]")
    seen.page.wait_for_function(SHOWN, arg=25)
    with seen.page.expect_response("**/v1/image") as answered:
        held[0].continue_()
    answered.value.finished()
    seen.page.wait_for_timeout(300)
    assert seen.color(0.5, 0.5) == [25] * 3
    assert seen.page.get_attribute("#examples button[value=dark]", "aria-pressed") == "true"


def test_a_picture_ends_the_answer_to_a_poke_while_it_was_decoded(open_page):
    model = stand_ins.pokes()
    with recorded(model) as server:
        seen = open_page(server)
        seen.page.add_init_script(
            """const decode = createImageBitmap;
            window.createImageBitmap = async (blob) => { await window.decoding; return decode(blob); };"""
        )
        seen.open()
        _, may = stand_ins.hold(model)
        seen.page.evaluate("() => { window.decoding = new Promise((resolve) => { window.decode = resolve; }); }")
        with seen.page.expect_response("**/v1/image"):
            seen.page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": png(value=200)})
        seen.page.wait_for_timeout(100)
        seen.drag((0.25, 0.25), (0.5, 0.25))
        seen.wait_for_cancels(False)
        seen.page.evaluate("window.decode()")
        seen.page.wait_for_function(SHOWN, arg=200)
        seen.wait_for_cancels(False, True)
        may.set()
        assert seen.page.locator("#clips button").count() == 0
        assert not seen.trouble


def test_a_picture_that_begins_while_a_poke_is_read_ends_the_poke(poke_server, open_page):
    seen = open_page(poke_server)
    seen.page.add_init_script(
        """const read = Blob.prototype.arrayBuffer;
        Blob.prototype.arrayBuffer = async function () { await window.reading; return read.call(this); };"""
    )
    seen.open()
    before = len(seen.requests)
    seen.page.evaluate("() => { window.reading = new Promise((resolve) => { window.read = resolve; }); }")
    seen.drag((0.25, 0.25), (0.5, 0.25))
    seen.page.click("#examples button[value=dark]")
    seen.page.wait_for_function(SHOWN, arg=25)
    seen.page.evaluate("window.read()")
    seen.page.wait_for_timeout(100)
    assert seen.page.locator("#clips button").count() == 0
    assert (len(seen.requests) - before, seen.trouble) == (0, [])
    seen.drag((0.25, 0.25), (0.5, 0.25))
    seen.wait_for_answer(4)
    np.testing.assert_allclose(seen.requests[-1]["made"][0].start_frame.mean(), 25 / 127.5 - 1, atol=0.01)


def test_a_dropped_file_is_squeezed_or_cut(poke_server, open_page):
    """The file is twice as wide as high, black in its left quarter and light elsewhere: cropping removes the black."""
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
    assert (seen.color(0.05, 0.5), seen.color(0.9, 0.5)) == ([0] * 3, [200] * 3)
    for crop, left in (("center", 200), ("resize", 0)):
        with seen.page.expect_response("**/v1/image"):
            seen.page.select_option("#fit", crop)
        seen.page.wait_for_function(SHOWN, arg=left)
    seen.drag((0.25, 0.25), (0.5, 0.25))
    seen.wait_for_answer(4)
    assert not seen.trouble


def test_without_examples(open_page):
    with recorded(stand_ins.pokes(), examples={}) as server:
        seen = open_page(server).open()
        assert "Upload" in seen.message()
        seen.drag((0.25, 0.25), (0.5, 0.25))
        assert not seen.requests
        seen.page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": png()})
        seen.page.wait_for_selector("#picture:not(.idle)")
        seen.drag((0.25, 0.25), (0.5, 0.25))
        seen.wait_for_answer(4)
        assert not seen.trouble


def test_what_is_too_much_is_shown_as_a_message(open_page, monkeypatch):
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
        assert "6" in seen.message() and "8" in seen.message()
        assert [url for url in seen.fetched if "render" in url] == [f"{seen.address}/v1/render"]

        begun, may = stand_ins.hold(model)
        one = pool.submit(stand_ins.post, seen.address, poke=[3, 3, 1, 0])
        assert begun.wait(HANG)
        other = pool.submit(stand_ins.post, seen.address, poke=[3, 3, 1, 0])
        stand_ins.wait_until(lambda: "i2v_waiting_requests 1.0" in stand_ins.text_of(seen.address, "/metrics"))
        seen.drag((0.25, 0.25), (0.5, 0.25))
        seen.page.wait_for_function("() => document.getElementById('message').textContent.startsWith('1 requests')")
        may.set()
        assert (one.result(), other.result()) == (200, 200)
        seen.drag((0.25, 0.25), (0.5, 0.25))
        seen.wait_for_answer(7)
        assert not seen.trouble


def test_it_waits_for_the_model_and_tells_what_fails(open_page):
    model, may = stand_ins.pokes(), threading.Event()
    warm_up, run = model.warm_up, model.run
    model.warm_up = lambda: (may.wait(HANG), warm_up())
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
        assert "ZeroDivisionError" in seen.message()
        assert seen.page.locator("#clips button").count() == 0
        model.run = run
        seen.drag((0.25, 0.25), (0.5, 0.25))
        seen.wait_for_answer(4)
    seen.page.wait_for_selector("#message.error")
    assert "connection" in seen.message()
    assert not seen.trouble
