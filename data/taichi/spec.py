"""`taichi` as a data set of the registry."""

from i2v_jax.data.data_set import PreparedDataSet
from i2v_jax.data.expected import Expected, videos
from i2v_jax.data.protocol import POKE
from i2v_jax.data.taichi.builder import Taichi


def _recording(name: str) -> str:
    return name.split("#", maxsplit=1)[0]


TAICHI = PreparedDataSet(
    builder=Taichi,
    protocol=POKE,
    config="taichi",
    release_fields={"poke": {"dataset": "TaichiDataset"}},
    expected=(
        videos("train", "eval", least=3049),
        videos("test", least=285),
        Expected(("train", "eval"), 252, 252, count=_recording, what="recordings"),
        Expected(("test",), 28, 28, count=_recording, what="recordings"),
    ),
    license="videos from YouTube that belong to their makers",
    citation="Siarohin, Lathuilière, Tulyakov, Ricci, Sebe: First Order Motion Model for Image Animation. NeurIPS 2019",
)
