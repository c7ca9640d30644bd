"""`iper` as a data set of the registry."""

import dataclasses
import functools
from pathlib import PurePosixPath

from i2v_jax.data.data_set import PreparedDataSet
from i2v_jax.data.expected import listed
from i2v_jax.data.iper.builder import Iper, released
from i2v_jax.data.protocol import DIVERSITY, LIKELIHOOD, QUALITY, Protocol

_PROTOCOL = Protocol("iper", 16, True, "random", clips=1000, metrics=(*QUALITY, *DIVERSITY, *LIKELIHOOD))


@dataclasses.dataclass(frozen=True, kw_only=True)
class IperDataSet(PreparedDataSet):
    """Videos `<person>_<outfit>_<motion>`; those of motion 2, free motion, count twice except in the test split."""

    def repeats(self, name: str, split: str) -> int:
        motion = PurePosixPath(name).stem.split("_")[2:3]
        return 2 if motion == ["2"] and split != "test" else 1


IPER = IperDataSet(
    builder=Iper,
    protocol=_PROTOCOL,
    config="iper",
    release_fields={"cinn": {"dataset": "iPER"}, "poke": {"dataset": "IperDataset"}},
    expected=tuple(
        listed(split, functools.partial(released, split), count)
        for split, count in (("train", 138), ("eval", 26), ("test", 42))
    ),
    license="for research, under the terms of its authors",
    citation="Liu, Piao, Min, Luo, Ma, Gao: Liquid Warping GAN. ICCV 2019",
)
