"""The flag --checkpoint of all commands that load a trained model."""

from typing import TYPE_CHECKING

from absl import flags

from i2v_jax.errors import UserError

if TYPE_CHECKING:
    from i2v_jax.training.saved_networks import Choice

CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    "latest",
    "Checkpoint of the last stage: latest, best (by the metric that training selected it with), or a step. Earlier "
    "stages always use their latest checkpoint, with which the last stage was trained.",
)


def chosen() -> "Choice":
    """Returns the value of the flag. Raises UserError for a value that is not one of the three."""
    match CHECKPOINT.value:
        case "latest" | "best" as named:
            return named
        case text if text.isdecimal():
            return int(text)
        case text:
            raise UserError(f"--checkpoint={text}: give latest, best or a step", "checkpoint", text)
