"""`folder` as a data set of the registry."""

from i2v_jax.data.data_set import PreparedDataSet
from i2v_jax.data.folder.builder import Folder

FOLDER = PreparedDataSet(builder=Folder, config="folder")
