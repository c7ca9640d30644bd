"""The textures of DTDB as data sets of the registry: `dtdb_clouds` and so on."""

from collections.abc import Mapping

from i2v_jax.data.data_set import PreparedDataSet
from i2v_jax.data.dtdb.builder import Dtdb, DtdbClouds, DtdbFire, DtdbVegetation, DtdbWaterfall, Texture
from i2v_jax.data.expected import Expected, videos
from i2v_jax.data.protocol import DIVERSITY, LIKELIHOOD, QUALITY, Protocol
from i2v_jax.input.sources import SPLITS

# The authors' script drops the last true frame instead of x0. Their archive has no test split, and their loader starts
# all clips of a held-out video at its first frame: five samples of one clip.
_PROTOCOL = Protocol(
    "dtdb",
    16,
    False,
    "even",
    clips_per_video=5,
    metrics=(*QUALITY, "fid", "dtfvd_16", *DIVERSITY, "diversity_dti3d_16", *LIKELIHOOD),
    release_truth_offset=0,
    release_starts="first",
    release_split="eval",
)


_LICENSE = "for research, under the terms of York University's vision lab"
_CITATION = (
    "Hadji, Wildes: A New Large Scale Dynamic Texture Dataset with Application to ConvNet Understanding. ECCV 2018"
)


def _texture(builder: type[Texture], poke: Mapping[str, Mapping[str, str]] | None = None) -> PreparedDataSet:
    return PreparedDataSet(
        builder=builder,
        protocol=_PROTOCOL,
        config=f"dtdb:texture={builder.FOLDER}",
        release_fields={"cinn": {"dataset": "DTDB", "texture": builder.FOLDER}, **(poke or {})},
        # The paper has 150 to 300 videos of each texture, and 90 to 385 test sequences at 5 a video.
        expected=(videos(*SPLITS, least=150, most=300), videos("test", least=18, most=77)),
        license=_LICENSE,
        citation=_CITATION,
    )


CLOUDS = _texture(DtdbClouds)
FIRE = _texture(DtdbFire)
VEGETATION = _texture(DtdbVegetation, {"poke": {"dataset": "VegetationDataset"}})
WATERFALL = _texture(DtdbWaterfall)


def _class(name: str) -> str:
    return name.split("/", maxsplit=1)[0]


CLASSES = PreparedDataSet(
    builder=Dtdb,
    config="dtdb_i3d",
    expected=(Expected(("train",), 18, 18, count=_class, what="classes"),),
    license=_LICENSE,
    citation=_CITATION,
)
