"""Checks that refuse options that exclude each other, before anything is computed."""

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

from ..._conditioning import AbstractConditioner
from ..._core.records import System
from ..._scheduling.conditioned import Conditioned
from ..._solvers import QLSA, AbstractSolver
from . import build
from .build import BASELINES, COMPLETE
from .options import ConditioningOptions, SchedulingOptions, TrainOptions
from .parts import make, part
from .presets import PRESETS
from .task_options import TransformerOptions

Candidates: TypeAlias = dict[str, AbstractSolver]
"""As `--solvers` names them."""
_RATES = ("learning_rate", "warmup_steps", "decay")
# What acts on the systems of complete optimizers.
_SCHEDULED = ("solvers", "assumptions", "hardware", "gate_time_s", "policy")


def check(options: TrainOptions) -> None:
    """Refuse options that exclude each other, before anything is computed.

    Raises:
        ValueError: with what to change.
    """
    if options.optimizer_word in BASELINES:
        make("optimizer", options.optimizer, "optimizer")
    if options.optimizer_word != "newton" or options.family != "blocks":
        _check_complete(options)
        return
    scheduling = options.scheduling
    solvers = dict(zip(scheduling.solvers, build.make_solvers(scheduling), strict=True))
    _check_scheduled(options, solvers)
    _check_workers(options, solvers)
    build.make_workers(build.make_hybrid(scheduling))
    _check_unformed(options, solvers)


def _check_complete(options: TrainOptions) -> None:
    """Refuse an option that a complete optimizer does not read, since it would have no effect."""
    if options.optimizer_word != "newton" and options.family != "blocks":
        _check_family(options)
    read, why, instead = _read_by(options)
    usual = PRESETS["default"].scheduling if options.optimizer_word in BASELINES else SchedulingOptions()
    for group in (options.step, options.conditioning, options.scheduling, options.crew):
        for field in dataclasses.fields(group):
            value = getattr(group, field.name)
            if value in (field.default, getattr(usual, field.name, field.default)) or field.name in read:
                continue
            shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
            raise ValueError(
                f"--{field.name.replace('_', '-')} is {shown}, and {chosen(options)} does not read it: it {why}. "
                f"Omit the option (or the preset that sets it), or use {instead}"
            )
    if options.optimizer_word in BASELINES:
        return
    solvers = dict(zip(options.scheduling.solvers, build.make_solvers(options.scheduling), strict=True))
    rooted = [text for text, one in solvers.items() if one.capabilities.needs_root]
    if rooted:
        raise ValueError(
            f"--solvers names {rooted[0]}, which solves blocks through their root, and the systems of "
            f"{chosen(options)} have none: omit it, or use --preset blocks"
        )
    own = [text for text, one in solvers.items() if isinstance(one, Conditioned)]
    if own:
        raise ValueError(
            f"--solvers names {own[0]}, and groups of equal systems, as those of {chosen(options)}, go to every "
            "candidate as they are: name its inner solver alone, or use --preset blocks"
        )
    _check_precision(solvers)
    if part("policy", options.scheduling.policy, "policy").word == "makespan":
        raise ValueError(
            f"--policy is makespan, which deals out blocks, and {chosen(options)} chooses for groups of systems: omit "
            "it, or use --preset blocks"
        )


def _check_family(options: TrainOptions) -> None:
    if options.family != PRESETS["default"].family or options.optimizer_word in COMPLETE:
        raise ValueError(
            f"--family is {options.family}, and --optimizer {options.optimizer} has its own: omit one of them"
        )


def chosen(options: TrainOptions) -> str:
    """Return the option that makes the optimizer complete, as the command line has it."""
    if options.optimizer_word == "newton":
        return f"--family {options.family}"
    return f"--optimizer {options.optimizer}"


def _read_by(options: TrainOptions) -> tuple[tuple[str, ...], str, str]:
    """Return the option groups that a complete optimizer reads, why no more, and which optimizer reads the rest."""
    if options.optimizer_word in BASELINES:
        return _RATES, "solves no systems", "--preset blocks"
    rates = _RATES if "fisher" in (options.family, options.optimizer_word.removesuffix("-newton")) else ()
    why = "sets direction, length and damping itself, and schedules its systems in groups"
    return (*rates, *_SCHEDULED), why, "--preset blocks"


def _check_unformed(options: TrainOptions, solvers: Candidates) -> None:
    """Refuse solvers that could take no system at all, since every block is formed before they see it."""
    rooted = [text for text, solver in solvers.items() if solver.capabilities.needs_root]
    if rooted and not build.make_curvature(options.step).semidefinite:
        raise ValueError(
            f"--solvers names {rooted[0]}, and --curvature {options.step.curvature} has no square root: use "
            f"--curvature gauss-newton, or omit {rooted[0]}"
        )
    wanting = [text for text, solver in solvers.items() if text in rooted or solver.capabilities.needs_layers]
    if not wanting or build.keeps_unformed(options):
        return
    scheduling, second = options.scheduling, options.scheduling.second_estimator
    alone = dataclasses.replace(options, scheduling=dataclasses.replace(scheduling, second_estimator=None))
    formed = f"--estimator {scheduling.estimator} needs"
    instead = "use --estimator lanczos (or, with --curvature gauss-newton, automatic)"
    forming = _first_that(options, lambda system: system.is_formed)
    if forming is not None:
        formed, instead = f"--conditioners {forming} needs", "leave that out"
    elif build.keeps_unformed(alone):
        formed, instead = f"--second-estimator {second} needs", "use --second-estimator lanczos, or None"
    raise ValueError(
        f"--solvers {' '.join(wanting)}: only for blocks that are not formed, and {formed} the matrix: {instead}, or "
        "omit it"
    )


