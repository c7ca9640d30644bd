"""`sky` as a data set of the registry: drawn by `i2v_jax/input/procedural/sky.py`."""

from i2v_jax.data.data_set import EmbeddedDataSet
from i2v_jax.data.protocol import DIVERSITY, LIKELIHOOD, QUALITY, Protocol
from i2v_jax.input.procedural.sky import SkySource

_PROTOCOL = Protocol("sky", 16, True, "first", clips_per_video=1, metrics=(*QUALITY, *DIVERSITY, *LIKELIHOOD))

SKY = EmbeddedDataSet(source=SkySource, protocol=_PROTOCOL, config="sky")
