"""`landscape` as a data set of the registry."""

import functools

from i2v_jax.data.data_set import PreparedDataSet
from i2v_jax.data.expected import listed
from i2v_jax.data.landscape.builder import Landscape, clips
from i2v_jax.data.protocol import DIVERSITY, LIKELIHOOD, QUALITY, Protocol

# 32 frames by chaining two times 16; the papers' "longer than 32 frames" leaves room for x0. The authors' script drops
# the last true frame instead of x0.
_PROTOCOL = Protocol(
    "landscape",
    32,
    False,
    "random",
    clips_per_video=6,
    metrics=(*QUALITY, "fid", "dtfvd_32", *DIVERSITY, "diversity_dti3d_32", *LIKELIHOOD),
    release_truth_offset=0,
)

LANDSCAPE = PreparedDataSet(
    builder=Landscape,
    protocol=_PROTOCOL,
    config="landscape",
    release_fields={"cinn": {"dataset": "landscape"}},
    expected=tuple(
        listed(split, functools.partial(clips, split), count)
        for split, count in (("train", 1074), ("eval", 112), ("test", 153))
    ),
    license="videos from YouTube, for research; see the terms that come with them",
    citation="Xiong, Luo, Ma, Liu, Luo: Learning to Generate Time-Lapse Videos Using Multi-Stage Dynamic Generative "
    "Adversarial Networks. CVPR 2018",
)
