"""The page in a headless browser: several models, and links that show the same videos again."""

import numpy as np
import pytest

from i2v_jax.serving import links
from i2v_jax.serving.examples import Example
from tests.serving import stand_ins
from tests.serving.browser import recorded
from tests.serving.stand_ins import png

pytestmark = pytest.mark.slow

EXAMPLES = {"gray": Example("gray", stand_ins.EXAMPLE), "dark": Example("dark", stand_ins.EXAMPLE // 4)}


def copied(seen):
    """The link that the page copies."""
    seen.page.click("#copy-link")
    seen.page.wait_for_function("() => document.getElementById('message').textContent.includes('link')")
    return seen.page.url


def made(requests):
    """What the latest request asked of the model, as values that can be compared."""
    (request,) = requests[-1]["made"]
    return [request.start_frame, request.poke, request.frames, request.samples, request.seed, request.temperature]


def test_a_link_shows_the_same_videos(open_page):
    """Samples of a second poke, of the last frame of the third sample of the first one, by the model chosen second."""
    model = stand_ins.poke_samples()
    with recorded(model, stand_ins.pokes(), examples=EXAMPLES) as (address, requests):
        seen = open_page((address, requests)).open()
        assert seen.page.locator("#model option").all_text_contents() == ["one", "two"]
        seen.page.select_option("#model", "two")
        seen.page.wait_for_selector("html[data-ready]")
        assert not seen.page.is_visible("#samples")
        seen.page.select_option("#model", "one")
        seen.page.wait_for_selector("html[data-ready]")
        seen.page.click("#examples button[value=dark]")
        seen.page.wait_for_selector("#examples button[value=dark][aria-pressed=true]")
        seen.slide("frames", 4)
        seen.slide("samples", 3)
        seen.slide("temperature", 0.5)
        seen.page.fill("#seed", "7")
        seen.drag((0.25, 0.25), (0.5, 0.3))
        seen.wait_for_answer(4)
        seen.page.click("#clips button[value='2']")
        seen.page.check("[name=from][value=last]", force=True)
        seen.page.fill("#seed", "8")
        seen.drag((0.6, 0.25), (0.5, 0.75))
        seen.wait_for_answer(8)
        first, expected = len(requests), made(requests)
        seen.page.click("#clips button[value='1']")
        link = copied(seen)
        assert "#model=one&example=dark&poke=" in link and "seed=7" in link

        other = open_page((link, requests)).open()
        other.wait_for_answer(8)
        other.page.wait_for_selector("#clips button[value='1'][aria-pressed=true]")
        assert len(requests) == first + 2
        for value, again in zip(expected, made(requests), strict=True):
            np.testing.assert_array_equal(value, again)
        assert copied(other) == link
        assert other.page.input_value("#seed") == "8"
        assert seen.trouble == other.trouble == []


def test_links_of_an_uploaded_picture_and_of_what_is_not_here(open_page):
    with recorded(stand_ins.samples("direction"), examples=EXAMPLES) as (address, requests):
        seen = open_page((address, requests)).open()
        assert not seen.page.is_visible("#model")
        seen.page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": png(value=200)})
        seen.page.wait_for_selector("#examples:not(:has([aria-pressed=true]))")
        seen.drag((0.75, 0.5), (0.25, 0.5))
        seen.wait_for_answer(16)
        expected, link = made(requests), copied(seen)
        assert link.startswith(f"{links.link(address, 'one', expected[0])}&")
        other = open_page((link, requests)).open()
        other.wait_for_answer(16)
        assert requests[-1]["direction"] == 180
        np.testing.assert_array_equal(made(requests)[0], expected[0])
        np.testing.assert_allclose(expected[0].mean(), 200 / 127.5 - 1, atol=0.01)
        answers = len(requests)
        for wrong in ("model=three&example=gray&frames=4", "example=blue&frames=4", "picture=AAAA&frames=4"):
            other.page.goto("about:blank")
            other.page.goto(f"{address}#{wrong}")
            other.page.wait_for_selector("#message.error")
            assert any(word in other.message() for word in ("three", "blue", "damaged"))
        assert len(requests) == answers
        assert seen.trouble == other.trouble == []
