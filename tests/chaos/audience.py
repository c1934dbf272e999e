"""Who is written to: made here, with what each person allowed, so that the judge need not ask Relay."""

from dataclasses import dataclass

COLUMNS = "phone,email,first_name,consent_whatsapp,consent_sms,consent_email"
# What twenty people in a row allow: nobody asked, all refused, everything, one channel alone.
ANSWERS = [",,", "no,no,no", *["yes,yes,yes"] * 7, *["no,yes,"] * 5, *[",,yes"] * 2, *["yes,,"] * 4]
CHANNELS = ("whatsapp", "sms", "email")


@dataclass(frozen=True)
class Person:
    phone: str
    email: str
    allowed: tuple[str, ...]  # channels, in the order of the campaign

    def address(self, channel: str) -> str:
        return self.email if channel == "email" else self.phone


def make(count: int) -> list[Person]:
    return [
        Person(f"+35191{number:07d}", f"person{number}@example.com", _allowed(ANSWERS[number % len(ANSWERS)]))
        for number in range(count)
    ]


def _allowed(answers: str) -> tuple[str, ...]:
    return tuple(channel for channel, word in zip(CHANNELS, answers.split(","), strict=True) if word == "yes")


def as_csv(people: list[Person]) -> str:
    """The file that is imported."""
    lines = [COLUMNS]
    for number, person in enumerate(people):
        lines.append(f"{person.phone},{person.email},Ana,{ANSWERS[number % len(ANSWERS)]}")
    return "\n".join(lines) + "\n"
