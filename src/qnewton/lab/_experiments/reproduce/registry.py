"""The evaluations by name, and the options that act on each."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from ...._core.suggest import unknown
from .base import Evaluation
from .gate_times import EVALUATION as GATE_TIMES
from .inversion_time import EVALUATION as INVERSION_TIME
from .kappa_share import EVALUATION as KAPPA_SHARE
from .language import BERT, GPT
from .options import SIZES, Reproduction
from .sweeps import KEEP, REGULARISATION
from .training_time import EVALUATION as TRAINING_TIME

EVALUATIONS: dict[str, Evaluation] = {
    one.name: one for one in (INVERSION_TIME, TRAINING_TIME, BERT, GPT, KAPPA_SHARE, GATE_TIMES, KEEP, REGULARISATION)
}
"""In the order of the report."""
ALL = "all"
# They act wherever something is predicted, and on provenance.
_COMMON = {"size", "seed", "gate_time_s", "hardware", "precision", "inversion.measured"}


def chosen_by(name: str) -> list[Evaluation]:
    """One evaluation, or all of them.

    Raises:
        ValueError: for an unknown name, with the nearest one.
    """
    if name == ALL:
        return list(EVALUATIONS.values())
    if name not in EVALUATIONS:
        raise ValueError(unknown("figure", name, [*EVALUATIONS, ALL]))
    return [EVALUATIONS[name]]


def check_read(name: str, options: Reproduction) -> None:
    """Refuse an option that nothing in the evaluation reads, since it would have no effect.

    Raises:
        ValueError: with the figures that read it.
    """
    read = _COMMON.union(*(one.reads for one in chosen_by(name)))
    for option, value in _changed(options):
        if not _is_read(option, read):
            readers = [one.name for one in EVALUATIONS.values() if _is_read(option, one.reads)]
            shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
            raise ValueError(
                f"--{option.replace('_', '-')} is {shown}, and {name} does not read it: omit it, or reproduce "
                f"{' or '.join(readers)}, which {'does' if len(readers) == 1 else 'do'}"
            )


def _is_read(option: str, read: Sequence[str] | set[str]) -> bool:
    return option in read or option.partition(".")[0] in read


def _changed(options: Reproduction) -> list[tuple[str, Any]]:
    """The options that differ from their size's, by dotted name."""
    start, found = SIZES[options.size], []
    for field in dataclasses.fields(options):
        value, was = getattr(options, field.name), getattr(start, field.name)
        if not dataclasses.is_dataclass(value):
            found += [(field.name, value)] if value != was else []
            continue
        for inner in dataclasses.fields(value):
            new = getattr(value, inner.name)
            if new != getattr(was, inner.name):
                found.append((f"{field.name}.{inner.name}", new))
    return found
