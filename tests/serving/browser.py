"""Actions on the page and what it shows; a server that records the requests to its model."""

import contextlib

from tests.serving import stand_ins

DESKTOP, PHONE = (1280, 800), (390, 844)


class Seen:
    """A page, the requests to its model, and the addresses that the page fetched."""

    def __init__(self, page, requests, address):
        self.page, self.requests, self.address, self.fetched, self.trouble = page, requests, address, [], []
        self.cancels = []  # of each message to the server, whether it cancels the one before
        page.on("websocket", lambda socket: socket.on("framesent", self._sent))
        page.on("request", lambda request: self.fetched.append(request.url))
        page.on("pageerror", lambda error: self.trouble.append(str(error)))

    def open(self):
        self.page.goto(self.address)
        self.page.wait_for_selector("html[data-ready]")
        return self

    def point(self, x, y):
        """Returns the position on the screen of a point of the picture, given in shares of its sides."""
        box = self.page.locator("#picture").bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def drag(self, tail, tip, look=lambda: None):
        self.page.mouse.move(*self.point(*tail))
        self.page.mouse.down()
        self.page.mouse.move(*self.point(*tip), steps=3)
        look()
        self.page.mouse.up()

    def wait_for_answer(self, frames):
        """Waits until the page shows a new, complete clip with so many frames after its first."""
        self.page.wait_for_function(
            """frames => performance.getEntriesByName("first frame").length
                && document.getElementById("time").max == frames
                && !document.querySelector("#save button").disabled""",
            arg=str(frames),
        )
        self.page.evaluate("performance.clearMeasures('first frame')")

    def _sent(self, text):
        self.cancels.append('"cancel"' in text)

    def wait_for_cancels(self, *expected):
        """Waits until the browser has told of that many messages to the server; they are told after they were sent."""
        stand_ins.wait_until(lambda: self.page.evaluate("1") and len(self.cancels) >= len(expected))
        assert self.cancels == list(expected)

    def color(self, x, y):
        """Returns the color of the canvas at a point, given in shares of its sides."""
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
def recorded(model, *others, **settings):
    """Yields the address of a server and the list of the requests to its first model."""
    recorded_requests, requests = [], model.requests

    def recording(values, pixels):
        recorded_requests.append(dict(values))
        made = requests(values, pixels)
        recorded_requests[-1]["made"] = made
        return made

    model.requests = recording
    with stand_ins.server(model, *others, **settings) as address:
        yield address, recorded_requests
