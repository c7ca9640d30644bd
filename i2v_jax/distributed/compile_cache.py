"""Where compiled programs are kept, so that only the first start on the first host compiles them."""

import jax
from jax.experimental.compilation_cache import compilation_cache

from i2v_jax import files


def share(place: str) -> None:
    """Keeps compiled programs in a folder or bucket that all hosts of a job can reach; the first process writes them.

    Args:
      place: a local folder, or gs://BUCKET/FOLDER.

    Raises:
      UserError: it cannot be written.
    """
    if files.is_in_bucket(place):
        files.require_bucket(place, "compile_cache")
    else:
        files.require_local(place, "compile_cache")
        with files.writing(place):
            files.location(place).mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", place)
    if files.is_in_bucket(place):  # XLA, which has caches of its own, writes to folders only
        jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
    compilation_cache.reset_cache()  # programs that were compiled before opened the other one
