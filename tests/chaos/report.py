"""The result: a table per fault for people, everything for programs."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from tests.chaos.campaign import Played
from tests.chaos.faults import FAULTS
from tests.chaos.judge import Verdict

HEAD = ["fault", "runs", "lost", "duplicated", "unknown", "webhook", "look-up", "same key", "late answer",
        "held by policy", "recovered after, s: median (most)"]  # fmt: skip


BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


@dataclass
class Campaigns:
    """Everything that was played, and what could not be."""

    done: list[tuple[Played, Verdict]] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return all(verdict.ok for _, verdict in self.done)

    def rows(self) -> list[list[str]]:
        names = [name for name in FAULTS if name in self.skipped or any(self._struck(name))]
        return [self._row(name) for name in names]

    def _struck(self, name: str) -> list[Any]:
        return [struck for played, _ in self.done for struck in played.struck if struck.name == name]

    def _row(self, name: str) -> list[str]:
        struck = self._struck(name)
        if not struck:
            return [FAULTS[name].what, f"skipped: {self.skipped[name]}", *[""] * (len(HEAD) - 2)]
        verdicts = [verdict for _, verdict in self.done]
        unknown = [one for verdict in verdicts for one in verdict.unknown if one.fault == name]
        how = Counter(one.resolved for one in unknown)
        seconds = [one.recovered_seconds for one in struck if one.recovered_seconds is not None]
        recovered = f"{median(seconds):.1f} ({max(seconds):.1f})" if seconds else "nothing was left to send"
        lost = sum(item.get("fault") == name for verdict in verdicts for item in verdict.lost)
        twice = sum(item.get("fault") == name for verdict in verdicts for item in verdict.duplicated)
        counts = [len(struck), lost, twice, len(unknown), *(how[word] for word in HEAD[5:10])]
        return [FAULTS[name].what, *map(str, counts), recovered]

    def markdown(self) -> str:
        lines = [f"| {' | '.join(cells)} |" for cells in [HEAD, ["---"] * len(HEAD), *self.rows()]]
        return "\n".join(lines) + "\n" + "".join(f"\n{sentence}\n" for sentence in self.sentences())

    def sentences(self) -> list[str]:
        """The totals, and everything that is wrong."""
        verdicts = [verdict for _, verdict in self.done]
        contacts = sum(played.plan.contacts for played, _ in self.done)
        accepted = sum(verdict.accepted for verdict in verdicts)
        totals = [
            f"{len(self.done)} campaigns, {contacts:,} contacts, {accepted:,} messages accepted by the simulator; "
            f"lost {sum(len(v.lost) for v in verdicts)}, duplicated {sum(len(v.duplicated) for v in verdicts)}, "
            f"sent to people who may not be written to {sum(len(v.forbidden) for v in verdicts)}, "
            f"unknown {sum(len(v.unknown) for v in verdicts)}, "
            f"other differences {sum(len(v.differences) for v in verdicts)}."
        ]
        for played, verdict in self.done:
            if not verdict.ok:
                totals.append(f"Campaign with seed {played.plan.seed} ({', '.join(s.name for s in played.struck)}):")
                wrong = [*verdict.lost, *verdict.duplicated, *verdict.forbidden, *verdict.differences]
                totals += [f"- {item}" for item in wrong[:50]]
        return totals

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "head": HEAD,
            "rows": self.rows(),
            "skipped": self.skipped,
            "campaigns": [
                {
                    "seed": played.plan.seed,
                    "variant": played.plan.variant.name,
                    "contacts": played.plan.contacts,
                    "followups": played.plan.followups,
                    "seconds": round(played.seconds, 1),
                    "faults": [asdict(struck) for struck in played.struck],
                    "counts": played.campaign["counts"],
                    **verdict.as_json(),
                }
                for played, verdict in self.done
            ],
        }

    def publish(self, page: Path) -> None:
        """Put the table in place of the one between the page's marks."""
        before, _, rest = page.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        page.write_text(f"{before}{BEGIN}\n{self.markdown()}{END}{after}")

    def write(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "chaos.json").write_bytes(orjson.dumps(self.as_json(), option=orjson.OPT_INDENT_2))
        (directory / "chaos.md").write_text(self.markdown())
