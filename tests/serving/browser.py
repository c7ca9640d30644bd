"""What a hand does on the page and what is seen there; a server that remembers what its model was asked."""

import contextlib

from tests.serving import stand_ins

DESKTOP, PHONE = (1280, 800), (390, 844)


class Seen:
    """A page, what its model was asked, and what it asked of whom."""

    def __init__(self, page, requests, address):
        self.page, self.requests, self.address, self.fetched, self.trouble = page, requests, address, [], []
        page.on("request", lambda request: self.fetched.append(request.url))
        page.on("pageerror", lambda error: self.trouble.append(str(error)))

    def open(self):
        self.page.goto(self.address)
        self.page.wait_for_selector("html[data-ready]")
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

    def color(self, x, y):
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
