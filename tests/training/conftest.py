"""Messages of training go to stdout, as under the entry points."""

import pytest

from i2v_jax import logs


@pytest.fixture(autouse=True)
def messages_on_stdout():
    logs.show()
