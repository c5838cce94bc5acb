"""What keeps a replay from being played. The message says what, where, and what to do about it."""


class ReplayError(Exception):
    """The choice, the data or the output folder cannot be used."""
