"""`human36m` as a data set of the registry."""

from i2v_jax.data.data_set import PreparedDataSet
from i2v_jax.data.human36m.builder import Human36M
from i2v_jax.data.protocol import POKE

HUMAN36M = PreparedDataSet(
    builder=Human36M, protocol=POKE, config="human36m", release_fields={"poke": {"dataset": "Human36mDataset"}}
)
