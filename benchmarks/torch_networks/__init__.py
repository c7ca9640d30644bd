"""Every network of the cINN paper in plain eager PyTorch, channels-first: the other side of the benchmarks.

The state-dict keys are those of the authors' checkpoints; tests/benchmarks checks each network against their outputs.
"""

from .flow import ActNorm, ConditionalFlow, flow_loss
from .image_autoencoder import ImageAutoencoder, ImageEncoder
from .lpips import LPIPS, VGG16
from .patch_discriminator import PatchDiscriminator
from .resnet3d import TemporalDiscriminator, VideoEncoder
from .video_decoder import VideoDecoder

__all__ = [
    "LPIPS",
    "VGG16",
    "ActNorm",
    "ConditionalFlow",
    "ImageAutoencoder",
    "ImageEncoder",
    "PatchDiscriminator",
    "TemporalDiscriminator",
    "VideoDecoder",
    "VideoEncoder",
    "flow_loss",
]
