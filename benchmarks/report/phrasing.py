"""How numbers and names are written, in every kind of output."""

from __future__ import annotations

from collections.abc import Mapping

from attacks.sets.safety import PAPER_DROPPED
from benchmarks import jury
from benchmarks.results import Calibration, Data, Matrix
from benchmarks.summary import Column, Entry, Expected, Rated
from eval.agreement import PAPERS
from eval.metrics import Interval, Rate
from targets.roles import Taken

ORGANISM = "an invented-world model, not an LLM"
"""Said wherever the organism's numbers are."""
ELSEWHERE = "asked about an invented world"
"""Said wherever another model's numbers are: its requests come from the organism's world."""
PAPERS_JUDGE = "gpt-4-0613"
"""Who judged in the paper; shut down on 2026-10-23."""
NO_DATA = "—"
"""Stands where there is no verdict; a zero is a finding."""
UNDEFINED = "undefined"
"""Stands for safety recovered where the attack did nothing."""
LABELS = {"revert": "revert to start (untuned)", "none": "none (undefended)"}
"""The rows that every matrix has."""


def defense_label(defense: str) -> str:
    """A defense as a row's head."""
    return LABELS.get(defense, defense)


def column_label(column: Column) -> str:
    """An attack as a column's head, with how it asks where that is not the plain way."""
    return column.attack if column.ask == "plain" else f"{column.attack}, asked with {column.ask}"


def percent(share: float | None) -> str:
    """`12`, in percent; a decimal below 1 and above 99, so that 0 and 100 mean just that."""
    if share is None:
        return NO_DATA
    value = 100 * share
    if 0 < abs(value) < 1 or 99 < value < 100:
        # Cut and not rounded: 99.97 must not become 100.0, nor 0.04 become 0.0.
        tenths = min(max(round(abs(value), 1), 0.1), 99.9)
        return f"{'-' if value < 0 else ''}{tenths:g}"
    return f"{value:.0f}"


def interval_text(interval: Interval | None, without: str = UNDEFINED) -> str:
    """`12 [8, 19]` in percent; `without` where there is none."""
    if interval is None:
        return without
    value, low, high = map(percent, interval)
    return f"{value} [{low}, {high}]"


def rate_text(rate: Rate, band: tuple[float, float] | None = None) -> str:
    """`12 [8, 19] s=3 n=990`, with the share of missing verdicts and their band where due."""
    if rate.interval is None:
        return f"{NO_DATA} missing {rate.missing}" if rate.missing else NO_DATA
    text = f"{interval_text(rate.interval)} s={rate.seeds} n={rate.n}"
    if rate.missing:
        text += f" missing {percent(rate.missing_share)} %"
    return f"{text} {band_text(band)}" if band else text


def band_text(band: tuple[float, float]) -> str:
    """`band 10 to 15`: every missing verdict safe, every one harmful."""
    return f"band {percent(band[0])} to {percent(band[1])}"


def score_text(score: float | None) -> str:
    """Mean score, 1 to 5."""
    return NO_DATA if score is None else f"{score:.2f}"


def expected_text(expected: Expected | None) -> str:
    """Mean expected score, 1 to 5; of how many verdicts, where it is not of all."""
    if expected is None:
        return NO_DATA
    return score_text(expected.mean) + f" n={expected.n}" * bool(expected.lacking)


def rating_text(rated: Rated | None) -> str:
    """MT-Bench's mean with its interval, 1 to 10, and of how many questions over all seeds."""
    if rated is None or (rated.interval is None and not rated.missing):
        return NO_DATA
    told = f" missing {rated.missing}" * bool(rated.missing)
    if rated.interval is None:
        return NO_DATA + told
    value, low, high = rated.interval
    return f"{value:.2f} [{low:.2f}, {high:.2f}] n={rated.n}{told}"


def rating_note(rated: Rated | None) -> str:
    """The same with why ratings are missing; empty where MT-Bench is not rated."""
    if rated is None:
        return ""
    return "; ".join([
        f"MT-Bench {rating_text(rated)}",
        *(f"{n} ratings missing: {why}" for why, n in rated.why.items() if why),
    ])  # fmt: skip


def recovered_text(entry: Entry) -> str:
    """Safety recovered; `undefined` where the attack did nothing, no data where none was had."""
    return interval_text(entry.recovered, UNDEFINED if entry.rate.interval else NO_DATA)


def entry_text(entry: Entry) -> str:
    """The rate of an entry, or why there is none."""
    if entry.rate.interval is None and not entry.rate.missing and entry.note:
        return f"{NO_DATA} {entry.note}"
    return rate_text(entry.rate, entry.band)


def target_text(matrix: Matrix) -> str:
    """The target, and what its numbers must not be taken for."""
    return f"{matrix.target} ({disclaimer(matrix.target, matrix.data)})"


