"""`human36m` as a data set of the registry."""

from i2v_jax.data.data_set import PreparedDataSet
from i2v_jax.data.expected import videos
from i2v_jax.data.human36m.builder import Human36M
from i2v_jax.data.protocol import POKE

# Two takes of 15 actions by four cameras of each actor, five actors and two. One of the 840 files cannot be read.
HUMAN36M = PreparedDataSet(
    builder=Human36M,
    protocol=POKE,
    config="human36m",
    release_fields={"poke": {"dataset": "Human36mDataset"}},
    expected=(videos("train", "eval", least=599, most=600), videos("test", least=239, most=240)),
    license="for research, after registration with its authors",
    citation="Ionescu, Papava, Olaru, Sminchisescu: Human3.6M. PAMI 2014",
)
