"""Compiled programs are kept where they are asked to be."""

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache import compilation_cache

from i2v_jax.distributed import compile_cache
from i2v_jax.errors import UserError


@pytest.fixture(autouse=True)
def _own_cache():
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def test_programs_are_kept_in_the_folder(tmp_path):
    jax.jit(jnp.sin)(1.0)  # opens the cache that was set before
    compile_cache.share(str(tmp_path / "shared" / "compiled"))
    jax.jit(lambda x: jnp.cos(x) * 3.25)(1.0)
    assert any("lambda" in path.name for path in (tmp_path / "shared" / "compiled").iterdir())


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    for place in (str(tmp_path / "file" / "compiled"), "unknown://bucket/compiled"):
        with pytest.raises(UserError) as raised:
            compile_cache.share(place)
        assert raised.value.value == place
