"""What came of a case, and whether an exception is one of ours with a sentence or one from below."""

import dataclasses
import linecache
import traceback
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import qnewton

RIGHT, FLAGGED, REFUSED, SILENT, DEEP = "right", "flagged", "refused", "silent", "deep"
_PACKAGE = str(Path(qnewton.__file__).resolve().parent)


class UserError(Exception):
    """What a model of ours raises on purpose: it has to arrive as it is."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One case.

    Attributes:
        index: within the family; with the seed it gives the case.
        kind: what faults are counted by.
        verdict: `right`; `flagged`, by a status; `refused`, by an exception of ours; `silent`, wrong and not flagged;
            `deep`, an error from below our code.
        expected: whether a float64 oracle solves it within what the width can carry, so that refusing it is wrong.
        note: figures, or the exception.
    """

    family: str
    index: int
    kind: str
    verdict: str
    expected: bool
    note: str = ""


def of_exception(error: Exception) -> tuple[str, str]:
    """`refused` for an exception that our code raises with a sentence, `deep` for any other; and what to report."""
    frames = traceback.extract_tb(error.__traceback__)
    text = " ".join(str(error).split())
    note = f"{type(error).__name__}: {text[:160]}"
    if not frames:
        return DEEP, note
    last = frames[-1]
    line = linecache.getline(last.filename, last.lineno or 0).strip()
    in_package = str(Path(last.filename).resolve()).startswith(_PACKAGE)
    told = isinstance(error, ValueError | TypeError | MemoryError) and len(text.split()) >= 5
    if in_package and line.startswith("raise") and told:
        return REFUSED, note
    return DEEP, f"{note} (raised at {Path(last.filename).name}:{last.lineno})"


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The counts of the last line: `right_share` is of what the oracle solves, and so is `false_refusals_share`."""
    verdicts = Counter(outcome.verdict for outcome in outcomes)
    solvable = [outcome for outcome in outcomes if outcome.expected]
    of_solvable = Counter(outcome.verdict for outcome in solvable)
    return {
        "cases": len(outcomes),
        "silent": verdicts[SILENT],
        "deep": verdicts[DEEP],
        "flagged": verdicts[FLAGGED] + verdicts[REFUSED],
        "right": verdicts[RIGHT],
        "false_refusals": of_solvable[REFUSED],
        "solvable": len(solvable),
        "right_share": of_solvable[RIGHT] / max(1, len(solvable)),
        "false_refusals_share": of_solvable[REFUSED] / max(1, len(solvable)),
    }


def faults_by_kind(outcomes: Sequence[Outcome]) -> list[str]:
    """A line per kind and fault: how many, of how many, and the first example."""
    totals = Counter(outcome.kind for outcome in outcomes)
    found: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.verdict in (SILENT, DEEP):
            found[outcome.kind, outcome.verdict.upper()].append(outcome)
        elif outcome.expected and outcome.verdict != RIGHT:
            found[outcome.kind, f"{outcome.verdict}, though solvable"].append(outcome)
    return [
        f"{verdict:26s} {len(cases):4d}/{totals[kind]:<4d} {kind}: e.g. {cases[0].family}:{cases[0].index}  "
        f"{cases[0].note}"
        for (kind, verdict), cases in sorted(found.items(), key=lambda item: (item[0][1], item[0][0]))
    ]
