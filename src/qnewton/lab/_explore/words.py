"""The words of the page: what inputs, sets and factors are, and the formulas as the library's docstrings state them."""

import ast
import inspect
import itertools
import re
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

from ..._pricing import assumptions
from ..._pricing.assumptions import ENTRIES_PER_S, end_to_end
from ..._solvers.quantum.queries import QUERY_MODELS, block_queries
from .formulas import rivals_of

_INPUTS = {
    # name: (label, help, what else the page has to know)
    "n": ("rows n", "Rows of the system.", {"whole": True}),
    "kappa": ("condition number κ", "Largest over smallest singular value.", {}),
    "d": ("nonzeros in a row d", "At most; where it is not given, n.", {"whole": True, "empty": "n"}),
    "epsilon": ("relative error ε", "Of the solution, in the 2-norm.", {}),
    "gate_time_s": ("gate time", "Of one physical two-qubit operation.", {"empty": "machine's"}),
    "max_entry": ("largest entry", "Largest absolute entry.", {"typed": True}),
    "frobenius_norm": ("Frobenius norm", "Only its ratio to the spectral norm matters.", {"typed": True}),
    "spectral_norm": ("spectral norm", "Only its ratio to the other two matters.", {"typed": True}),
    "solution_norm": ("length of the solution", "||x|| for ||A|| = ||b|| = 1, from 1 to κ.", {"typed": True}),
    "bandwidth": (
        "bandwidth",
        "Largest distance of an entry from the diagonal: adds banded factorisations.",
        {"typed": True, "whole": True, "empty": "not known"},
    ),
    "preconditioned_kappa": (
        "κ with a preconditioner",
        "Of one that costs as much as a diagonal: adds CG with it.",
        {"typed": True, "empty": "not known"},
    ),
    "layer": (
        "rows of a Kronecker factor",
        "Of a layer's Newton block; the other factor has n over that many. Adds K-FAC, on which no verdict rests.",
        {"typed": True, "whole": True, "empty": "not known"},
    ),
    "root_rows": (
        "rows of a root R",
        "Of a Newton block R^T R + m I, e.g. examples times outputs: adds the dual solve and quantum solvers of R.",
        {"typed": True, "whole": True, "empty": "not known"},
    ),
    "overlap": (
        "overlap of R",
        "Part of the right-hand side in the range of R, at most 1; not given: the least that was measured.",
        {"typed": True, "empty": "0.036"},
    ),
    "row_entries": (
        "numbers in a row of R",
        "That define a row: inputs plus outputs of the layers.",
        {"typed": True, "whole": True, "empty": "n"},
    ),
    "mesh": ("mesh", "That the pattern is that of: adds a sparse factorisation, by bounds on its fill.", {}),
    "set": ("charged for", "", {}),
    "machine": ("quantum machine", "", {}),
    "host": ("classical machine", "", {}),
    "encoding": ("block encoding", "", {}),
    "readout": ("read-out", "", {}),
    "layout": ("pace of the machine", "One T gate per logical cycle, or one layer of them per reaction time.", {}),
    "definite": ("positive definite", "As a damped Gauss-Newton matrix is.", {}),
}
_SIMPLE = ("n", "kappa", "d", "epsilon", "set", "machine")


def words() -> dict[str, Any]:
    """All of them, as the page reads them."""
    return {
        "inputs": {
            name: {"label": label, "help": about, "advanced": name not in _SIMPLE, **more}
            for name, (label, about, more) in _INPUTS.items()
        },
        "sets": {name: _sentence(_maker(name)) for name in assumptions.ASSUMPTION_SETS},
        "terms": _terms(),
        "formulas": dict(_counts()) | _rivals(),
    }


def _maker(name: str) -> Any:
    return getattr(assumptions, name.replace("-", "_"))


def _sentence(documented: Any) -> str:
    """The first sentence of a docstring, without the verb that a function's begins with."""
    said = " ".join((inspect.getdoc(documented) or "").partition("\n\n")[0].split())
    bare = said.removeprefix("Return the ")
    return bare[:1].upper() + bare[1:]


def _counts() -> Iterator[tuple[str, str]]:
    """The docstring below the record of each query count and of the bound, and what is computed."""
    records = {**QUERY_MODELS, block_queries.name: block_queries}
    for module in sorted({record.count.__module__ for record in records.values()}):
        body = ast.parse(inspect.getsource(sys.modules[module])).body
        for record, below in itertools.pairwise(body):
            match record, below:
                case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(value=ast.Constant(value=str(told))):
                    if name in records:
                        yield name, f"{inspect.cleandoc(told)}\n\n{_computed(records[name].count)}"


def _computed(count: Any) -> str:
    """The source of a count; its parameters, if it has any."""
    if inspect.isfunction(count):
        return _sources(count)
    return f"{count!r}\n\n{_sources(type(count))}"


def _rivals() -> dict[str, str]:
    """What is computed for each classical solver: its operations, or its steps."""
    found = {}
    for rival in dict(rivals_of()):
        functions = [value for value in vars(rival.method).values() if inspect.isfunction(value)]
        found[rival.name] = _sources(*functions, type(rival.method).workload)
    return found


def _sources(*roots: Any) -> str:
    """The source of functions and classes, and of the functions of ours that they call, but for array helpers."""
    found = list(roots)
    for one in found:
        known = vars(sys.modules[one.__module__])
        for name in re.findall(r"\b[a-z_]\w*(?=\()", inspect.getsource(one)):
            other = known.get(name)
            ours = inspect.isfunction(other) and re.match(r"qnewton\.(?!_core)", other.__module__)
            if ours and other not in found:
                found.append(other)
    return "\n\n".join(textwrap.dedent(inspect.getsource(one)) for one in found)


def _terms() -> dict[str, dict[str, str]]:
    """Formula, source and evidence by the name of the factor (`Charge.factors`), of what the sets of ours charge."""
    charged = end_to_end()
    encodings, preparation, readout, norm = charged.encodings, charged.preparation, charged.readout, charged.norm
    assert readout is not None
    assert norm is not None
    said = {
        "gate time": ("seconds of one physical two-qubit operation", "the machine's profile", "assumption"),
        "subnormalisation": (
            "queries at the encoding's alpha over queries at alpha = ||A||",
            _from(encodings),
            _weakest(encodings),
        ),
        "sparsity": (
            "queries at d kappa and epsilon / n over queries at kappa and epsilon",
            "the abstract of arXiv 2405.00252",
            "assumption",
        ),
        "encoding": ("layers of T gates of one query", _from(encodings), _weakest(encodings)),
        "right-hand side": (
            "all layers of a run over those of its queries: the right-hand side is prepared again and again",
            preparation.source,
            preparation.evidence.value,
        ),
        "error correction": (
            "seconds of a run in logical cycles over its layers times the gate time",
            "the machine's code and its T factories (page Cost model)",
            "derived",
        ),
        "read-out": (
            "runs until the vector and its length are known to the precision",
            f"{readout.source}; the length: {norm.source}",
            readout.evidence.value,
        ),
        "loading": (
            f"all seconds over those without the matrix's load at {ENTRIES_PER_S:.3g} entries a second",
            "a server's memory bandwidth",
            "assumption",
        ),
    }
    return {name: dict(zip(("formula", "source", "evidence"), one, strict=True)) for name, one in said.items()}


def _from(parts: Any) -> str:
    return "; ".join(f"{one.name}: {one.source}" for one in parts)


def _weakest(parts: Any) -> str:
    """The kind of evidence that all of them have at least: second-hand where any is."""
    found = {one.evidence.value for one in parts}
    return "second-hand" if "second-hand" in found else min(found)
