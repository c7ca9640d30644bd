"""The names of models, and links to the page that hold one of them; static/link.js reads these."""

import base64
import urllib.parse
from collections.abc import Sequence

from i2v_jax import bundle, files, media
from i2v_jax.sampling.arrays import Array
from i2v_jax.sampling.stages import model_name


def names(workdirs: Sequence[files.PathLike]) -> list[str]:
    """Returns `bundled:NAME` as it is, and of others the name, with a number appended to those that repeat."""
    found: list[str] = []
    for workdir in workdirs:
        name = str(workdir) if bundle.is_bundled(workdir) else model_name(workdir)
        count = sum(known.partition("~")[0] == name for known in found)
        found.append(f"{name}~{count + 1}" if count else name)
    return found


def link(address: str, name: str, picture: Array) -> str:
    """Returns a link that opens the page at an address with a model, by its name, and a picture [size, size, 3]."""
    encoded = base64.urlsafe_b64encode(media.png_bytes(picture)).decode().rstrip("=")
    return f"{address}/#{urllib.parse.urlencode({'model': name, 'picture': encoded}, safe=':')}"
