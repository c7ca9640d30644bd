"""The registry of data sets."""

import pytest

from i2v_jax.config_files import load
from i2v_jax.data.data_set import EmbeddedDataSet, KnownAnswers, PreparedDataSet
from i2v_jax.data.registry import DATA_SETS, data_set, of_release
from i2v_jax.errors import UserError


@pytest.mark.parametrize("name", DATA_SETS)
def test_data_sets_are_found_by_their_own_name(name: str) -> None:
    found = data_set(name)
    assert found.name == name
    assert isinstance(found, PreparedDataSet | EmbeddedDataSet)
    assert load(found.config).data.name == name


def test_only_plants_know_the_answers_to_pokes() -> None:
    assert [name for name, found in DATA_SETS.items() if isinstance(found, KnownAnswers)] == ["plants"]


@pytest.mark.parametrize(
    ("release", "fields", "name"),
    [
        ("cinn", {"dataset": "BAIR", "img_size": 64}, "bair"),
        ("cinn", {"dataset": "DTDB", "texture": "Fire"}, "dtdb_fire"),
        ("poke", {"dataset": "VegetationDataset"}, "dtdb_vegetation"),
        ("poke", {"dataset": "BAIR"}, "folder"),
        ("cinn", {}, "folder"),
    ],
)
def test_names_of_the_releases(release: str, fields: dict[str, object], name: str) -> None:
    assert of_release(release, fields).name == name


def test_a_texture_that_does_not_exist() -> None:
    with pytest.raises(UserError) as raised:
        of_release("cinn", {"dataset": "DTDB", "texture": "sand"})
    assert raised.value.value == {"dataset": "DTDB", "texture": "sand"}
