"""`poking_plants` as a data set of the registry."""

from i2v_jax.data.data_set import PreparedDataSet
from i2v_jax.data.poking_plants.builder import PokingPlants
from i2v_jax.data.protocol import POKE

POKING_PLANTS = PreparedDataSet(
    builder=PokingPlants, protocol=POKE, config="poking_plants", release_fields={"poke": {"dataset": "PlantDataset"}}
)
