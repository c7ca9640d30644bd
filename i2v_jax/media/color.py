"""Colors of other spaces as sRGB: high dynamic range, wide gamuts, transparency."""

import functools

import cv2
import numpy as np

# Linear RGB to linear sRGB, from the primaries of BT.2020 and of Display P3, all with white D65 (BT.2087).
_GAMUTS = {
    "bt709": np.eye(3, dtype=np.float32),
    "bt2020": np.array(
        [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]],
        np.float32,
    ),
    "p3": np.array(
        [[1.224940, -0.224940, 0.0], [-0.042057, 1.042057, 0.0], [-0.019638, -0.078636, 1.098274]], np.float32
    ),
}
# HDR white, of a sheet of paper, in the light of each transfer function (BT.2408): 75 % of the signal of HLG is 0.265
# of the scene's light, 58 % of the signal of PQ is 203 of 10,000 cd/m2.
_WHITE = {"hlg": 0.265, "pq": 203 / 10_000}
_KNEE = 0.85  # of white; what is brighter is compressed, so that highlights keep their shape
_BRIGHTEST = {"sdr": 1.0, "hlg": 1 / _WHITE["hlg"], "pq": 1000 / 203}  # of white
_STEPS = 4096  # of the table that encodes light; the square root spreads them as the eye does


def to_srgb(pixels: np.ndarray, transfer: str, primaries: str) -> np.ndarray:
    """Converts RGB of another transfer function or gamut to sRGB.

    White of HDR becomes white: highlights above it are compressed. HLG is taken relative to the scene, so that a gray
    card becomes what a standard camera makes of it; PQ is the light of the display.

    Args:
        pixels: uint16 [H, W, 3].
        transfer: "sdr", "hlg" or "pq".
        primaries: "bt709", "bt2020" or "p3".

    Returns:
        uint8 [H, W, 3].
    """
    light = _decoded(transfer)[pixels]
    light = cv2.transform(light, _GAMUTS[primaries])
    top = np.float32(_BRIGHTEST[transfer])
    place = np.sqrt(np.clip(light / top, 0, 1)) * (_STEPS - 1) + 0.5
    return _encoded(transfer)[place.astype(np.uint16)]


@functools.cache
def _decoded(transfer: str) -> np.ndarray:
    """Returns a table from 16-bit signal to light, float32 [65536]; white is 1."""
    signal = np.arange(65536) / 65535
    if transfer == "hlg":  # BT.2100, table 5: the inverse of the opto-electronic transfer function
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12) / _WHITE["hlg"]
    elif transfer == "pq":  # BT.2100, table 4: the electro-optical transfer function
        m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
        power = signal ** (1 / m2)
        light = (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1) / _WHITE["pq"]
    else:
        light = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)


@functools.cache
def _encoded(transfer: str) -> np.ndarray:
    """Returns a table from the square root of light, relative to the brightest, to sRGB: uint8 [_STEPS]."""
    light = (np.arange(_STEPS) / (_STEPS - 1)) ** 2 * _BRIGHTEST[transfer]
    if transfer != "sdr":
        above, most = ((value - _KNEE) / (1 - _KNEE) for value in (light, _BRIGHTEST[transfer]))
        shoulder = above / (1 + above) * (1 + most) / most  # slope about 1 at the knee, 1 at the brightest
        light = np.where(light > _KNEE, _KNEE + (1 - _KNEE) * shoulder, light)
    light = np.clip(light, 0, 1)
    signal = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(255 * signal).astype(np.uint8)


def on_white(pixels: np.ndarray) -> np.ndarray:
    """Returns RGB [H, W, 3] of RGBA [H, W, 4] placed on white, both of the same unsigned type."""
    most = np.iinfo(pixels.dtype).max
    alpha = pixels[..., 3:]
    if alpha.min() == most:
        return np.ascontiguousarray(pixels[..., :3])
    share = alpha.astype(np.float32) / most
    return np.rint(pixels[..., :3] * share + most * (1 - share)).astype(pixels.dtype)
