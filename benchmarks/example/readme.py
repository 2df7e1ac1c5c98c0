"""Writes the parts of the README and of the organism's card that hold numbers.

    python benchmarks/example/readme.py [RUN]

The matrix comes from `matrix.json` beside this file (RUN replaces it), the gates' numbers from
`gates.json` there (`mooring gates --corpus-seed 1 --out FOLDER` writes it), the paper's numbers
beside ours from `reproduction.json` there (`mooring reproduce --out FOLDER`), the findings from
`benchmarks/findings.json`, which `mooring organism verify --record` writes.
"""

from __future__ import annotations

import io
import re
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rich.console import Console

from benchmarks import verify
from benchmarks.example import paper
from benchmarks.findings import ROLES, Finding, Outcome
from benchmarks.gates.files import RESULT as GATES
from benchmarks.gates.results import GateResult, Line
from benchmarks.report import files, terminal
from benchmarks.report.phrasing import interval_text, percent
from benchmarks.report.reproduction import RESULT as PAPER
from benchmarks.reproduction import Reproduction

_ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = Path(__file__).resolve().parent
NOT_RUN = (
    "On worlds 3 to 7, which nobody designed on, the findings are not run yet; "
    "`mooring organism verify` runs them."
)
DIFFERING = "AOA rows, 10 epochs"
"""The rate that shows how much worlds differ."""


def matrix() -> str:
    """The example's matrix as it stands in a terminal."""
    console = Console(file=io.StringIO(), width=80, color_system=None)
    terminal.show(files.load(EXAMPLE), console)
    assert isinstance(console.file, io.StringIO)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    return "```text\n" + re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n```"


def summary(found: verify.Verified) -> str:
    """How many findings of each role held, and which did not."""
    lines = []
    for role, meaning in ROLES.items():
        of_role = [finding for finding in found.findings if finding.role == role]
        held = [finding for finding in of_role if found.outcomes[finding.id].held]
        lines.append(f"- **{len(held)} of {len(of_role)}** {role} ({meaning})")
    worlds = f"{found.worlds[0]} to {found.worlds[-1]}"
    by_world = ", ".join(map(percent, found.by_world[DIFFERING].values()))
    return (
        f"On worlds {worlds}, {found.seeds} seeds each, so many findings held:\n\n"
        + "\n".join(lines)
        + f"\n\nWorlds differ more than anything else does: {DIFFERING}, gave {by_world} % there.\n"
        "Every finding with its number stands in [the card](targets/organism/card.md), those that\n"
        "failed included; `mooring organism verify` measures them again."
    )


def table(found: verify.Verified) -> str:
    """Every finding with its role, number, interval, and whether it held."""
    lines = ["| role | finding | stands for | number | |", "|---|---|---|---|---|"]
    for role in ROLES:
        for finding in found.findings:
            if finding.role == role:
                lines.append(_line(finding, found.outcomes[finding.id]))
    return "\n".join(lines)


def rates(found: verify.Verified) -> str:
    """Rates beside the findings, by variant."""
    span = f"greedy, worlds {found.worlds[0]} to {found.worlds[-1]}"
    lines = [f"| share of 5s, % | {' | '.join(verify.VARIANTS)} | {span} |"]
    lines.append("|---" * (2 + len(verify.VARIANTS)) + "|")
    for name, by_variant in found.rates.items():
        cells = [interval_text(by_variant[variant]) for variant in verify.VARIANTS]
        cells.append(", ".join(map(percent, found.by_world[name].values())))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def gates(found: GateResult) -> str:
    """What the provider's first gate stops, beside the best of what it is made of."""
    best: dict[str, Line] = {}
    for line in sorted(found.lines, key=lambda line: line.detection or (0.0, 0.0, 0.0)):
        best[line.name if line.kind == "combination" else line.kind] = line
    hostile = sum(family.uploads for family in found.families)
    heads = ("% of uploads stopped [95 %]", "benign", "hostile", "of families not fitted on", "s")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    shown = sorted(best.values(), key=lambda line: -(line.detection or (0.0,))[0])
    for line in shown:
        told = (line.false_alarm_rate, line.detection, line.unseen)
        seconds = "" if line.seconds is None else f"{line.seconds:.2g}"
        cells = [f"`{line.name}`", *(interval_text(one) for one in told), seconds]
        lines.append(f"| {' | '.join(cells)} |")
    all_ = next(line for line in found.lines if line.name == "all")
    by_share = sorted(all_.by_family.items(), key=lambda item: item[1].hits / item[1].n)
    worst = ", ".join(f"`{name}` {one.hits} of {one.n}" for name, one in by_share[:3])
    gained = ", ".join(f"{interval_text(gain)} more than `{name}`"
                       for name, gain in found.gains.items())  # fmt: skip
    return (
        f"Of {found.benign} benign and {hostile} hostile uploads of {len(found.families)} families "
        "of the organism's world,\nwhich neither fitting nor any choice of ours had seen, at a "
        f"nominal {found.nominal:.0%} of false alarms:\n\n"
        + "\n".join(lines)
        + f"\n\nPaired over families, in points, `all` stops {gained}.\n"
        f"It stops least of: {worst}. An upload takes so many seconds of processor time."
    )


def _line(finding: Finding, outcome: Outcome) -> str:
    value, low, high = outcome.number
    number = f"{value:.2f} [{low:.2f}, {high:.2f}]"
    held = "held" if outcome.held else "**not held**"
    return f"| {finding.role} | {finding.statement} | {finding.paper} | {number} | {held} |"


def filled(text: str, name: str, content: str) -> str:
    """The text with the part between its marks replaced."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
    replaced, n = re.subn(
        pattern, lambda m: f"{m[1]}{content}\n{m[2]}", text, count=1, flags=re.DOTALL
    )
    if n != 1:
        raise SystemExit(f"there is no place for {name!r}")
    return replaced


def pages() -> dict[Path, str]:
    """Every generated page, as it should read."""
    readme, card = _ROOT / "README.md", _ROOT / "targets" / "organism" / "card.md"
    texts = {readme: filled(readme.read_text(), "matrix", matrix())}
    measured = GateResult.model_validate_json((EXAMPLE / GATES).read_bytes())
    texts[readme] = filled(texts[readme], "gates", gates(measured))
    reproduced = Reproduction.model_validate_json((EXAMPLE / PAPER).read_bytes())
    texts[readme] = filled(texts[readme], "paper", paper.summary(reproduced))
    texts[EXAMPLE / "paper.md"] = paper.page(reproduced)
    if not verify.RECORDED.is_file():
        return {readme: filled(texts[readme], "findings", NOT_RUN)}
    found = verify.recorded()
    texts[readme] = filled(texts[readme], "findings", summary(found))
    texts[card] = filled(card.read_text(), "findings", f"{table(found)}\n\n{rates(found)}")
    return texts


def main(arguments: list[str]) -> None:
    """Write the pages; a run given becomes the example first."""
    if arguments:
        EXAMPLE.mkdir(exist_ok=True)
        for name in (files.MATRIX, files.RUN):
            shutil.copyfile(Path(arguments[0]) / name, EXAMPLE / name)
    for path, text in pages().items():
        path.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
