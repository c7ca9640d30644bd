"""The flag of all entry points that open a trained model: which of its checkpoints."""

from typing import TYPE_CHECKING

from absl import flags

from i2v_jax.errors import UserError

if TYPE_CHECKING:
    from i2v_jax.training.checkpoint import Choice

CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    "latest",
    "Which checkpoint of the last stage: latest, best (by what training kept it for), or a step. The stages before are "
    "always the latest, with which the last one was trained.",
)


def chosen() -> "Choice":
    """What the flag says. Raises UserError when it is nothing of that."""
    match CHECKPOINT.value:
        case "latest" | "best" as named:
            return named
        case text if text.isdecimal():
            return int(text)
        case text:
            raise UserError(f"--checkpoint={text}: give latest, best or a step")
