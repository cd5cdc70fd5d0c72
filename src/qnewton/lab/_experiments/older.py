"""Options as they were spelt before: understood for one release, on the command line and in the files of runs.

What is written here is all that there is of them. No imports of jax: parsing must be quick.
"""

import copy
import sys
from collections.abc import Sequence
from typing import Any, TypeAlias

from .parts import part

Given: TypeAlias = dict[str, Any]
"""Options that were given, with their values."""
Groups: TypeAlias = list[tuple[str, list[str]]]
"""The same in their order; what stands before the first has an empty name."""

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

CONDITIONING = {"damping": 0.5, "keep": 1.0, "order": "prune-damp", "adapt_damping": True, "damping_scale": 1.0}
"""Options that are parameters of `--conditioners` and `--adaptation` now, with their former defaults."""

QUANTUM = {
    "execution": "modelled",
    "precision": 1e-2,
    "shots": None,
    "noise_seed": 0,
    "quantum_keep": 1.0,
    "quantum_damping": 0.0,
}
"""Likewise options that are parameters of the quantum solver, or which one it is."""


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
    _present_groups(found)
    for group in (found, scheduling, found.get("step")):
        if isinstance(group, dict):
            group |= {name: _word(name, group[name]) for name in WORDS if name in group}
    return found


def _present_groups(options: Given) -> None:
    """Put conditioning and the quantum solver in words, in options of a file."""
    scheduling, conditioning = options.get("scheduling"), options.get("conditioning")
    if isinstance(scheduling, dict) and isinstance(scheduling.get("solvers"), list):
        given = {name: scheduling.pop(name) for name in QUANTUM if name in scheduling}
        given |= {name: _word(name, given[name]) for name in WORDS if name in given}
        if given:
            scheduling["solvers"] = [_quantum(given) if one == "qlsa" else one for one in scheduling["solvers"]]
            scheduling["policy"] = _of_quantum(scheduling.get("policy", "fastest"), _quantum(given))
    if isinstance(conditioning, dict) and "conditioners" not in conditioning:
        given = CONDITIONING | {name: conditioning.pop(name) for name in CONDITIONING if name in conditioning}
        conditioning["conditioners"], conditioning["adaptation"] = _conditioners(given), _adaptation(given)


def present_parts(arguments: Sequence[str], conditioners: Sequence[str], solvers: Sequence[str]) -> list[str]:
    """The arguments of a training, options that are parameters of others' words now in there, each with a warning.

    Args:
        arguments: as `present_arguments` returns them.
        conditioners: where nobody gives them.
        solvers: likewise.

    Raises:
        ValueError: for an option of a quantum solver that is not named, or that has no read-out.
    """
    conditioning: Given = {}
    quantum: Given = {}
    kept: Groups = []
    for option, values in _grouped(arguments):
        name = option.removeprefix("--").replace("-", "_")
        if name in ("adapt_damping", "no_adapt_damping") and option:
            conditioning["adapt_damping"] = name == "adapt_damping" and values != ["False"]
        elif name in CONDITIONING and values:
            conditioning[name] = values[0]
        elif name in QUANTUM and values:
            quantum[name] = values[0]
        else:
            kept.append((option, values))
    both = {"--conditioners", "--adaptation"} & {option for option, _ in kept}
    if conditioning and both:
        older = ", ".join(f"--{name.replace('_', '-')}" for name in conditioning)
        raise ValueError(
            f"{older}: older options, which --conditioners and --adaptation replace, and {' and '.join(sorted(both))} "
            "is given: omit the older ones, e.g. --conditioners 'prune(0.5)' 'damp(0.005)' --adaptation fixed"
        )
    if conditioning.keys() & {"damping", "keep", "order"}:
        base = _read_back(conditioners)
        kept = _put(kept, "--conditioners", _conditioners(base | conditioning), conditioning)
    if conditioning.keys() & {"adapt_damping", "damping_scale"}:
        kept = _put(kept, "--adaptation", [_adaptation(CONDITIONING | conditioning)], conditioning)
    if quantum:
        named = _chosen_all(kept, "--solvers", solvers)
        given = ", ".join(f"--{name.replace('_', '-')} is {value}" for name, value in quantum.items())
        if "qlsa" not in named:
            raise ValueError(
                f"{given}, and --solvers {' '.join(named)} names no qlsa: these are parameters of the quantum solver "
                "now, e.g. --solvers lu 'qlsa(precision=0.001)'"
            )
        if quantum.get("shots") not in (None, "None") and quantum.get("execution") != "emulated":
            raise ValueError(
                f"{given}, and qlsa has no state to measure: use --solvers 'emulated-qsvt(measurement=shots(1000))'"
            )
        text = _quantum(quantum)
        kept = _put(kept, "--solvers", [text if one == "qlsa" else one for one in named], quantum)
        kept = [(name, [_of_quantum(one, text) for one in own] if name == "--policy" else own) for name, own in kept]
    return [word for option, values in kept for word in ([option] if option else []) + values]


