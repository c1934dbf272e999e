"""Bounces that say little each and much together."""

import re

TEMPORARY = re.compile(r"4\.\d{1,3}\.\d{1,3}")  # RFC 3463


def is_soft(bounce: str, code: str, suppress: str) -> bool:
    """Whether a failure counts against its address: by the adapter's word (`bounce`), else by the enhanced code."""
    return not suppress and (bounce == "soft" or (not bounce and TEMPORARY.fullmatch(code) is not None))
