"""The kinds of fields that configurations declare most often."""

import functools
from typing import Any

from i2v_jax.config import Field

Fields = dict[str, Any]  # name -> Field, or the fields of a section

field = Field
free = functools.partial(Field, may_change=True)  # when training continues in a work directory
probability = functools.partial(Field, at_least=0.0, at_most=1.0)
weight = functools.partial(Field, at_least=0.0)
count = functools.partial(Field, at_least=1)
