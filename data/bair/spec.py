"""`bair` as a data set of the registry."""

from i2v_jax.data.bair.builder import Bair
from i2v_jax.data.data_set import PreparedDataSet
from i2v_jax.data.expected import videos
from i2v_jax.data.protocol import DIVERSITY, LIKELIHOOD, QUALITY, Protocol

# x0 and 15 of the 16 generated frames: the clips of 16 frames that other papers score.
_PROTOCOL = Protocol(
    "bair", 15, True, "first", clips_per_video=1, metrics=(*QUALITY, *DIVERSITY, *LIKELIHOOD), least_frames=16
)

BAIR = PreparedDataSet(
    builder=Bair,
    protocol=_PROTOCOL,
    config="bair",
    release_fields={"cinn": {"dataset": "BAIR"}},
    expected=(videos("train", least=43_008), videos("eval", least=256), videos("test", least=256)),
    license="CC BY 4.0, as its authors' page says; check the page you take it from",
    citation="Ebert, Finn, Lee, Levine: Self-Supervised Visual Planning with Temporal Skip Connections. CoRL 2017",
)
