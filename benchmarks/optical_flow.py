"""The error of estimated optical flow on `plants`, whose flow is known, and the time that a pair of frames takes.

    python -m benchmarks.optical_flow [--flow=dis,gmflow] [--size=128] [--clips=12] [--out=FLOW.png]

The flow goes from the first to the last of 17 frames of test clips. An error is the mean distance between the ends of
the estimated and of the exact vectors, in pixels: of all pixels, and of those that move by more than 2 % of the frame.
The picture has a row for each of the first four clips, in the colors of the usual wheel.
"""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import app, flags

from i2v_jax import media
from i2v_jax.data.flows import estimator_of
from i2v_jax.input.procedural.plants import PlantsSource

FLOW = flags.DEFINE_list("flow", ["dis", "gmflow"], "Estimators, as launch.prepare --flow names them.")
SIZE = flags.DEFINE_integer("size", 128, "Side of the frames.", 32)
CLIPS = flags.DEFINE_integer("clips", 12, "Number of clips.", 1)
OUT = flags.DEFINE_string("out", "", "File of the picture, PNG.")

LAST = 16  # frame
MOVING = 0.02  # of the frame
ROWS, CELL = 4, 256  # of the picture; pixels
ROW = "{:<24} {:>13} {:>13} {:>15}"


def main(argv: Sequence[str]) -> None:
    del argv
    source = PlantsSource("test", CLIPS.value, LAST + 1, SIZE.value)
    pairs = [source.draw(video, [0, LAST]) for video in range(CLIPS.value)]
    exact = np.stack([source.true_flow(video, 0, LAST) for video in range(CLIPS.value)])
    moving = lengths(exact) > MOVING * SIZE.value
    distance = lengths(exact)[moving].mean()
    print(f"{CLIPS.value} clips of {SIZE.value}x{SIZE.value}; what moves moves by {distance:.1f} pixels")
    print(ROW.format("pixels", "error of all", "of what moves", "seconds a pair"))
    estimates = {}
    for name in FLOW.value:
        estimates[name], seconds = estimate(name, pairs)
        errors = lengths(estimates[name] - exact)
        print(ROW.format(name, f"{errors.mean():.2f}", f"{errors[moving].mean():.2f}", f"{seconds:.3f}"))
    if OUT.value:
        media.write_png(Path(OUT.value), picture(pairs[:ROWS], {"exact": exact, **estimates}))


def estimate(name: str, pairs: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
    """Returns the flows [N, H, W, 2], and the median time of a pair, without compilation."""
    flow_of = estimator_of(name)
    list(flow_of([pairs[0][0]], [pairs[0][1]]))
    found, seconds = [], []
    for first, last in pairs:
        begin = time.perf_counter()
        found += flow_of([first], [last])
        seconds.append(time.perf_counter() - begin)
    return np.stack(found), statistics.median(seconds)


def picture(pairs: Sequence[np.ndarray], flows: dict[str, np.ndarray]) -> media.Pixels:
    """Returns rows of both frames and of all flows, colored alike within a row."""
    scale = max(1, CELL // SIZE.value)
    rows = []
    for clip, (first, last) in enumerate(pairs):
        longest = float(lengths(flows["exact"][clip]).max())
        cells = [("first frame", first), ("last frame", last)]
        cells += [(name, media.flow_colors(flow[clip], longest)) for name, flow in flows.items()]
        row = media.side_by_side([(name, media.enlarge(pixels[None], scale)) for name, pixels in cells])
        rows.append((f"full color: {longest:.1f} of {SIZE.value} pixels", row))
    legend = media.label(media.flow_wheel(CELL // 2)[None], "direction of the flow; white: no motion")
    return media.stack_rows([*rows, ("", legend)])[0]


def lengths(flow: np.ndarray) -> np.ndarray:
    return np.hypot(flow[..., 0], flow[..., 1])


if __name__ == "__main__":
    app.run(main)
