"""Video and image files: what a player shows of them as arrays, and arrays as files.

This module offers what draws and writes; `images` and `videos` read.
"""

from i2v_jax.media.drawing import (
    ACCENT,
    BACKGROUND,
    Color,
    Pixels,
    arrow,
    arrow_between,
    enlarge,
    grid,
    heat,
    label,
    poked,
    side_by_side,
    stack_rows,
    stills,
    strip,
    target,
    usual_scale,
    with_start,
)
from i2v_jax.media.flow_colors import flow_colors, flow_wheel
from i2v_jax.media.writing import CODECS, gif_bytes, mp4_bytes, png_bytes, write_gif, write_mp4, write_png

__all__ = [
    "ACCENT",
    "BACKGROUND",
    "CODECS",
    "Color",
    "Pixels",
    "arrow",
    "arrow_between",
    "enlarge",
    "flow_colors",
    "flow_wheel",
    "gif_bytes",
    "grid",
    "heat",
    "label",
    "mp4_bytes",
    "png_bytes",
    "poked",
    "side_by_side",
    "stack_rows",
    "stills",
    "strip",
    "target",
    "usual_scale",
    "with_start",
    "write_gif",
    "write_mp4",
    "write_png",
]
