"""The flag --checkpoint of all commands that load a trained model."""

from typing import TYPE_CHECKING

from absl import flags

from i2v_jax.errors import UserError

if TYPE_CHECKING:
    from i2v_jax.tasks.registry import Selection

CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    "",
    "Checkpoint of the last stage: latest, best (by the metric that training selected it with), release (as the "
    "authors: the best flow, the latest poke model), or a step. By default as the field `select` of the configuration "
    "says, which also chooses those of earlier stages, before the last one is trained with them.",
)


def chosen() -> "Selection | None":
    """Returns the value of the flag, None if it is not given. Raises UserError for a value that is none of these."""
    match CHECKPOINT.value:
        case "":
            return None
        case "latest" | "best" | "release" as named:
            return named
        case text if text.isdecimal():
            return int(text)
        case text:
            raise UserError(f"--checkpoint={text}: give latest, best, release or a step", "checkpoint", text)
