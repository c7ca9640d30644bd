"""`iper` as a data set of the registry."""

from i2v_jax.data.data_set import PreparedDataSet
from i2v_jax.data.iper.builder import Iper
from i2v_jax.data.protocol import DIVERSITY, LIKELIHOOD, QUALITY, Protocol

_PROTOCOL = Protocol("iper", 16, True, "random", clips=1000, metrics=(*QUALITY, *DIVERSITY, *LIKELIHOOD))

IPER = PreparedDataSet(
    builder=Iper,
    protocol=_PROTOCOL,
    config="iper",
    release_fields={"cinn": {"dataset": "iPER"}, "poke": {"dataset": "IperDataset"}},
)
