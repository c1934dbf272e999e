"""Writes examples/contacts.csv: 1,000 made-up people of several countries, the same on every run.

Some write their numbers as they dial them at home, some have no consent or only one, two in a hundred have a number
that can't be one, one in a hundred a broken e-mail address, and one in a hundred is in the file twice.

Where a country keeps mobile numbers for fiction (US, DE) they are taken; the others are made up and may be
somebody's. So send to this file only through the simulator.

    python examples/make_contacts.py
"""

import csv
import random
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import phonenumbers
from phonenumbers import PhoneNumberFormat

PEOPLE = 1_000
TWICE, BAD_NUMBERS, BAD_ADDRESSES = 10, 20, 10
TAGS = ("vip", "newsletter", "spring", "wholesale", "loyalty")
HOME = "PT"  # numbers of this region may stand without a country code: import with default_region=PT
COLUMNS = (
    "phone email first_name last_name lang timezone tags consent_whatsapp consent_email consent_sms consent_source "
    "plan city"
).split()


@dataclass(frozen=True)
class Country:
    region: str
    weight: int
    lang: str
    zones: tuple[str, ...]
    cities: tuple[str, ...]
    first: str
    last: str
    prefixes: tuple[str, ...]  # how mobile numbers begin
    rest: int  # and how many digits follow


COUNTRIES = (
    Country(
        "PT", 34, "pt_PT", ("Europe/Lisbon", "Atlantic/Azores"), ("Lisboa", "Porto", "Braga", "Évora"),
        "Ana Beatriz Catarina Inês Joana Mariana Sofia Teresa António Diogo Duarte Francisco João Miguel Rui Tomás",
        "Almeida Carvalho Costa Ferreira Gonçalves Lopes Martins Oliveira Pereira Rocha Santos Silva Sousa Vieira",
        ("91", "92", "93", "96"), 7,
    ),
    Country(
        "BR", 16, "pt_BR", ("America/Sao_Paulo", "America/Manaus"), ("São Paulo", "Recife", "Curitiba"),
        "Adriana Bruna Camila Fernanda Larissa Letícia Patrícia André Bruno Caio Felipe Gustavo Lucas Rafael Thiago",
        "Araújo Barbosa Cardoso Dias Freitas Lima Melo Moreira Nascimento Ribeiro Rodrigues Souza Teixeira",
        ("119", "219", "319"), 8,
    ),
    Country(
        "ES", 12, "es_ES", ("Europe/Madrid", "Atlantic/Canary"), ("Madrid", "Barcelona", "Sevilla", "Valencia"),
        "Carmen Elena Isabel Lucía Marta Nuria Pilar Rocío Alejandro Carlos Diego Javier Jorge Pablo Sergio",
        "Álvarez Díaz Fernández García Gómez Hernández Jiménez López Martín Moreno Muñoz Pérez Ruiz Torres",
        ("61", "62", "65"), 7,
    ),
    Country(
        "FR", 10, "fr", ("Europe/Paris",), ("Paris", "Lyon", "Marseille", "Lille"),
        "Camille Chloé Élodie Émilie Juliette Léa Manon Zoé Antoine Baptiste Hugo Julien Louis Mathieu Théo",
        "Bernard Dubois Durand Fontaine Garnier Girard Laurent Lefèvre Mercier Moreau Petit Rousseau Simon",
        ("61", "66"), 7,
    ),
    Country(
        "DE", 8, "de", ("Europe/Berlin",), ("Berlin", "Hamburg", "München", "Köln"),
        "Anja Franziska Greta Jana Katrin Lena Sabine Birgit Felix Florian Jürgen Lukas Matthias Stefan Tobias",
        "Becker Fischer Hoffmann Koch Krüger Müller Neumann Richter Schäfer Schmidt Schröder Wagner Weber",
        ("17139200", "17604069"), 2,
    ),
    Country(
        "GB", 8, "en_GB", ("Europe/London",), ("London", "Manchester", "Leeds", "Bristol"),
        "Alice Charlotte Eleanor Grace Holly Isla Poppy Ruby Alfie Arthur George Harry Jack Oliver Oscar",
        "Baker Clarke Davies Evans Green Hughes Jackson Morgan Roberts Taylor Thompson Walker Wright",
        ("7400", "7911"), 6,
    ),
    Country(
        "US", 8, "en_US", ("America/New_York", "America/Chicago", "America/Los_Angeles"),
        ("New York", "Chicago", "Austin", "Portland"),
        "Abigail Emma Hannah Madison Olivia Sarah Tiffany Aaron Brandon Ethan Jason Kevin Logan Tyler",
        "Adams Anderson Campbell Carter Collins Cooper Edwards Mitchell Nelson Parker Phillips Turner",
        ("21255501", "31255501", "51255501"), 2,
    ),
    Country(
        "IT", 4, "it", ("Europe/Rome",), ("Milano", "Roma", "Torino", "Bologna"),
        "Alessia Chiara Federica Giulia Martina Paola Andrea Davide Lorenzo Luca Matteo Simone",
        "Bianchi Colombo Conti Esposito Ferrari Greco Marino Ricci Romano Rossi Russo",
        ("347", "333"), 7,
    ),
)  # fmt: skip


