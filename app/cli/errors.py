"""How a command fails when it was expected that it might."""


class CommandError(Exception):
    """Told to the user in one line, without a traceback, with exit code 1. Say what is wrong and how to mend it."""
