"""`poking_plants` as a data set of the registry."""

from i2v_jax.data.data_set import PreparedDataSet
from i2v_jax.data.expected import videos
from i2v_jax.data.poking_plants.builder import PokingPlants
from i2v_jax.data.protocol import POKE

POKING_PLANTS = PreparedDataSet(
    builder=PokingPlants,
    protocol=POKE,
    config="poking_plants",
    release_fields={"poke": {"dataset": "PlantDataset"}},
    expected=(videos("train", least=27), videos("test", least=27)),  # parts of 27 recordings, says the paper
    license="for research; see the terms that come with it",
    citation="Blattmann, Milbich, Dorkenwald, Ommer: Understanding Object Dynamics for Interactive Image-to-Video "
    "Synthesis. CVPR 2021",
)
