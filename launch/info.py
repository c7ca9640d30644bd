"""Prints the card of a model's file: what it is, how it was trained, and how good it is.

    python -m launch.info model.i2v
    python -m launch.info bundled:sky

With --json, prints the card and the configuration as JSON.
"""

import dataclasses
import json
import textwrap
from collections.abc import Iterator, Sequence

from absl import flags

from i2v_jax import bundle
from i2v_jax.commands import command
from i2v_jax.errors import UserError
from i2v_jax.launch._app import run

JSON = flags.DEFINE_bool("json", False, "Print the card and the configuration as JSON.")

_WIDTH = 100


def main(argv: Sequence[str]) -> None:
    if len(argv) != 2:
        raise UserError(f"give the FILE of one model, which {command('bundle')} wrote, or bundled:NAME", "file")
    path = argv[1]
    arrays, card = bundle.read_arrays(path), bundle.read_card(path)  # all of it, so that damage is noticed
    if JSON.value:
        print(json.dumps({"card": dataclasses.asdict(card), "config": bundle.read_config(path)}, indent=1))
        return
    megabytes, numbers = bundle.located(path).stat().st_size / 1e6, sum(array.size for array in arrays.values())
    print(f"{card.name}: {card.summary}")
    rows = [*_rows(card), ("file", f"{megabytes:.1f} MB, {numbers / 1e6:.2f} million numbers, i2v_jax {card.version}")]
    for name, text in rows:
        print(textwrap.fill(text, _WIDTH, initial_indent=f"  {name:14s} ", subsequent_indent=" " * 17))


def _rows(card: bundle.Card) -> Iterator[tuple[str, str]]:
    """Yields (name, text) of what is on a card."""
    yield "data", card.data
    yield "data license", card.data_license
    if card.citation:
        yield "citation", card.citation
    yield "license", card.license
    yield from (("trained by", command) for command in card.commands or ("not recorded",))
    yield "checkpoints", "; ".join(card.checkpoints)
    yield "sha256", card.checkpoint_sha256
    rounded = "" if card.psnr is None else f": samples at {card.psnr:.1f} dB PSNR to those of float32"
    yield "stored in", f"{card.dtype}{rounded}"
    for record in card.metrics:
        protocol, spread = record["protocol"], "" if record["std"] is None else f" ± {record['std']:.3g}"
        clips = f"{protocol['num_generated']} clips of {protocol['data']}, {protocol['split']}"
        where = f"protocol {protocol['protocol']}, {clips}, hash {record['protocol_sha256'][:6]}"
        yield protocol["metric"], f"{record['mean']:.4g}{spread} ({where})"
    yield from ((name, f"{value:.4g}") for name, value in card.numbers.items())


if __name__ == "__main__":
    run(main, positional="FILE", buckets=("",))
