"""The server's metrics, in the text format of Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter("i2v_requests", "Requests answered.", ["route", "status"], registry=registry)
        self.frames = Counter("i2v_frames", "Frames computed.", registry=registry)
        self.first_frame = Histogram(
            "i2v_first_frame_seconds", "From queueing to the first frame.", buckets=_SECONDS, registry=registry
        )
        self.answer = Histogram(
            "i2v_answer_seconds", "From queueing to the last frame.", buckets=_SECONDS, registry=registry
        )
        self.batch = Histogram("i2v_batch_size", "Requests together.", buckets=(1, 2, 4, 8), registry=registry)
        self.sockets = Gauge("i2v_open_sockets", "WebSockets that are open.", registry=registry)
        self._waiting = Gauge("i2v_waiting_requests", "Requests in the queue.", registry=registry)
        self._ready = Gauge("i2v_ready", "1 when the model is compiled.", registry=registry)

    def watch(self, waiting: Callable[[], int], ready: Callable[[], bool]) -> None:
        """Sets the functions that `text` reads its gauges from."""
        self._waiting.set_function(waiting)
        self._ready.set_function(ready)

    def text(self) -> bytes:
        """Returns all metrics as Prometheus reads them."""
        return generate_latest(self._registry)
