"""All data sets by name. No other file compares the name of a data set."""

from collections.abc import Mapping

from ml_collections import ConfigDict

from i2v_jax.data.bair.spec import BAIR
from i2v_jax.data.data_set import DataSet
from i2v_jax.data.dtdb.spec import CLASSES, CLOUDS, FIRE, VEGETATION, WATERFALL
from i2v_jax.data.folder.spec import FOLDER
from i2v_jax.data.human36m.spec import HUMAN36M
from i2v_jax.data.iper.spec import IPER
from i2v_jax.data.landscape.spec import LANDSCAPE
from i2v_jax.data.plants.spec import PLANTS
from i2v_jax.data.poking_plants.spec import POKING_PLANTS
from i2v_jax.data.sky.spec import SKY
from i2v_jax.data.taichi.spec import TAICHI
from i2v_jax.data.textures.spec import TEXTURES
from i2v_jax.errors import UserError
from i2v_jax.input.classes import ClassifiedSource, class_names
from i2v_jax.input.sources import SPLITS, VideoSource

DATA_SETS: dict[str, DataSet] = {
    "bair": BAIR,
    "dtdb": CLASSES,
    "dtdb_clouds": CLOUDS,
    "dtdb_fire": FIRE,
    "dtdb_vegetation": VEGETATION,
    "dtdb_waterfall": WATERFALL,
    "folder": FOLDER,
    "human36m": HUMAN36M,
    "iper": IPER,
    "landscape": LANDSCAPE,
    "plants": PLANTS,
    "poking_plants": POKING_PLANTS,
    "sky": SKY,
    "taichi": TAICHI,
    "textures": TEXTURES,
}


def register(data_set: DataSet) -> None:
    """Adds a data set from outside the package. Raises UserError if another data set has its name."""
    if DATA_SETS.setdefault(data_set.name, data_set) is not data_set:
        raise UserError(
            f"a data set named {data_set.name!r} is already registered: choose another name", "name", data_set.name
        )


def data_set(name: str) -> DataSet:
    """Returns a data set by name. Raises UserError for an unknown name."""
    if name not in DATA_SETS:
        raise UserError(f"unknown data set {name!r}: choose from {', '.join(sorted(DATA_SETS))}", "data.name", name)
    return DATA_SETS[name]


def of_release(release: str, fields: Mapping[str, object]) -> DataSet:
    """Returns the data set that a file of the authors' release means; `folder` for any other data set.

    Args:
        release: "cinn" or "poke".
        fields: the section `Data` of the file. Case does not matter, and there may be other fields.

    Raises:
        UserError: the data set is known, but not the part of it that the file names.
    """

    def matches(entry: DataSet, *names: str) -> bool:
        own = entry.release_fields.get(release, {})
        return bool(own) and all(str(fields.get(name)).lower() == own[name].lower() for name in names or own)

    same_name = [entry for entry in DATA_SETS.values() if matches(entry, "dataset")]
    chosen = [entry for entry in same_name if matches(entry)]
    if same_name and not chosen:
        parts = [dict(entry.release_fields[release]) for entry in same_name]
        raise UserError(f"unknown part of a data set in the section Data: it must be one of {parts}", "data", fields)
    return chosen[0] if chosen else FOLDER


def open_split(data: ConfigDict, split: str) -> VideoSource:
    """Opens a split of the data set that the `data` part of a configuration names.

    With `data.classified` its clips have a label "class", the index of their folder among those of the training split.

    Raises:
        UserError: there is no such data set or split, or it was not prepared.
    """
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}: choose from {', '.join(SPLITS)}", "split", split)
    opened = data_set(data.name)
    source = opened.open(data, split)
    if "classified" in data and data.classified:
        source = ClassifiedSource(source, class_names(opened.open(data, "train")))
    return source


def repeats(data: ConfigDict, source: VideoSource) -> tuple[int, ...]:
    """Returns how often each video of a split counts in an epoch, for `make_pipeline`; empty: all once."""
    if not data.repeats:
        return ()
    opened = data_set(data.name)
    return tuple(opened.repeats(source.name(video), source.split) for video in range(len(source)))
