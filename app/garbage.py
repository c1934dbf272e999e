"""Python's cyclic garbage collector, set for processes that hold much and handle many small things."""

import gc

# The default of 700 new objects between two runs makes a bulk of rows pay for a walk through everything young, over
# and over; with this a tenth to a third of the processor time of an import or a launch goes away.
YOUNG_OBJECTS = 50_000


def settle() -> None:
    """Call it once everything is loaded: that stays for good and need not be looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)