def _conditioners(given: Given) -> list[str]:
    """The words of what was `--damping`, `--keep` and `--order`."""
    prunes, r = float(given["keep"]) < 1, given["damping"]
    if given["order"] == "damp-prune-rows":
        return [f"damp(relative={r}, offset=1e-6)", *([f"prune-rows(keep={given['keep']})"] if prunes else [])]
    return [*([f"prune(keep={given['keep']})"] if prunes else []), f"damp(relative={r})"]


def _adaptation(given: Given) -> str:
    if not given["adapt_damping"]:
        return "fixed"
    scale = given["damping_scale"]
    return called("levenberg-marquardt", {} if float(scale) == 1 else {"damping": scale})


def _quantum(given: Given) -> str:
    """The word of what was `qlsa` with these options."""
    own = {name: value for name, value in given.items() if str(value) != str(QUANTUM[name])}
    precision = {"precision": own["precision"]} if "precision" in own else {}
    if own.get("execution") == "emulated":
        reading = {"measurement": f"shots({own['shots']})"} if "shots" in own else {}
        seed = {"seed": own["noise_seed"]} if "noise_seed" in own else {}
        text = called("emulated-qsvt", precision | reading | {"length": "line-fit"} | seed)
    else:
        text = called("qlsa", precision)
    inside = [f"prune({own['quantum_keep']})"] if "quantum_keep" in own else []
    inside += [f"damp({own['quantum_damping']})"] if "quantum_damping" in own else []
    return f"conditioned({text}, ({', '.join(inside)},), always=true)" if inside else text


def _of_quantum(policy: str, solver: str) -> str:
    """A policy, which names the quantum solver by its present word if it named `qlsa`."""
    own = part("policy", policy, "policy")
    if own.word != "fixed-candidate" or dict(own.given)["name"] != "qlsa":
        return policy
    return called(own.word, {"name": part("solver", solver, "solvers").word})


def _read_back(conditioners: Sequence[str]) -> Given:
    """Return the values that `--damping`, `--keep` and `--order` would have had."""
    found: Given = dict(CONDITIONING)
    for text in conditioners:
        own = part("conditioner", text, "conditioners")
        given = dict(own.given)
        if own.word == "damp":
            found["damping"] = given.get("relative", 5e-3)
        if own.word.startswith("prune"):
            found["keep"] = given["keep"]
        if own.word == "prune-rows" or given.get("offset"):
            found["order"] = "damp-prune-rows"
    return found


def _put(kept: Groups, name: str, values: list[str], given: Given) -> Groups:
    """Return the arguments with an option in the place of older ones, and warn."""
    _warn(" ".join(f"--{one.replace('_', '-')}" for one in given), f"{name} {' '.join(map(repr, values))}")
    return [*((option, own) for option, own in kept if option != name), (name, values)]


def _chosen_all(groups: Groups, name: str, usual: Sequence[str]) -> Sequence[str]:
    return next((values for option, values in groups if option == name and values), usual)


def present_arguments(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command, older spellings replaced by the present ones, each with a warning.

    Raises:
        ValueError: for an option of another policy than the one that is chosen, or of a solver that is not named.
    """
    groups = _grouped(arguments)
    policy: Given = {}
    baseline: Given = {}
    optimizer = _chosen(groups, "--optimizer", "newton")
    krylov: dict[str, str] = {}
    kept: Groups = []
    for option, values in groups:
        name = option.removeprefix("--").replace("-", "_")
        if name in POLICIES and values:
            policy[name] = tuple(values) if name == "vanish" else values[0]
        elif name in BASELINES and values and (name != "weight_decay" or optimizer == "adamw"):
            baseline[name] = values[0]
        elif name in KRYLOV and values:
            krylov[name] = _word(name, values[0])
        elif name == "fidelity":
            kept.append(("--execution", [_word("execution", one) for one in values]))
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


def called(word: str, parameters: Given) -> str:
    """A word with parameters."""
    if not parameters:
        return word
    shown = (f"{name}={tuple(value) if isinstance(value, list) else value}" for name, value in parameters.items())
    return f"{word}({', '.join(shown)})"


def _grouped(arguments: Sequence[str]) -> Groups:
    """Options with their values; what stands before the first has an empty name."""
    found: Groups = [("", [])]
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if argument.startswith("--"):
            found.append((option, [value] if equals else []))
        else:
            found[-1][1].append(argument)
    return found


def _chosen(groups: Groups, name: str, usual: str) -> str:
    return next((values[0] for option, values in groups if option == name and values), usual)


def _called(kept: Groups, name: str, usual: str, given: Given, owners: dict[str, tuple[str, str]]) -> Groups:
    """Return the arguments with older options as parameters of another option's word, and warn."""
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


def _krylov(kept: Groups, given: dict[str, str]) -> Groups:
    own = ", ".join(f"{name}={value}" for name, value in given.items())
    solvers = next((values for option, values in kept if option == "--solvers"), [])
    if not {"cg", "minres"} & set(solvers):
        raise ValueError(
            f"{' '.join(f'--{name}' for name in given)}: parameters of cg and minres now, e.g. --solvers lu 'cg({own})'"
        )
    present = [_with(text, given) for text in solvers]
    _warn(" ".join(f"--{name}" for name in given), f"--solvers {' '.join(map(repr, present))}")
    return [(option, present if option == "--solvers" else values) for option, values in kept]


def _with(text: str, krylov: Given) -> str:
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