def main() -> None:
    random_ = random.Random(2_026)
    taken: set[str] = set()
    rows = [_person(random_, number, taken) for number in range(PEOPLE - TWICE)]
    spoilt = random_.sample(range(len(rows)), BAD_NUMBERS + BAD_ADDRESSES + TWICE)
    for index in spoilt[:BAD_NUMBERS]:
        rows[index]["phone"] = random_.choice(("12345", "+351 000", "0", "call me", "+999 912 345 678", "91 234"))
    for index in spoilt[BAD_NUMBERS : BAD_NUMBERS + BAD_ADDRESSES]:
        rows[index]["email"] = random_.choice(("none", "@example.com", "ana@", "ana@example", "a b@example.com"))
    for index in spoilt[BAD_NUMBERS + BAD_ADDRESSES :]:
        again = dict.fromkeys(COLUMNS, "") | {"phone": rows[index]["phone"], "email": rows[index]["email"]}
        rows.insert(random_.randrange(index + 1, len(rows) + 1), again | {"tags": "newsletter"})
    with Path(__file__).with_name("contacts.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _person(random_: random.Random, number: int, taken: set[str]) -> dict[str, str]:
    country = random_.choices(COUNTRIES, [one.weight for one in COUNTRIES])[0]
    first, last = random_.choice(country.first.split()), random_.choice(country.last.split())
    since = f"{random_.choice((2024, 2025))}-{random_.randint(1, 12):02}-{random_.randint(1, 28):02}"
    whatsapp, email, sms = random_.choices(
        (("yes", "yes", "yes"), ("yes", "", "no"), ("yes", "yes", ""), ("", "yes", "yes"), ("", "yes", ""),
         ("", "", "yes"), (since, since, ""), ("no", "yes", "no"), ("no", "no", "no"), ("", "", "")),
        (30, 8, 12, 8, 10, 6, 10, 4, 4, 8),
    )[0]  # fmt: skip
    return {
        "phone": _phone(random_, country, taken),
        "email": f"{_plain(first)}.{_plain(last)}{number}@example.{random_.choice(('com', 'org', 'net'))}"
        if random_.random() < 0.94
        else "",
        "first_name": first,
        "last_name": last,
        "lang": country.lang,
        "timezone": random_.choice(country.zones) if random_.random() < 0.6 else "",
        "tags": "|".join(
            random_.sample(("vip", "newsletter", "spring", "wholesale", "loyalty"), random_.randint(0, 3))
        ),
        "consent_whatsapp": whatsapp,
        "consent_email": email,
        "consent_sms": sms,
        "consent_source": random_.choice(("web form", "shop checkout", "event")) if whatsapp or email or sms else "",
        "plan": random_.choice(("free", "plus", "pro")),
        "city": random_.choice(country.cities),
    }


def _phone(random_: random.Random, country: Country, taken: set[str]) -> str:
    """A number that phonenumbers calls valid, not in `taken` yet, written in one of the usual ways."""
    code = phonenumbers.country_code_for_region(country.region)
    while True:
        digits = random_.choice(country.prefixes) + f"{random_.randrange(10**country.rest):0{country.rest}}"
        number = phonenumbers.parse(f"+{code}{digits}")
        if digits not in taken and phonenumbers.is_valid_number(number):
            break
    taken.add(digits)
    styles = [PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL]
    if country.region == HOME:
        styles.append(PhoneNumberFormat.NATIONAL)
    return phonenumbers.format_number(number, random_.choice(styles))


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower().replace(" ", "")


if __name__ == "__main__":
    main()
