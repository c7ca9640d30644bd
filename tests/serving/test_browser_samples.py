"""The page in a headless browser: models that sample, their settings and seeds."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.serving import stand_ins
from tests.serving.browser import recorded

pytestmark = pytest.mark.slow


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
        request = seen.requests[-1]
        assert [request[name] for name in ("samples", "temperature", "seed", "frames")] == [3, 0.5, 41, 16]
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
    """A drag, several samples, temperature and seed; the next poke continues the chosen sample."""
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
    """This holds after choosing the frame of the next poke, and after a drag that was too short."""
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
