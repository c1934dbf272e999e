"""How the demo fails when it can't go on."""


class DemoFailed(Exception):
    """Told to the user in one line. Say what was tried and what came of it."""
