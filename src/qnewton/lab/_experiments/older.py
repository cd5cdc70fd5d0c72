"""Options as they were spelt before: understood for one release, on the command line and in the files of runs.

What is written here is all that there is of them. No imports of jax: parsing must be quick.
"""

import copy
import sys
from collections.abc import Sequence
from typing import Any

WORDS = {
    "policy": {"fixed": "fixed-candidate"},
    "estimator": {"probabilistic": "probabilistic-lanczos"},
    "second_estimator": {"probabilistic": "probabilistic-lanczos"},
    "curvature": {"empirical-fisher-published": "empirical-fisher(damping_floor=0)"},
    "execution": {"model": "modelled"},
    "preconditioner": {"none": "identity"},
    "preset": {"recipe": "default"},
}
"""Option to an older word to the present one."""

POLICIES = {
    "kappa_threshold": ("kappa-threshold", "threshold"),
    "fixed_solver": ("fixed-candidate", "name"),
    "hysteresis": ("hysteresis", "factor"),
    "budget": ("budget", "limit"),
    "classical_rate": ("budget", "classical_rate"),
    "quantum_rate": ("budget", "quantum_rate"),
    "classical_workers": ("makespan", "classical_workers"),
    "quantum_workers": ("makespan", "quantum_workers"),
    "queue_s": ("makespan", "queue_s"),
    "transfer_s": ("makespan", "transfer_s"),
    "vanish": ("makespan", "vanish"),
}
"""An option of a policy to that, and to its parameter."""

BASELINES = {
    "momentum": ("momentum", "momentum"),
    "weight_decay": ("adamw", "weight_decay"),
    "memory": ("lbfgs", "memory"),
}
"""Likewise of an optimizer; `weight_decay` is an option of newton, too."""

KRYLOV = {"preconditioner", "rtol"}
"""Options that are parameters of `cg` and `minres` now."""


def present_options(options: Any) -> Any:
    """The options of a run as `TrainOptions` has them now; what is no object is returned as it is.

    Args:
        options: of `config.json`, of schema 6 or later.
    """
    if not isinstance(options, dict):
        return options
    found = copy.deepcopy(options)
    scheduling, policy = found.get("scheduling"), found.pop("policy", None)
    if isinstance(scheduling, dict):
        if "fidelity" in scheduling:
            scheduling["execution"] = scheduling.pop("fidelity")
        krylov = {name: scheduling.pop(name) for name in sorted(KRYLOV) if name in scheduling}
        if krylov and isinstance(scheduling.get("solvers"), list):
            krylov["preconditioner"] = _word("preconditioner", krylov.get("preconditioner", "none"))
            scheduling["solvers"] = [_with(text, krylov) for text in scheduling["solvers"]]
        if isinstance(policy, dict):
            chosen = _word("policy", policy.get("policy", "fastest"))
            own = {parameter: policy[name] for name, (of, parameter) in POLICIES.items() if of == chosen}
            scheduling["policy"] = called(chosen, {name: value for name, value in own.items() if value is not None})
    baseline, optimizer = found.pop("baseline", None), found.get("optimizer")
    if isinstance(baseline, dict):
        own = {parameter: baseline.get(name) for name, (of, parameter) in BASELINES.items() if of == optimizer}
        found["optimizer"] = called(str(optimizer), {name: value for name, value in own.items() if value is not None})
        if isinstance(found.get("step"), dict):
            found["step"]["weight_decay"] = baseline.get("weight_decay") or 0.0 if optimizer == "newton" else 0.0
    if optimizer == "recipe":
        found |= {"optimizer": "newton", "family": "automatic"}
    for group in (found, scheduling, found.get("step")):
        if isinstance(group, dict):
            group |= {name: _word(name, group[name]) for name in WORDS if name in group}
    return found


