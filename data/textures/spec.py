"""`textures` as a data set of the registry: drawn by `i2v_jax/input/procedural/textures.py`."""

from i2v_jax.data.data_set import EmbeddedDataSet
from i2v_jax.input.procedural.textures import TexturesSource

TEXTURES = EmbeddedDataSet(source=TexturesSource, config="dtdb_i3d:embedded")
