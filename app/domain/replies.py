"""What is answered to STOP, START and HELP, and for how long an answer still makes sense."""

from collections.abc import Mapping
from datetime import timedelta

from app.domain.keywords import Keyword
from app.domain.status import SuppressionReason

# Brand and how to stop, in letters of the GSM alphabet, so that an SMS of it is a single one.
HELP = {
    "en": "{brand}: you get these messages because you agreed to them. To get no more, reply STOP.",
    "pt": "{brand}: recebe estas mensagens porque deu o seu consentimento. Para parar, responda STOP.",
    "es": "{brand}: recibe estos mensajes porque dio su consentimiento. Para no recibirlos, responda STOP.",
    "fr": "{brand} : vous recevez ces messages car vous y avez consenti. Pour ne plus en recevoir, répondez STOP.",
}
# An answer goes also to who has opted out, because that person has just asked. Later it is a message like any other.
# A confirmation of STOP is presumed prompt within five minutes (47 CFR 64.1200(a)(12)).
ANSWER_WITHIN: Mapping[Keyword, timedelta] = {
    Keyword.STOP: timedelta(minutes=5),
    Keyword.START: timedelta(hours=1),
    Keyword.HELP: timedelta(hours=1),
}
# The same keyword again, from the same person on the same channel, gets no second answer for this long: one STOP is
# confirmed once, and two machines that send each other HELP come to rest.
ANSWER_AGAIN_AFTER: Mapping[Keyword, timedelta] = {
    Keyword.STOP: timedelta(days=1),
    Keyword.START: timedelta(hours=1),
    Keyword.HELP: timedelta(minutes=1),
}
# The person's own no. Whoever bounced, or was suppressed by hand, gets no answer either.
OWN_WORD = frozenset({SuppressionReason.STOP, SuppressionReason.UNSUBSCRIBE, SuppressionReason.COMPLAINT})


def reply_to(keyword: Keyword, own: Mapping[Keyword, str], *, brand: str, lang: str) -> str:
    """The tenant's text, else for HELP the usual one in the contact's language; empty when nothing is answered."""
    if keyword in own:
        return own[keyword]
    if keyword is not Keyword.HELP:
        return ""
    return HELP.get(lang[:2].lower(), HELP["en"]).format(brand=brand)
