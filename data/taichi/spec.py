"""`taichi` as a data set of the registry."""

from i2v_jax.data.data_set import PreparedDataSet
from i2v_jax.data.protocol import POKE
from i2v_jax.data.taichi.builder import Taichi

TAICHI = PreparedDataSet(
    builder=Taichi, protocol=POKE, config="taichi", release_fields={"poke": {"dataset": "TaichiDataset"}}
)
