"""Writes src/qnewton/lab/_experiments/catalogue.json: the library's classes as the command line offers them.

    python docs/make_options.py

A new class in one of the public namespaces is an option after that, with the parameters of its constructor and the
texts of its docstring. The command line reads the file, since importing the classes would take its help a second.
"""

import inspect
import json
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import qnewton
from qnewton import conditioning, curvature, emulation, encodings, estimators, readouts, scheduling, solvers
from qnewton._conditioning import AbstractConditioner
from qnewton._curvature import AbstractCurvature, Block
from qnewton._estimation import AbstractEstimator
from qnewton._hardware import QuantumProfile, load_profile
from qnewton._hardware.profile_files import profile_names
from qnewton._optim.adaptation import AbstractAdaptation
from qnewton._pricing.assumptions import ASSUMPTION_SETS
from qnewton._pricing.policies import AbstractPolicy
from qnewton._solvers import AbstractPreconditioner, AbstractSolver
from qnewton._solvers.quantum import queries
from qnewton._solvers.quantum.circuit.levels import AbstractLevel
from qnewton._solvers.quantum.emulated.amplification import AbstractAmplification
from qnewton._solvers.quantum.emulated.length import AbstractLength
from qnewton._solvers.quantum.emulated.measurement import AbstractMeasurement
from qnewton._solvers.quantum.encoding import AbstractEncoding
from qnewton._solvers.quantum.readout import AbstractReadout
from qnewton.lab._experiments import baselines, workers
from qnewton.lab._experiments.baselines import AbstractBaseline

FILE = Path(__file__).parents[1] / "src/qnewton/lab/_experiments/catalogue.json"

KINDS: dict[str, type] = {
    "solver": AbstractSolver,
    "preconditioner": AbstractPreconditioner,
    "estimator": AbstractEstimator,
    "policy": AbstractPolicy,
    "curvature": AbstractCurvature,
    "conditioner": AbstractConditioner,
    "adaptation": AbstractAdaptation,
    "encoding": AbstractEncoding,
    "measurement": AbstractMeasurement,
    "length": AbstractLength,
    "amplification": AbstractAmplification,
    "level": AbstractLevel,
    "optimizer": AbstractBaseline,
    "readout": AbstractReadout,
}
"""Kind of a part to its base class."""

PUBLIC = (
    qnewton,
    solvers,
    estimators,
    scheduling,
    curvature,
    conditioning,
    emulation,
    encodings,
    readouts,
    workers,
    baselines,
)
"""Where the classes are looked for."""

NOT_ALONE = {"Assigned", "Hybrid"}
"""Classes that are nothing without an object that no word stands for."""


def catalogue() -> dict[str, dict[str, Any]]:
    """Kind to word to class, summary and parameters."""
    found: dict[str, dict[str, Any]] = {kind: dict(_words(base)) for kind, base in KINDS.items()}
    home = queries.__name__
    found["queries"] = {
        name.replace("_", "-"): _about(f"{home}:{name}", model.source) for name, model in queries.QUERY_MODELS.items()
    }
    functions = dict(inspect.getmembers(qnewton, inspect.isfunction))
    partitions = {
        name: own for name, own in functions.items() if inspect.signature(own).return_annotation == tuple[Block, ...]
    }
    found["partition"] = {name.replace("_", "-"): _of_function(own) for name, own in partitions.items()}
    for name in ("newton", "kfac", "dual-newton", "fisher-newton"):
        found["optimizer"][name] = _of_function(functions[name.replace("-", "_")])
    profiles = {name: load_profile(name) for name in profile_names()}
    # No parts, but names of options.
    found["names"] = {
        "hardware": [name for name, one in profiles.items() if isinstance(one, QuantumProfile)],
        "assumptions": list(ASSUMPTION_SETS),
    }
    return found


def _about(home: str, summary: str) -> dict[str, Any]:
    return {"class": home, "summary": summary, "parameters": {}}


def _of_function(own: types.FunctionType) -> dict[str, Any]:
    return _about(f"{own.__module__}:{own.__name__}", _first(own))


def _first(one: object) -> str:
    """The first paragraph of a docstring, in one line."""
    return (inspect.getdoc(one) or "").split("\n\n")[0].replace("\n", " ")


def text() -> str:
    """The whole file: one line per class."""
    lines = ["{"]
    for kind, words in catalogue().items():
        lines.append(f" {json.dumps(kind)}: {{")
        lines.extend(f"  {json.dumps(word)}: {json.dumps(about)}," for word, about in words.items())
        lines[-1] = lines[-1].removesuffix(",")
        lines.append(" },")
    lines[-1] = lines[-1].removesuffix(",")
    return "\n".join([*lines, "}", ""])


def _words(base: type) -> Iterator[tuple[str, Any]]:
    found = {}
    for namespace in PUBLIC:
        for name, cls in inspect.getmembers(namespace, inspect.isclass):
            if issubclass(cls, base) and name not in NOT_ALONE and not name.startswith(("_", "Abstract")):
                found[word(name)] = cls
    for own, cls in sorted(found.items()):
        meanings, hints = _meanings(cls), typing.get_type_hints(cls)
        yield (
            own,
            {
                "class": f"{cls.__module__}:{cls.__qualname__}",
                "summary": _first(cls),
                "parameters": {
                    parameter.name: {
                        "kind": _kind(hints.get(parameter.name, parameter.annotation), parameter.default),
                        "default": _written(parameter.default),
                        "meaning": meanings.get(parameter.name, ""),
                    }
                    for parameter in inspect.signature(cls).parameters.values()
                },
            },
        )


def word(name: str) -> str:
    """`kappa-threshold` of `KappaThreshold`, `cg` of `CG`, `emulated-qsvt` of `EmulatedQSVT`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


def _meanings(cls: type) -> dict[str, str]:
    """Field to meaning, of the sections `Attributes` of a class and its bases."""
    found: dict[str, str] = {}
    for one in reversed(cls.__mro__):
        section = inspect.cleandoc(one.__doc__ or "").partition("Attributes:\n")[2]
        for names, meaning in re.findall(r"^    (\w[\w, ]*): (.*(?:\n {8}.*)*)", section, flags=re.MULTILINE):
            found |= dict.fromkeys(names.split(", "), " ".join(meaning.split()))
    return found


def _kind(annotation: Any, default: Any) -> str:
    """A kind of parts, `queries`, or a type of Python's in words; `?` where None is allowed, `*` of several."""
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any or annotation is inspect.Parameter.empty:
        return "int" if type(default) is int else "float"
    if origin in (types.UnionType, typing.Union):
        one = next((kind for kind in (*KINDS.values(), float, int, str) if kind in inside), Any)
        return f"{_kind(one, default)}{'?' if type(None) in inside else ''}"
    if origin is typing.Literal:
        return "str"
    if origin is tuple:
        return f"{_kind(inside[0], default)}*"
    if annotation is queries.QueryModel:
        return "queries"
    for kind, base in KINDS.items():
        if inspect.isclass(annotation) and issubclass(annotation, base):
            return kind
    return annotation.__name__


def _written(value: Any) -> str | None:
    """A default as it would be given; None where there is none."""
    if value is inspect.Parameter.empty:
        return None
    if isinstance(value, queries.QueryModel):
        return value.name
    if isinstance(value, tuple):
        return f"({', '.join(map(str, value))})"
    if isinstance(value, tuple(KINDS.values())):
        return word(type(value).__name__)
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
