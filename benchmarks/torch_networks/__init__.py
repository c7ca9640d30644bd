"""Every network of both papers and I3D in plain eager PyTorch, channels-first: the other side of the benchmarks.

The state-dict keys are those of the authors' checkpoints; tests/benchmarks checks each network against their outputs.
"""

from .flow import ActNorm, ConditionalFlow, flow_loss
from .i3d import I3D
from .image_autoencoder import ImageAutoencoder, ImageEncoder
from .lpips import LPIPS, VGG16, VGG19, VGGDistance
from .patch_discriminator import PatchDiscriminator
from .poke_discriminators import PokePatchDiscriminator, PokeTemporalDiscriminator
from .poke_model import PokeModel
from .resnet3d import TemporalDiscriminator, VideoEncoder
from .video_decoder import VideoDecoder

__all__ = [
    "I3D",
    "LPIPS",
    "VGG16",
    "VGG19",
    "ActNorm",
    "ConditionalFlow",
    "ImageAutoencoder",
    "ImageEncoder",
    "PatchDiscriminator",
    "PokeModel",
    "PokePatchDiscriminator",
    "PokeTemporalDiscriminator",
    "TemporalDiscriminator",
    "VGGDistance",
    "VideoDecoder",
    "VideoEncoder",
    "flow_loss",
]
