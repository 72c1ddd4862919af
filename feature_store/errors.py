"""The errors a user can meet, each with the exit code the command line returns.

    NightmillError (1)
    +-- UsageError (2)
    |   +-- SettingsError (2)
    +-- GateRefused (3)
    +-- BudgetExhausted (4)

Messages are one line: what is wrong, where, and what to do about it.
"""


class NightmillError(Exception):
    """A failure that a person can act on."""

    exit_code = 1


class UsageError(NightmillError):
    """The command was called with arguments it cannot take."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting is unknown, missing or out of range."""


class GateRefused(NightmillError):
    """A quality gate refused to publish; nothing was published."""

    exit_code = 3


class BudgetExhausted(NightmillError):
    """The token budget is used up; what was answered so far is kept.

    published: whether enough was answered for the table to be published all the same.
    """

    exit_code = 4

    def __init__(self, message: str, published: bool = False) -> None:
        super().__init__(message)
        self.published = published
