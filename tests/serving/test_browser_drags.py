"""The page in a headless browser: drags by mouse, finger and key, and the requests that they make."""

import io

import numpy as np
import pytest
from PIL import Image

from i2v_jax.serving.examples import Example
from tests.serving import stand_ins
from tests.serving.browser import DESKTOP, PHONE, recorded
from tests.serving.proxies import proxy
from tests.serving.stand_ins import SIZE

pytestmark = pytest.mark.slow

ACCENT = (255, 64, 32)


@pytest.mark.parametrize(("viewport", "ratio"), [(DESKTOP, 2), (PHONE, 3), ((820, 1100), 1.5)])
def test_a_drag_asks_for_the_place_where_it_was(poke_server, open_page, viewport, ratio):
    seen = open_page(poke_server, viewport, device_scale_factor=ratio).open()
    live = []
    seen.drag((0.25, 0.5), (0.5, 0.625), look=lambda: live.append(seen.color(0.36, 0.555)))
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


@pytest.mark.parametrize("strips", [True, False])
def test_behind_a_proxy_all_is_below_its_path(open_page, strips):
    """One proxy takes its path off and has a Host of its own; another one passes both on."""
    settings = {"allow": ["127.0.0.1"]} if strips else {"prefix": "/node/1"}
    with (
        recorded(stand_ins.pokes(), **settings) as (address, requests),
        proxy(address, "/i2v" if strips else "/node/1", strips, keeps_host=not strips) as outside,
    ):
        seen = open_page((outside, requests)).open()
        seen.drag((0.25, 0.5), (0.5, 0.625))
        seen.wait_for_answer(4)
        assert seen.saved("gif")[0] == "video.gif"
        assert all(url.startswith((outside, "blob:")) for url in seen.fetched)
        assert len(requests) == 1
        assert not seen.trouble


def test_a_page_that_is_not_admitted_says_how_it_would_be(open_page):
    with recorded(stand_ins.pokes()) as (address, requests), proxy(address, "/i2v", keeps_host=False) as outside:
        seen = open_page((outside, requests))
        seen.page.goto(outside)
        seen.page.wait_for_selector("#message.error")
        assert f"--allow_host={outside.split('/')[2]}" in seen.message()


def test_the_answer_is_played_and_stands(poke_server, open_page):
    """The last of four frames is brighter than the picture by 4 dx / 100, of 127.5."""
    seen = open_page(poke_server).open()
    seen.drag((0.25, 0.25), (0.75, 0.25))
    seen.wait_for_answer(4)
    seen.page.wait_for_function("() => document.getElementById('clock').textContent === '4 / 4'")
    np.testing.assert_allclose(seen.color(0.1, 0.9), [100 + 127.5 * 0.04 * SIZE / 2] * 3, atol=2)
    seen.page.keyboard.press("Tab")
    seen.page.locator("#time").fill("0")
    assert seen.color(0.1, 0.9) == [100] * 3
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
    assert seen.color(0.5, 0.5) == [25] * 3


def test_two_at_once(poke_server, open_page):
    one, other = (open_page(poke_server).open() for _ in range(2))
    one.slide("frames", 30)
    one.drag((0.25, 0.25), (0.5, 0.25))
    other.drag((0.25, 0.25), (1.0, 0.25))
    other.wait_for_answer(4)
    one.wait_for_answer(30)
    other.page.wait_for_function("() => document.getElementById('clock').textContent === '4 / 4'")
    np.testing.assert_allclose(other.color(0.1, 0.9), [100 + 127.5 * 0.04 * 12] * 3, atol=2)


def test_keyboard(poke_server, open_page):
    seen = open_page(poke_server).open()
    seen.page.focus("#picture")
    for key in ("ArrowLeft", "ArrowUp", "Enter", "Shift+ArrowRight", "ArrowDown", "Enter"):
        seen.page.keyboard.press(key)
    seen.wait_for_answer(4)
    (made,) = seen.requests[-1]["made"]
    assert made.poke[0].tolist() == [SIZE // 2 - 1, SIZE // 2 - 1]
    assert made.poke[1].tolist() == [5, 1]


def test_a_key_that_is_held_down_presses_once(poke_server, open_page):
    seen = open_page(poke_server).open()
    before = len(seen.requests)
    seen.page.focus("#picture")
    for _ in range(4):  # down again without being up is a repeat
        seen.page.keyboard.down("Enter")
    seen.page.keyboard.up("Enter")
    for key in ("Shift+ArrowRight", "Enter"):
        seen.page.keyboard.press(key)
    seen.wait_for_answer(4)
    (made,) = seen.requests[-1]["made"]
    assert (len(seen.requests) - before, made.poke[1].tolist()) == (1, [5, 0])


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
    assert seen.message()
    assert len(seen.requests) == before
    seen.drag((0.01, 0.5), (-0.2, 0.5))
    seen.wait_for_answer(4)
    assert seen.requests[-1]["made"][0].poke[1][0] < -0.2 * SIZE


@pytest.mark.parametrize("ends", ["another picture", "another setting"])
def test_another_picture_or_setting_ends_an_answer(open_page, ends):
    """Of the answer, only the first frames come before it ends."""
    model = stand_ins.pokes()
    examples = {"gray": Example("gray", stand_ins.EXAMPLE), "dark": Example("dark", stand_ins.EXAMPLE // 4)}
    with recorded(model, examples=examples) as server:
        seen = open_page(server).open()
        _, may = stand_ins.hold(model, after=2)
        seen.slide("frames", 60)
        seen.drag((0.25, 0.25), (0.5, 0.25))
        seen.page.wait_for_function("() => document.getElementById('time').max > 1")
        if ends == "another picture":
            seen.page.click("#examples button[value=dark]")
            seen.page.wait_for_function("() => document.querySelectorAll('#clips button').length === 0")
        else:
            seen.slide("frames", 3)
            assert "setting" in seen.message()
            assert seen.page.locator("#clips button").count() == 0
        seen.wait_for_cancels(False, True)
        may.set()
        seen.slide("frames", 3)
        seen.drag((0.25, 0.25), (0.5, 0.25))
        seen.wait_for_answer(3)
        assert not seen.trouble
