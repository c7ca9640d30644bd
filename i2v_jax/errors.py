"""The one exception for mistakes that a user can fix."""

from typing import Any


class UserError(Exception):
    """Invalid input. The message is one line that says what is wrong, with the value, and then what to do.

    Entry points print the message without a traceback and exit with status 2.

    Attributes:
      field: the flag, configuration field or argument that is at fault ("train.keep"); "" if there is none.
      value: the value it was given; None if there is none.
    """

    def __init__(self, message: str, field: str = "", value: Any = None) -> None:
        super().__init__(message)
        self.field = field
        self.value = value

    def __str__(self) -> str:
        return str(self.args[0])