def present_arguments(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command, older spellings replaced by the present ones, each with a warning.

    Raises:
        ValueError: for an option of another policy than the one that is chosen, or of a solver that is not named.
    """
    groups = _grouped(arguments)
    policy: dict[str, Any] = {}
    baseline: dict[str, Any] = {}
    optimizer = _chosen(groups, "--optimizer", "newton")
    krylov: dict[str, str] = {}
    kept: list[tuple[str, list[str]]] = []
    for option, values in groups:
        name = option.removeprefix("--").replace("-", "_")
        if name in POLICIES and values:
            policy[name] = tuple(values) if name == "vanish" else values[0]
        elif name in BASELINES and values and (name != "weight_decay" or optimizer == "adamw"):
            baseline[name] = values[0]
        elif name in KRYLOV and values:
            krylov[name] = _word(name, values[0])
        elif name == "fidelity":
            kept.append(_told("--execution", [_word("execution", one) for one in values], option, values))
        elif name == "optimizer" and values == ["recipe"]:
            kept.append(_told("--family", ["automatic"], option, values))
        elif name in WORDS and any(one in WORDS[name] for one in values):
            kept.append(_told(option, [_word(name, one) for one in values], option, values))
        else:
            kept.append((option, values))
    if policy:
        kept = _called(kept, "--policy", "fastest", policy, POLICIES)
    if baseline:
        kept = _called(kept, "--optimizer", "newton", baseline, BASELINES)
    if krylov:
        kept = _krylov(kept, krylov)
    return [word for option, values in kept for word in ([option] if option else []) + values]


def called(word: str, parameters: dict[str, Any]) -> str:
    """A word with parameters."""
    if not parameters:
        return word
    shown = (f"{name}={tuple(value) if isinstance(value, list) else value}" for name, value in parameters.items())
    return f"{word}({', '.join(shown)})"


def _grouped(arguments: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Options with their values; what stands before the first has an empty name."""
    found: list[tuple[str, list[str]]] = [("", [])]
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if argument.startswith("--"):
            found.append((option, [value] if equals else []))
        else:
            found[-1][1].append(argument)
    return found


def _chosen(groups: list[tuple[str, list[str]]], name: str, usual: str) -> str:
    return next((values[0] for option, values in groups if option == name and values), usual)


def _called(
    kept: list[tuple[str, list[str]]], name: str, usual: str, given: dict[str, Any], owners: dict[str, tuple[str, str]]
) -> list[tuple[str, list[str]]]:
    """With the options that are parameters of another one's word in there."""
    chosen = _chosen(kept, name, usual)
    for one, value in given.items():
        own, parameter = owners[one]
        if own != chosen:
            raise ValueError(
                f"--{one.replace('_', '-')} is {value}, and {name} {chosen} does not read it: omit it, or use "
                f"{name} '{own}({parameter}={value})'"
            )
    text = called(chosen, {owners[one][1]: value for one, value in given.items()})
    older = " ".join(f"--{one.replace('_', '-')}" for one in given)
    _warn(f"{name} {chosen} with {older}", f"{name} '{text}'")
    return [(option, [text] if option == name else values) for option, values in kept]


def _krylov(kept: list[tuple[str, list[str]]], given: dict[str, str]) -> list[tuple[str, list[str]]]:
    own = ", ".join(f"{name}={value}" for name, value in given.items())
    solvers = next((values for option, values in kept if option == "--solvers"), [])
    if not {"cg", "minres"} & set(solvers):
        raise ValueError(
            f"{' '.join(f'--{name}' for name in given)}: parameters of cg and minres now, e.g. --solvers lu 'cg({own})'"
        )
    present = [_with(text, given) for text in solvers]
    _warn(" ".join(f"--{name}" for name in given), f"--solvers {' '.join(map(repr, present))}")
    return [(option, present if option == "--solvers" else values) for option, values in kept]


def _with(text: str, krylov: dict[str, Any]) -> str:
    usual = {"preconditioner": ("identity",), "rtol": (1e-3, "1e-3")}
    own = {name: value for name, value in krylov.items() if value not in usual[name]}
    return called(text, own) if text in ("cg", "minres") else text


def _word(name: str, value: Any) -> Any:
    return WORDS[name].get(value, value) if name in WORDS and isinstance(value, str) else value


def _told(option: str, values: list[str], older: str, were: list[str]) -> tuple[str, list[str]]:
    _warn(" ".join([older, *were]), " ".join([option, *values]))
    return option, values


def _warn(older: str, present: str) -> None:
    print(f"qnewton: {older} is an older spelling, understood for one release: use {present}", file=sys.stderr)
