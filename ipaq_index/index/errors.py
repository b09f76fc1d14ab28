"""Errors that say more than ValueError."""


class NotTrainedError(ValueError, RuntimeError):
    """The index has no level sets yet: `train` or `build` comes first."""


class UnknownIdError(ValueError, KeyError):
    """An id is not in the index."""

    __str__ = Exception.__str__  # KeyError's own shows the message as a quoted string
