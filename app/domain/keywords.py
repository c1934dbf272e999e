"""STOP, START and HELP in English, Portuguese, Spanish and French.

Only a whole message is a keyword, and lists are matched exactly: in Spanish ALTO (stop) and ALTA (subscribe) differ in
one letter. YES, SI, SIM and OUI are not here: whether they subscribe depends on what was asked.
"""

import re
import unicodedata
from enum import StrEnum


class Keyword(StrEnum):
    STOP = "stop"
    START = "start"
    HELP = "help"


# stored as `normalize` leaves them: case-folded, without diacritics, words joined by one space
STOP = """
stop|stopall|stop all|end|cancel|unsubscribe|quit|revoke|optout|opt out|remove|td
parar|pare|sair|cancelar|remover|anular|descadastrar|desinscrever|nao receber
alto|baja|salir|detener|fin|no mas
arret|arrett|arrete|arreter|desabonner|desabonnement|desinscrire|annuler
"""
START = """
start|unstop|iniciar|comecar|voltar|ativar|aderir|comenzar|alta|activar|reanudar
demarrer|reprendre|debut|abonner
"""
HELP = "help|info|ajuda|ayuda|aide"
# a polite stop is still a stop: these may stand around the keyword
POLITE = re.compile(
    r"(?:^|(?<= ))(?:please|pls|thanks|thank you|por favor|obrigado|obrigada|gracias|merci|s'il vous plait|svp)(?= |$)"
)


def _words(table: str) -> frozenset[str]:
    return frozenset(word for line in table.split("\n") for word in line.split("|") if word)


TABLES = ((Keyword.STOP, _words(STOP)), (Keyword.START, _words(START)), (Keyword.HELP, _words(HELP)))
LONGEST = 60  # of a message that may be a keyword


def classify(text: str) -> Keyword | None:
    """The keyword that the whole message is, or None. In doubt between two, STOP wins."""
    if len(text) > LONGEST:
        return None
    words = normalize(text)
    for candidate in (words, _trim(" ".join(POLITE.sub(" ", words).split()))):
        for keyword, table in TABLES:
            if candidate in table:
                return keyword
    return None


def normalize(text: str) -> str:
    """Compatibility forms, case, diacritics, invisible characters and whatever stands around the words removed."""
    text = unicodedata.normalize("NFKC", text)
    text = "".join(" " if char.isspace() else char for char in text if char.isspace() or _is_visible(char))
    text = unicodedata.normalize("NFKD", _trim(text).casefold())
    text = "".join(char for char in text if not unicodedata.combining(char))
    return " ".join(text.replace("-", " ").replace("’", "'").split())


def _is_visible(char: str) -> bool:
    return unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn")


def _trim(text: str) -> str:
    """Without punctuation, quotes, symbols (emoji), marks and space at either end."""
    start, end = 0, len(text)
    while start < end and unicodedata.category(text[start])[0] in "PSZM":
        start += 1
    while end > start and unicodedata.category(text[end - 1])[0] in "PSZM":
        end -= 1
    return text[start:end]
