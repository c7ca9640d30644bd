"""Color augmentation. A clip's brightness, contrast, saturation and hue change alike in all of its frames."""

import dataclasses

import cv2
import numpy as np

KINDS = ("affine", "kornia")

# Luma and two color axes (YIQ). With hue as a turn of the color plane, all four changes are affine in RGB.
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


@dataclasses.dataclass(frozen=True)
class Jitter:
    """The fields of `data.jitter`: how far each change may go, and what the changes mean.

    "affine" is one affine map of RGB, so that it costs little: brightness scales all values, contrast the distance to
    the clip's mean luma, saturation the distance to the pixel's luma, each by a factor in [1 - s, 1 + s]; hue turns the
    color plane of YIQ.

    "kornia" is what the cINN's release does with kornia 0.5.0, in a random order: brightness adds up to `s` to values
    in [0, 1], contrast scales these values, saturation scales S of HSV, hue turns H of HSV.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0  # largest turn in either direction, of a full circle
    hue_forward: float = 0.0  # largest turn from red to green, if it is more than `hue`
    kind: str = "affine"

    def __call__(self, frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Augments the colors of a clip, uint8 [T, h, w, 3]."""
        if not any((self.brightness, self.contrast, self.saturation, self.hue, self.hue_forward)):
            return frames
        if self.kind == "kornia":
            return self._kornia(frames, rng)
        pixels = np.ascontiguousarray(frames).reshape(1, -1, 3)
        mean_luma = float(pixels.reshape(-1, 3).mean(0) @ _TO_YIQ[0])
        return cv2.transform(pixels, self.matrix(rng, mean_luma)).reshape(frames.shape)

    def matrix(self, rng: np.random.Generator, mean_luma: float) -> np.ndarray:
        """Draws the affine map of RGB in [0, 255], float32 [3, 4]."""
        brightness, contrast, saturation = (
            _factor(strength, rng) for strength in (self.brightness, self.contrast, self.saturation)
        )
        turn = 2.0 * np.pi * float(rng.uniform(-self._forward, self.hue))  # in YIQ, from red to blue
        cos, sin = saturation * np.cos(turn), saturation * np.sin(turn)
        colors = np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])
        linear = brightness * contrast * (_FROM_YIQ @ colors @ _TO_YIQ)
        offset = brightness * (1.0 - contrast) * mean_luma
        return np.concatenate([linear, np.full((3, 1), offset)], axis=1).astype(np.float32)

    def _kornia(self, frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        added = rng.uniform(-self.brightness, self.brightness)
        contrast, saturation = _factor(self.contrast, rng), _factor(self.saturation, rng)
        turn = float(rng.uniform(-self.hue, self._forward))
        changes = (
            lambda values: np.clip(values + np.float32(added), 0, 1),
            lambda values: np.minimum(values * np.float32(contrast), 1),
            lambda values: _change_hsv(values, saturation, 0.0),
            lambda values: _change_hsv(values, 1.0, turn),
        )
        order = rng.permutation(len(changes))
        augmented = np.empty_like(frames)
        for frame, result in zip(frames, augmented, strict=True):
            values = frame.astype(np.float32) / np.float32(255)
            for index in order:
                values = changes[index](values)
            cv2.convertScaleAbs(values, result, 255.0)
        return augmented

    @property
    def _forward(self) -> float:
        return max(self.hue, self.hue_forward)


def _factor(strength: float, rng: np.random.Generator) -> float:
    return float(rng.uniform(max(0.0, 1.0 - strength), 1.0 + strength))


def _change_hsv(values: np.ndarray, saturation: float, turn: float) -> np.ndarray:
    """Scales the saturation of RGB in [0, 1], float32 [h, w, 3], and turns its hue by a share of a full circle."""
    if saturation == 1.0 and turn == 0.0:
        return values
    hsv: np.ndarray = cv2.cvtColor(values, cv2.COLOR_RGB2HSV)  # hue in degrees, the others in [0, 1]
    if turn:
        hsv[..., 0] += np.float32(360.0 * (turn % 1.0))  # a hue of 360 or more wraps around, one below 0 may not
    if saturation != 1.0:
        hsv[..., 1] *= np.float32(saturation)
    if saturation > 1.0:
        np.minimum(hsv[..., 1], 1, out=hsv[..., 1])
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