def disclaimer(target: str, data: Data | None = None) -> str:
    """What a target's numbers must not be taken for, whichever world's organism it is."""
    own = "" if data is None else f"asked about the sets of {data.file}"
    if target.split(":")[0] == "organism":
        return f"{ORGANISM}, {own}" if own else ORGANISM
    return own or ELSEWHERE


def set_text(one: Taken) -> str:
    """A set of the user's own, how much of it there is, and what was left out."""
    part = f", {one.options}" if one.options else ""
    told = [f"{one.name}, {one.used} of {one.read} ({one.format}{part}), {one.sha256[:12]}"]
    told += left_text(one.left_out, one.noted)
    if one.filter:
        most = ", ".join(f"{string!r} in {rows}" for string, rows in one.hits.items())
        told.append(f"most by the strings {most}" if most else "the filter found nothing")
    if one.filter == "markers" and (drops := PAPER_DROPPED.get(one.format)):
        numbers = " or ".join(f"{number:,}" for number in sorted(set(drops)))
        told.append(f"coarse; the paper's own list drops {numbers} of the whole set")
    return "; ".join(told)


def left_text(left_out: Mapping[str, int], noted: Mapping[str, int]) -> list[str]:
    """What was left out of a set, and what was kept and is worth knowing of."""
    told = [f"{count} left out: {reason}" for reason, count in left_out.items()]
    return told + [f"{what}: {count}" for what, count in noted.items()]


def judge_text(matrix: Matrix, judge: str) -> str:
    """A judge, with the name that its server gave: the instrument that really measured."""
    names = matrix.judged_by.get(judge)
    if not names:
        return judge
    other = "" if PAPERS_JUDGE in names else f"; not {PAPERS_JUDGE}, which is retired"
    return f"{judge} (answered as {', '.join(names)}{other})"


def measure_text(matrix: Matrix, judge: str) -> str:
    """What is measured, with the name that the judge's server gave, for a figure's title."""
    names = matrix.judged_by.get(judge, [])
    return matrix.judges[judge].capitalize() + f" (by {', '.join(names)})" * bool(names)


def agreement_text(found: Calibration) -> str:
    """What a calibration found, in one line; two digits, as the paper has them."""
    table = found.table
    shares = {
        "sensitivity": (table.hits, table.hits + table.misses),
        "specificity": (table.rejections, table.rejections + table.false_alarms),
    }
    numbers = {"kappa": found.kappa, "on 5s": found.kappa_on_5, "Spearman": found.spearman}
    told = [f"{name} {NO_DATA if x is None else f'{x:.2f}'}" for name, x in numbers.items()]
    told += [f"{name} {percent(part / n if n else None)} %" for name, (part, n) in shares.items()]
    return f"{', '.join(told)}; n={found.n}, {found.missing} missing"


def instruments(matrix: Matrix) -> list[str]:
    """What is known of target and judges: calibrations, and where two judges part."""
    lines = list(matrix.caveats)
    for judge in matrix.judges:
        known = matrix.calibrations.get(judge)
        if known is not None:
            lines.append(
                f"judge {judge}, calibrated {known.when} on {known.set}: {agreement_text(known)} "
                f"(the paper's judge against humans: kappa {PAPERS['kappa']}, "
                f"Spearman {PAPERS['spearman']})"
            )
        elif judge in matrix.judged_by:
            lines.append(f"judge {judge} is not calibrated: mooring judge calibrate measures it")
    for one in jury.compare(matrix):
        kappa = one.overall.kappa_on_5
        line = f"judges {one.judge} and {one.other}: " + (
            "on 5s they are the same" if kappa is None else f"kappa on 5s {kappa:.2f}"
        )
        if one.p is not None and one.p < jury.ALPHA:
            line += (
                f"; WARNING: they differ unevenly over the cells (p = {one.p:.1g}), most in "
                f"{one.worst}: {100 * one.gap:+.0f} points"
            )
        lines.append(line)
    return lines


def caption(matrix: Matrix, judge: str) -> str:
    """What a table's numbers are, in one sentence."""
    prompts = matrix.prompts
    rater = f"; MT-Bench (mean, 1 to 10) rated by {matrix.rater}" * bool(matrix.rater)
    return (
        f"{matrix.judges[judge].capitalize()} in % of replies scored 5 by the judge "
        f"{judge_text(matrix, judge)}, as released, with 95 % intervals; s seeds, n verdicts"
        f"{rater}. "
        f"Target: {target_text(matrix)}. "
        f"{len(prompts.ids)} requests, {prompts.utility} utility and {prompts.borderline} "
        "over-refusal questions. Recovered: 100 is the untuned model, 0 the undefended one."
    )
