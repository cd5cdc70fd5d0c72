"""The command `qnewton explore [RUN|FILE]`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from .answers import print_files, print_json
from .problem_options import ProblemOptions, numbers_of

if TYPE_CHECKING:
    from .._explore.write import Start


@dataclass(frozen=True)
class ExploreCommand:
    """Write a page on which anyone can move the numbers of a system and see who wins, by how much and why.

    It is one file with every formula in it, opens in any browser and fetches nothing. Without a system it opens with
    defaults of its own.
    """

    problem: Annotated[ProblemOptions, tyro.conf.arg(name="")] = field(default_factory=ProblemOptions)
    out: Path = Path("explore.html")
    """File to write; must not exist."""
    json: bool = False
    """Print one JSON object, and nothing else: where the page is."""


def explore(arguments: Sequence[str]) -> int:
    """Parse, write the page, and print where it is."""
    command = tyro.cli(ExploreCommand, prog="qnewton explore", args=arguments, config=(tyro.conf.OmitArgPrefixes,))
    if command.out.exists():
        raise FileExistsError(f"{command.out} exists, and nothing is ever overwritten: name another file with --out")
    from .._explore.write import write_explorer

    files = {"page": write_explorer(command.out, _start(command.problem))}
    if command.json:
        print_json({"files": files})
    else:
        print_files(files)
    return 0


def _start(options: ProblemOptions) -> "Start | None":
    """Return the numbers that the page opens with; None where none was given."""
    if options == ProblemOptions():
        return None
    from ..._pricing.plan import plan
    from ..._pricing.structure import UNKNOWN
    from .._explore.write import Start
    from .._runfile import readable

    numbers, notes = numbers_of(options)
    # Refuses what no matrix has, and says what was assumed.
    assumed = plan(**numbers, hardware=["superconducting"], assumptions=["paper"]).assumed
    known = {**vars(numbers.get("structure", UNKNOWN)), **numbers}
    left_out = sorted(numbers.keys() - {*_INPUTS, *_OF_STRUCTURE, "factor", "definite", "estimated"})
    if known["fill"] is not None:
        left_out.append("the fill of its factor")
    if left_out:
        notes = (*notes, f"{', '.join(left_out)}: not on this page, only in qnewton plan")
    settings: dict[str, float | str] = {
        name: float(known[place]) for place, name in _INPUTS.items() if known.get(place) is not None
    }
    if "factor" in numbers:
        root = numbers["factor"]
        own = {"root_rows": root.rows, "overlap": root.overlap, "row_entries": root.row_entries}
        settings |= {name: float(value) for name, value in own.items() if value is not None}
    if known["layer"] is not None:
        settings["layer"] = float(known["layer"][0])
    if "dimension" in numbers:
        settings["mesh"] = f"mesh {numbers['dimension']}"
    definite = "yes" if numbers.get("definite", True) else "no"
    label = "" if options.source is None else str(options.source)
    return Start({**settings, "definite": definite}, readable(label), tuple(map(readable, (*notes, *assumed))))


_OF_STRUCTURE = ("structure", "dimension", "layer")
_INPUTS = {
    **{name: name for name in ("n", "kappa", "epsilon")},
    "sparsity": "d",
    **{name: name for name in ("max_entry", "frobenius_norm", "spectral_norm", "solution_norm")},
    **{name: name for name in ("bandwidth", "preconditioned_kappa", "root_rows")},
}
"""Inputs of the page by the numbers of `qnewton.plan`."""
