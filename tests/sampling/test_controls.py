"""Controls as a user asks for them."""

import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.sampling.controls import requested_control


def test_requested_controls() -> None:
    assert requested_control("direction", None, None) is None
    up = requested_control("direction", 90.0, None)
    assert up is not None
    assert np.flatnonzero(up).tolist() == [9]
    right = requested_control("direction", -0.1, None)
    assert right is not None
    assert np.flatnonzero(right).tolist() == [35]


@pytest.mark.parametrize(
    ("kind", "direction", "endpoint", "message"),
    [
        ("none", 90.0, None, "direction: this model was trained with no control"),
        ("endpoint", 90.0, None, "direction: this model was trained with control by endpoint only"),
        ("direction", None, "1,2,3", "endpoint: this model was trained with control by direction only"),
        ("endpoint", None, "1,2", "endpoint '1,2': three numbers are needed"),
        ("endpoint", None, "1,2,nan", "endpoint '1,2,nan': three numbers are needed"),
        ("direction", float("nan"), None, "direction nan: degrees are needed"),
        ("endpoint", None, "a,b,c", "endpoint 'a,b,c': three numbers are needed"),
    ],
)
def test_controls_that_the_model_does_not_have(
    kind: str, direction: float | None, endpoint: str | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        requested_control(kind, direction, endpoint)  # type: ignore[arg-type]
