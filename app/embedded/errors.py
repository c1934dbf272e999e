"""What keeps the embedded platform from starting."""


class PlatformError(Exception):
    """An expected failure, told in one line that says what is wrong and how to mend it."""
