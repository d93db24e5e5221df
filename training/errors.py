"""The two ways in which a script ends before its time; anything else is a bug and a traceback."""


class InputError(ValueError):
    """Wrong input from a user; its one line says what is wrong, where, and what would be right."""


class Stopped(Exception):
    """A run ended before its time; the message says why, `status` is the exit status."""

    def __init__(self, message, status=1):
        super().__init__(message)
        self.status = status


def one_line(error):
    """What an exception (or a text) says, on one line of at most 200 characters."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(reason.split())[:200]


def input_error(place, error):
    """The InputError for an exception that was raised at a place such as a file."""
    return InputError(f"{place}: {one_line(error)}")


def as_input(place, function, *arguments):
    """function(*arguments), whose ValueError says what a user's file has wrong at this place."""
    try:
        return function(*arguments)
    except ValueError as error:
        raise InputError(f"{place}: {error}") from None
