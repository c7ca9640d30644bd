"""The textures of DTDB as data sets of the registry: `dtdb_clouds` and so on."""

from collections.abc import Mapping

from i2v_jax.data.data_set import PreparedDataSet
from i2v_jax.data.dtdb.builder import Dtdb, DtdbClouds, DtdbFire, DtdbVegetation, DtdbWaterfall, Texture
from i2v_jax.data.protocol import DIVERSITY, LIKELIHOOD, QUALITY, Protocol

# The authors' script drops the last true frame instead of x0.
_PROTOCOL = Protocol(
    "dtdb",
    16,
    False,
    "even",
    clips_per_video=5,
    metrics=(*QUALITY, "fid", "dtfvd_16", *DIVERSITY, "diversity_dti3d_16", *LIKELIHOOD),
    release_truth_offset=0,
)


def _texture(builder: type[Texture], poke: Mapping[str, Mapping[str, str]] | None = None) -> PreparedDataSet:
    return PreparedDataSet(
        builder=builder,
        protocol=_PROTOCOL,
        config=f"dtdb:texture={builder.FOLDER}",
        release_fields={"cinn": {"dataset": "DTDB", "texture": builder.FOLDER}, **(poke or {})},
    )


CLOUDS = _texture(DtdbClouds)
FIRE = _texture(DtdbFire)
VEGETATION = _texture(DtdbVegetation, {"poke": {"dataset": "VegetationDataset"}})
WATERFALL = _texture(DtdbWaterfall)
CLASSES = PreparedDataSet(builder=Dtdb, config="dtdb_i3d")
