"""The bundle: one JavaScript text that sets `globalThis.QN`, made from the library's registries."""

import functools
import itertools
import json
from pathlib import Path
from typing import Any

from ..._hardware import QuantumProfile, ReactionLimited, Sequential, load_profile, profile_names
from ..._pricing.assumptions import ASSUMPTION_SETS, Assumptions
from ..._pricing.classical import ClassicalHost
from ..._pricing.paper import ON_FACTOR, below_ends, is_count
from ..._pricing.solver import CountedSolver
from ..._pricing.split import PLACES, WAYS, can_share
from ..._solvers.quantum.encoding.square_root import SMALLEST_MEASURED_OVERLAP
from ..._solvers.quantum.queries import QUERY_MODELS, Unit, block_queries
from . import meta
from .emit import Script
from .formulas import (
    MISSING,
    NORMS,
    SYSTEM,
    Formula,
    bound_formula,
    charge_formula,
    classical_formula,
    count_formula,
    encoding_formula,
    least_formula,
    machine_formula,
    numbers_formula,
    part_formula,
    possible_formula,
    readout_formula,
    readouts_of,
    rivals_of,
    root_formula,
)

LAYOUTS = (Sequential(), ReactionLimited())
_RUNTIME = Path(__file__).parent / "runtime"


@functools.cache
def bundle() -> str:
    """Return the text; it defines `QN.functions`, `QN.point`, `QN.map` and `QN.meta` (see docs/explore.md)."""
    made = _Bundle()
    parts = [
        made.counts(),
        made.charges(),
        made.bounds(),
        made.parts(),
        made.machines(),
        made.classical(),
        made.numbers(),
        made.single(),
    ]
    scripts = ("prices", "point", "map", "share")
    runtime = "".join((_RUNTIME / f"{name}.js").read_text(encoding="utf-8") for name in scripts)
    data = json.dumps(made.data, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    about = json.dumps(meta.meta(), separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return (
        f'(()=>{{"use strict";{made.script.text}{"".join(parts)}const data={data};\n{runtime}'
        f"globalThis.QN={{functions,point,map,mapper,meta:{about}}};}})();\n"
    )


class _Bundle:
    """Compiled functions, with what the runtime must know of them in `data`."""

    def __init__(self) -> None:
        self.script = Script()
        self.data: dict[str, Any] = {
            "system": SYSTEM,
            "norms": NORMS,
            "missing": MISSING,
            "root": {"suffix": ON_FACTOR, "overlap": SMALLEST_MEASURED_OVERLAP},
            "layouts": [layout.name for layout in LAYOUTS],
        }
        self.alone: dict[str, list[Formula]] = {}

    def function(self, formula: Formula) -> str:
        return self.script.share(self.script.function(formula.graph), "f")

    def seconds(self, formula: Formula, name: str = "seconds") -> str:
        """Seconds alone, without arrays for anything else: a map needs no more, and takes half of the time."""
        return self.script.share(self.script.function(formula.graph.only(name)), "f")

    def counts(self) -> str:
        models, rows, of_root = [], [], []
        for model in QUERY_MODELS.values():
            pair = [count_formula(model, known=known) for known in (False, True)]
            self.alone[f"count/{model.name}"] = pair
            root = count_formula(model, rectangular=True)
            of_root.append(self.function(root) if model.rectangular else "null")
            models.append(
                {
                    "name": model.name,
                    "source": model.source,
                    "evidence": model.evidence.value,
                    "proven": meta.is_proven(model),
                    "counts": is_count(model.evidence),
                    "definite": meta.needs_definite(model),
                    "sparse": model.unit is Unit.SPARSE_ACCESS,
                    "shared": can_share(model),
                    "words": [formula.words for formula in pair],
                    "root_words": root.words if model.rectangular else None,
                    "notes": meta.notes_of(model),
                }
            )
            rows.append(_array(self.function(formula) for formula in pair))
            self.data["broken_count"] = pair[0].graph.outputs.index("broken")
        self.data["models"] = models
        return f"const COUNTS={_array(rows)},ROOT_COUNTS={_array(of_root)};\n"

    def charges(self) -> str:
        self.data["sets"], rows, seconds, roots, root_seconds = [], [], [], [], []
        for assumed in ASSUMPTION_SETS.values():
            readouts = list(readouts_of(assumed))
            of_root = [root_formula(assumed, readout) for readout in readouts]
            roots.append(_array(map(self.function, of_root)))
            root_seconds.append(_array(map(self.seconds, of_root)))
            own, words, alone = [], [], []
            for readout in readouts:
                formulas = [
                    [charge_formula(assumed, one, readout, known=known) for known in (False, True)]
                    for one in assumed.encodings
                ]
                self.data["charged"] = formulas[0][0].graph.outputs
                own.append([_array(self.function(formula) for formula in pair) for pair in formulas])
                alone.append(_array(_array(self.seconds(formula) for formula in pair) for pair in formulas))
                words.append([[formula.words for formula in pair] for pair in formulas])
            # Of encodings that are charged alike the first one answers.
            different = [place for place, text in enumerate(own[0]) if text not in own[0][:place]]
            self.data["sets"].append(
                {
                    **_switches(assumed),
                    "words": words,
                    "root_words": [formula.words for formula in of_root],
                    "readouts": ["none" if one is None else one.name for one in readouts],
                    "encodings": [{"name": one.name} for one in assumed.encodings],
                    "dense": different,
                    "sparse": _sparse_places(assumed, different),
                }
            )
            rows.append(_array(_array(of_readout) for of_readout in own))
            seconds.append(_array(alone))
        self.data["factors"] = [name.removeprefix("factor ") for name in _ordered_factors(self.data["charged"])]
        charged = f"const CHARGES={_array(rows)},SECONDS={_array(seconds)},"
        return f"{charged}ROOTS={_array(roots)},ROOT_SECONDS={_array(root_seconds)};\n"

    def bounds(self) -> str:
        """What no quantum solver undercuts under each set: by any encoding, then by the set's own."""
        rows, seconds, roots, root_seconds = [], [], [], []
        for assumed in ASSUMPTION_SETS.values():
            own = assumed.encodings if assumed.subnormalisation or assumed.encoding_gates else ()
            formulas = [bound_formula(assumed, one) for one in (None, *own)]
            self.data["bounded"] = formulas[0].graph.outputs
            rows.append(_array(self.function(formula) for formula in formulas))
            seconds.append(self.seconds(formulas[0]))
            formulas = [bound_formula(assumed, one, root=True) for one in (None, *own[:1])]
            roots.append(_array(self.function(formula) for formula in formulas))
            root_seconds.append(self.seconds(formulas[0]))
        bound = block_queries
        least = least_formula(bound)
        self.alone[f"least/{bound.name}"] = [least]
        self.data["bound"] = {"name": bound.name, "source": bound.source, "evidence": bound.evidence.value}
        bounded = f"BOUNDS={_array(rows)},BOUNDED={_array(seconds)}"
        of_root = f"ROOT_BOUNDS={_array(roots)},ROOT_BOUNDED={_array(root_seconds)}"
        return f"const LEAST={self.function(least)},{bounded},{of_root};\n"

    def parts(self) -> str:
        """What the ways to share a system out leave to either side."""
        formulas = [part_formula(way.__name__, way) for _, way in WAYS]
        for formula in formulas:
            self.alone[formula.graph.name] = [formula]
        self.data["part"] = formulas[0].graph.outputs
        self.data["ways"] = [evidence.value for evidence, _ in WAYS]
        self.data["places"] = PLACES.tolist()
        return f"const PARTS={_array(map(self.function, formulas))};\n"

    def machines(self) -> str:
        machines, rows = [], []
        for profile in profiles():
            formulas = [machine_formula(profile, layout) for layout in LAYOUTS]
            self.data["machine"] = formulas[0].graph.outputs
            for formula in formulas:
                self.alone[formula.graph.name] = [formula]
            words = [formula.words for formula in formulas]
            machines.append({"name": profile.name, "gate_time_s": profile.machine.gate_time_s, "words": words})
            rows.append(_array(self.function(formula) for formula in formulas))
        self.data["machines"] = machines
        return f"const MACHINES={_array(rows)};\n"

    def classical(self) -> str:
        self.data["rivals"] = [
            {
                "name": one.name,
                "source": one.source,
                "evidence": one.guarantee,
                "definite": one.definite,
                "counts": one.counts,
                "known": known,
            }
            for one, known in rivals_of()
        ]
        self.data["hosts"], rows, seconds = [], [], []
        for host in hosts():
            formulas = [classical_formula(rival, host, known) for rival, known in rivals_of()]
            self.data["classical"] = formulas[0].graph.outputs
            for formula in formulas:
                self.alone[formula.graph.name] = [formula]
            self.data["hosts"].append({"name": host.name, "words": [formula.words for formula in formulas]})
            rows.append(_array(self.function(formula) for formula in formulas))
            seconds.append(_array(self.seconds(formula, "least") for formula in formulas))
        return f"const CLASSICAL={_array(rows)},PREDICTED={_array(seconds)};\n"

    def numbers(self) -> str:
        rows = []
        for pattern in range(2 ** len(MISSING)):
            given = [name for place, name in enumerate(MISSING) if pattern >> place & 1]
            formula = numbers_formula(given)
            self.data["numbers"] = formula.graph.outputs
            rows.append(self.function(formula))
        possible = possible_formula()
        self.data["impossible"] = possible.words
        return f"const NUMBERS={_array(rows)},POSSIBLE={self.function(possible)};\n"

    def single(self) -> str:
        """Functions that are exported as they are."""
        encodings = {one.name: one for assumed in ASSUMPTION_SETS.values() for one in assumed.encodings}
        readouts = {one.name: one for assumed in ASSUMPTION_SETS.values() for one in readouts_of(assumed) if one}
        for formula in itertools.chain(
            map(encoding_formula, encodings.values()), map(readout_formula, readouts.values())
        ):
            self.alone[formula.graph.name] = [formula]
        entries = [f"{json.dumps(name)}:{self._record(*formulas)}" for name, formulas in self.alone.items()]
        return f"const FORMULAS={{{','.join(entries)}}};\n"

    def _record(self, formula: Formula, known: Formula | None = None) -> str:
        graph = formula.graph
        more = "" if known is None else f",known:{self._record(known)}"
        names = f"arguments:{json.dumps(graph.arguments)},results:{json.dumps(graph.outputs)}"
        return f"{{run:{self.function(formula)},{names}{more}}}"


def _array(texts: Any) -> str:
    return f"[{','.join(texts)}]"


def _switches(assumed: Assumptions) -> dict[str, Any]:
    below = assumed.below
    return {
        "name": assumed.name,
        "counts": assumed.counts,
        "below": below and {"set": list(ASSUMPTION_SETS).index(below.name), "ends": below_ends(assumed)},
        "subnormalisation": assumed.subnormalisation,
        "gated": assumed.encoding_gates or assumed.preparation_gates,
        "sparsity": assumed.sparsity,
    }


def _sparse_places(assumed: Assumptions, different: list[int]) -> list[int]:
    """Return the encodings by which a count of sparse access is charged."""
    solver = CountedSolver(lambda encoding, precision: None, sparse_access=True)  # pyright: ignore
    allowed = assumed.encodings_for(solver)
    return [place for place in different if assumed.encodings[place] in allowed] or different[:1]


def _ordered_factors(charged: tuple[str, ...]) -> list[str]:
    order = ["queries", "encoding", "right-hand side", "error correction", "read-out", "loading"]
    found = [name for name in charged if name.startswith("factor ")]
    return sorted(found, key=lambda name: order.index(name.removeprefix("factor ")))


@functools.cache
def profiles() -> tuple[QuantumProfile, ...]:
    """The packaged quantum machines."""
    return tuple(one for one in map(load_profile, profile_names()) if isinstance(one, QuantumProfile))


@functools.cache
def hosts() -> tuple[ClassicalHost, ...]:
    """The packaged classical machines, by their data sheets."""
    found = map(load_profile, profile_names())
    return tuple(ClassicalHost.of(one) for one in found if not isinstance(one, QuantumProfile))
