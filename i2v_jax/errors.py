"""The one exception for mistakes that a user can mend."""


class UserError(Exception):
    """Bad input. The message is one line: what is wrong, where, and what to do about it.

    Entry points print it without a traceback and exit with status 2.
    """
