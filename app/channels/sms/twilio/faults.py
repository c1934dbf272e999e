"""Twilio's error codes. One number space for answers and for status callbacks.

https://www.twilio.com/docs/api/errors
"""

from datetime import timedelta

from app.channels import faults
from app.channels.faults import (
    ACCOUNT,
    AMBIGUOUS,
    BAD_ADDRESS,
    OPTED_OUT,
    PERMANENT,
    RATE_LIMITED,
    TRANSIENT,
    Fault,
    FaultKind,
)

FAULTS: dict[int, Fault] = {
    # credentials and account. 20404: the only thing looked for in a send is the account itself
    **dict.fromkeys((10001, 20003, 20005, 20006, 20008, 20403, 20404, 21608, 90010), ACCOUNT),
    **dict.fromkeys((30002, 30018, 30024, 30032, 30033, 30034, 30035), ACCOUNT),
    # the sender or the callback address is set up wrongly
    **dict.fromkeys((21212, 21603, 21606, 21609, 21616, 21701, 21703, 21704, 21705), ACCOUNT),
    # limits
    20429: RATE_LIMITED,
    30022: RATE_LIMITED,
    35125: RATE_LIMITED,
    14107: Fault(kind=FaultKind.RATE_LIMITED, retry_after=timedelta(seconds=30), recipient_only=True),
    # a queue holds ten hours of traffic: a short wait frees little of it
    21611: Fault(kind=FaultKind.RATE_LIMITED, retry_after=timedelta(minutes=10)),
    30001: Fault(kind=FaultKind.RATE_LIMITED, retry_after=timedelta(minutes=10)),
    # daily caps end at the carrier's midnight, which Twilio does not tell
    30023: Fault(kind=FaultKind.RATE_LIMITED, retry_after=timedelta(hours=6)),
    30027: Fault(kind=FaultKind.RATE_LIMITED, retry_after=timedelta(hours=6)),
    # refused for now
    **dict.fromkeys((20409, 21702, 30003, 30008, 30017, 30020, 30036, 30450), TRANSIENT),
    # may have been accepted or delivered
    **dict.fromkeys((20500, 20503, 30410), AMBIGUOUS),
    # the person
    21610: OPTED_OUT,
    **dict.fromkeys((21211, 21614, 30005, 30006), BAD_ADDRESS),
    # this message. 21408: the account may not send to that region, but everyone else can be reached. What 21635, 21640,
    # 30453 and 30485 mean exactly is UNCONFIRMED
    **dict.fromkeys((20001, 20422, 21214, 21217, 21266, 21408, 21602, 21604, 21612, 21617, 21618, 21619), PERMANENT),
    **dict.fromkeys((21620, 21623, 21624, 21635, 21640, 21654, 21655, 21656), PERMANENT),
    **dict.fromkeys((30004, 30007, 30010, 30011, 30019, 30045, 30400, 30453, 30485), PERMANENT),
    **dict.fromkeys((35111, 35114, 35115, 35117, 35118, 60410, 90007), PERMANENT),
}


def fault_of_answer(code: int | None, status: int) -> Fault:
    """The meaning of a refused request. A 429 was never processed; any 5xx may have been."""
    if status == 429 and (code is None or FAULTS.get(code, PERMANENT).kind is not FaultKind.RATE_LIMITED):
        return RATE_LIMITED
    if status >= 500:
        return AMBIGUOUS
    return FAULTS[code] if code in FAULTS else faults.of_status(status)


def fault_of_report(code: int | None) -> Fault:
    """The meaning of a failure reported later. What is unknown deserves another try."""
    return TRANSIENT if code is None else FAULTS.get(code, TRANSIENT)