def _check_largest(options: TrainOptions) -> None:
    largest, adaptation = options.step.largest, build.make_adaptation(options.conditioning)
    if largest == "published" and not isinstance(options.task, TransformerOptions):
        raise ValueError(
            "--largest is published, which selects the linear layers inside the transformers of bert-tiny and "
            "gpt-tiny, and this task is neither: give a number of parameters, or omit it"
        )
    if largest == "published" and options.step.partition == "whole":
        raise ValueError(
            "--largest is published, which selects linear layers by their names, and --partition whole has them all in "
            "one block: use --partition per-tensor (as published) or per-layer, or --largest None"
        )
    if largest is not None and adaptation.tries:
        raise ValueError(
            f"--largest is {largest}, and the damping follows the decrease that a step predicts: blocks without a "
            "system predict none. Add --adaptation fixed"
        )


def _check_scheduled(options: TrainOptions, solvers: Candidates) -> None:
    _check_largest(options)
    _check_precision(solvers)
    left = _left(options)
    rows = _first_that(options, lambda system: not system.symmetric)
    symmetric = [text for text, solver in solvers.items() if solver.capabilities.needs_symmetric]
    if rows is not None and symmetric:
        raise ValueError(
            f"--solvers names {', '.join(symmetric)}, and --conditioners {rows} makes the systems unsymmetric: use "
            "--solvers lu qlsa"
        )
    scheduling = options.scheduling
    for option, text in (("estimator", scheduling.estimator), ("second-estimator", scheduling.second_estimator)):
        estimator = None if text is None else make("estimator", text, option)
        if estimator is None:
            continue
        if rows is not None and estimator.needs_symmetric:
            raise ValueError(f"--{option} {text} needs symmetric systems: use automatic or inverse-lanczos")
        if not estimator.needs_floor:
            continue
        if left.eigenvalue_floor is None:
            raise ValueError(
                f"--{option} {text} needs blocks that are semidefinite by construction: use it with --curvature "
                "gauss-newton and --conditioners that keep them so, such as damp, or choose automatic"
            )
        for name, solver in solvers.items():
            if isinstance(solver, Conditioned) and _left(options, solver.conditioning).eigenvalue_floor is None:
                raise ValueError(
                    f"--solvers {name}: --{option} {text} needs a system that is semidefinite by construction, which "
                    "its conditioning does not leave: choose automatic, or omit it"
                )


def _left(options: TrainOptions, own: tuple[AbstractConditioner, ...] = (), first: int | None = None) -> System:
    """Return a system as conditioning leaves it.

    Args:
        options: of the training.
        own: conditioning of one candidate.
        first: of the shared conditioners; None takes them all.
    """
    texts = options.conditioning.conditioners[:first]
    shared = build.make_conditioning(ConditioningOptions(texts))
    try:
        return build.left_by((*shared, *own), semidefinite=build.make_curvature(options.step).semidefinite)
    except ValueError as error:
        raise ValueError(f"--conditioners {' '.join(texts)}: {error}") from error


def _first_that(options: TrainOptions, shows: Callable[[System], bool]) -> str | None:
    """Return the first conditioner that leaves such systems; None where none does."""
    texts = enumerate(options.conditioning.conditioners, start=1)
    return next((text for k, text in texts if shows(_left(options, first=k))), None)


def _check_workers(options: TrainOptions, solvers: Candidates) -> None:
    scheduling, crew = options.scheduling, options.crew
    if crew.workers is None:
        for name in ("worker_cpus", "worker_qpus", "stale"):
            if getattr(crew, name):
                raise ValueError(
                    f"--{name.replace('_', '-')} is {getattr(crew, name)}, and nobody else solves blocks: add "
                    "--workers ray, or omit it"
                )
        return
    if options.training.processes > 1:
        raise ValueError(
            f"--workers is {crew.workers}, and --processes is {options.training.processes}: one driver forms the "
            "blocks that workers solve. Omit one of them"
        )
    if part("policy", scheduling.policy, "policy").word == "makespan" and scheduling.policy != "makespan":
        raise ValueError(
            f"--workers is {crew.workers}, and --policy {scheduling.policy} describes workers that are not there: "
            "blocks are dealt out to those that are, so write --policy makespan"
        )
    if crew.worker_qpus and not any(solver.capabilities.quantum for solver in solvers.values()):
        raise ValueError(
            f"--worker-qpus is {crew.worker_qpus}, and --solvers {' '.join(scheduling.solvers)} names no quantum "
            "solver: add qlsa, or omit it"
        )


def _check_precision(solvers: Candidates) -> None:
    """Refuse a precision at which no query is counted, so that a candidate could take no system."""
    for text, solver in solvers.items():
        inner = solver.inner if isinstance(solver, Conditioned) else solver
        if isinstance(inner, QLSA) and inner.precision > inner.queries.largest_precision:
            raise ValueError(
                f"--solvers {text}: the precision is {inner.precision}, and the query count of {inner.queries.name} "
                f"holds up to {inner.queries.largest_precision}: ask for that or less"
            )
