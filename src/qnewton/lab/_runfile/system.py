"""`blocks.jsonl`: one line per group of equal Newton systems of a step; the system of a block is a group of one."""

import math
from typing import Any, Literal

import msgspec

from .base import Record

KindName = Literal["exact", "certified", "bound", "probabilistic", "estimate", "rough"]
VerdictName = Literal["chosen", "nobody", "over_budget", "open"]
Pairs = tuple[tuple[float, float | None], ...]


class NumberKinds(Record, frozen=True):
    """Certainty of each number, in the terms of `condition_number_kind`.

    Attributes:
        degree, max_entry, frobenius_norm, spectral_norm, smallest_singular_value, condition_number, definite: of the
            number of that name.
    """

    degree: KindName
    max_entry: KindName
    frobenius_norm: KindName
    spectral_norm: KindName
    smallest_singular_value: KindName
    condition_number: KindName
    definite: KindName


class AccessCosts(Record, frozen=True):
    """Cost of using the system's operator; 0 where there is nothing to do.

    Attributes:
        product_flops, product_bytes: of one product.
        forming_flops, forming_bytes: of its matrix.
        gram_flops, gram_bytes: of the Gram matrix of its square root.
        gram_rows: of that root.
    """

    product_flops: float
    product_bytes: float
    forming_flops: float
    forming_bytes: float
    gram_flops: float
    gram_bytes: float
    gram_rows: int


class TimedSolve(Record, frozen=True):
    """One classical candidate's solve alone, run once more after the step.

    Attributes:
        measured_seconds: of the solve.
        iterations: of an iterative solver, 0 of a direct one.
    """

    measured_seconds: float
    iterations: int


class WithoutOwn(Record, frozen=True):
    """Prediction for the solver under one assumption set on the system that the others solve.

    Attributes:
        predicted_seconds: null where it could not take that system.
        queries: of one run; 0 of a classical solver, null where the formula does not hold.
    """

    predicted_seconds: float | None
    queries: float | None


class OwnLine(Record, frozen=True):
    """The system that one candidate alone solves, as its own conditioning leaves it, formed.

    Attributes:
        solver: that solves it, without that conditioning, e.g. `QLSA(jennings2023v1)`.
        degree, max_entry, frobenius_norm, spectral_norm, log10_condition_number, log_condition_number: of that system.
        condition_number_kind, kinds, failure_probability, matvecs, definite, presumed_definite, access: of that system.
        conditioning_flops, conditioning_bytes: of conditioning twice, to estimate and to solve, forming apart.
        estimation_flops, estimation_bytes: of the estimate.
        predicted_conditioning_seconds, predicted_estimation_seconds: what both take on the calibrated machine; with the
            former is what forming the block takes, where it was not formed.
        without: assumption set to what its solver would ask without that conditioning; see below.
    """

    solver: str
    degree: int
    max_entry: float | None
    frobenius_norm: float | None
    spectral_norm: float | None
    log10_condition_number: float | None
    log_condition_number: float | None
    condition_number_kind: KindName
    kinds: NumberKinds
    failure_probability: float
    matvecs: int
    definite: bool
    presumed_definite: bool
    access: AccessCosts
    conditioning_flops: float
    conditioning_bytes: float
    estimation_flops: float
    estimation_bytes: float
    predicted_conditioning_seconds: float
    predicted_estimation_seconds: float
    without: dict[str, WithoutOwn]


class SetDecision(Record, frozen=True):
    """Decision of one assumption set on the systems of one line. All seconds are of all of them and one step.

    Attributes:
        choice: null where nobody can take the systems, and where bounds leave it open.
        machine: of the choice.
        worker: who solves it under `--policy makespan`, else null.
        verdict: `nobody` where every candidate is in `refused`; `over_budget` where `--policy budget` found none
            inside the budget and took the least expensive; `open` where more than one candidate could be the choice,
            and only a condition number would tell, which the acting set did not need.
        predicted_seconds: every candidate to seconds, null where it could not take the systems: modelled ones of the
            quantum candidates, which `queries` names. A classical set-up is shared out over the steps that it serves.
        refused: candidate to the reason, its own or that of the policy which passed it over.
        queries: quantum candidate to expected block-encoding queries of one run; null where its seconds are a bound.
        copies: the same: runs that the read-out takes.
        success_probability: the same, of one run.
        clamped: the same, but for bounds: whether the condition number was raised to the lower end of the formula's
            range.
        break_even_gate_time_s: the same: gate time below which it beats the fastest classical candidate; null where
            either of the two cannot take the systems.
        predicted_quantum_seconds_by_gate_time: the same: pairs `[gate_time_s, seconds]`.
        at_least: candidates whose seconds are a lower bound, over all condition numbers; none of a block.
    """

    choice: str | None
    machine: Literal["classical", "quantum"] | None
    worker: str | None
    verdict: VerdictName
    predicted_seconds: dict[str, float | None]
    refused: dict[str, str]
    queries: dict[str, float | None]
    copies: dict[str, float | None]
    success_probability: dict[str, float | None]
    clamped: dict[str, bool]
    break_even_gate_time_s: dict[str, float | None]
    predicted_quantum_seconds_by_gate_time: dict[str, Pairs]
    at_least: tuple[str, ...] = ()

    @property
    def sure(self) -> float | None:
        """The least seconds that are not a bound; None if there are none."""
        known = [
            value for name, value in self.predicted_seconds.items() if value is not None and name not in self.at_least
        ]
        return min(known, default=None)

    @property
    def rivals(self) -> tuple[str, ...]:
        """Candidates among which bounds leave the choice open; empty where they do not."""
        if self.verdict != "open":
            return ()
        limit = math.inf if self.sure is None else self.sure
        return tuple(name for name, value in self.predicted_seconds.items() if value is not None and value <= limit)


class SystemLine(Record, frozen=True):
    """One Newton system, that of a block at a step, or a group of equal ones of a complete optimizer.

    Of a group only sizes, condition number and `assumptions` are known; any other field is null, or empty.

    Attributes:
        step, block: numbers, both from 0; of a group its place among those of the optimizer.
        name: path of the parameters in the pytree, e.g. `layers.0.weight`; of a group in words what it is.
        n: rows of one system.
        count: how many systems there are; 1 of a block.
        vectors: right-hand sides of each in a step.
        serves: steps that one set-up serves.
        estimated: whether the condition number was looked at. Where it was not, none would have changed the choice of
            the acting set.
        status: `ok`, or what went wrong (`not_finite`, `no_candidate`, `not_solved`, `no_curvature`, `coupled`); then
            the block took a gradient step, or none where something is not finite.
        curvature_path: how the curvature was computed: `layers` (inputs of linear layers and curvature in their
            outputs), `jacobians`, `gradients` (of single examples), `products` (Hessian-vector), `batch` (products with
            derivatives of the whole batch) or `given`.
        independence: why single examples served for that (`proven` by the program, `seen` in the numbers of this
            batch) or the whole batch was taken (`model`, `loss` or `both` couple the examples; `alone_fails`: the model
            does not run on one; `undecided` under jit, `presumed` for a loss there and compared in every step;
            `declared`); null of a run of schema 6 that did not write it down.
        iterations: of an iterative solver, 0 of a direct one.
        expected_iterations: iterative candidate to what its prediction rests on: Ritz values, a preconditioner's prior,
            and the counts observed on the block so far.
        damping: what was added to the diagonal.
        damping_scale: factor on the block's damping, as adapted so far.
        reduction_ratio: of the block's own part of the step; null where it has no damping scale of its own.
        kept_fraction: entries kept by pruning.
        perturbation: Frobenius norm of what pruning removed, relative to the matrix.
        degree: d, the largest number of nonzeros in a row; `n` of a block that was not formed.
        max_entry, frobenius_norm, spectral_norm: of the conditioned matrix; the second an estimate where it was not
            formed.
        condition_number: null where it is above the floating-point range.
        log10_condition_number: the same without that range, of the worst of a group; null: infinite, or not looked at.
        log_condition_number: natural logarithm, with the digits that decisions saw; null: infinite.
        condition_number_kind: `certified` (a rigorous upper bound), `bound` (an upper bound but for rounding),
            `probabilistic` (an upper bound but for `failure_probability`), `estimate` (within about 5 %), `rough`
            (nothing is known of its error).
        second_log10_condition_number, second_condition_number_kind: what `--second-estimator` found, which decided
            nothing; null where there is none.
        kinds: how sure each number is; see below.
        failure_probability: that a number of the kind `probabilistic` is no bound; 0 where none came to be of that
            kind.
        matvecs: products with the matrix or its inverse that the estimate took.
        definite: whether the candidates that need a positive definite matrix were allowed.
        presumed_definite: whether `Cholesky`, which turns to LU where it breaks down, was: also where only rounding
            could have made a damped semidefinite block indefinite.
        formed: whether the scheduler got a matrix.
        access: see below.
        relative_residual: of the solve that ran, `norm(A x - g) / norm(g)`.
        exact_residual: of the same step in the system before pruning; above 1 it solves that worse than no step would,
            and means nothing.
        timed: of steps that `--time-solves` picks: classical candidate to what its solve alone took, see below;
            otherwise empty.
        probe_seconds: measured seconds of a matrix product meanwhile.
        acting: the assumption set whose choice was carried out, one of those under `assumptions`.
        solver: the candidate of the acting set that was tried, e.g. `Cholesky` or `QLSA(jennings2023v1)`; where nobody
            could take the system, one that refused it.
        ran: the solver that produced the numbers, e.g. `LU`.
        execution: null for a classical choice; `modelled`: `ran` stood in for the quantum state, only its cost is
            quantum; `emulated`: the circuit's exact state, with the read-out noise that was asked for.
        executed_queries: block-encoding queries that the emulated circuits made, copies and repetitions included; null
            for any other choice.
        executed_success_probability: of one application of them, before amplification.
        executed_outcome: what became of the emulated solve: `solved`, or what was wrong, e.g. `residual` where the
            condition number lies above the bound that the circuit was built for (`qnewton explain` says what to do).
        assumptions: assumption set to what it says; see below.
        own: candidate with conditioning of its own (`conditioned`) to the system that it solves and what that costs it;
            see below.
    """

    step: int
    block: int
    name: str
    n: int
    status: str | None
    curvature_path: str | None
    independence: str | None
    iterations: int | None
    expected_iterations: dict[str, float | None]
    damping: float | None
    damping_scale: float | None
    reduction_ratio: float | None
    kept_fraction: float | None
    perturbation: float | None
    degree: int | None
    max_entry: float | None
    frobenius_norm: float | None
    spectral_norm: float | None
    condition_number: float | None
    log10_condition_number: float | None
    log_condition_number: float | None
    condition_number_kind: KindName | None
    second_log10_condition_number: float | None
    second_condition_number_kind: KindName | None
    kinds: NumberKinds | None
    failure_probability: float | None
    matvecs: int | None
    definite: bool | None
    presumed_definite: bool | None
    formed: bool | None
    access: AccessCosts | None
    relative_residual: float | None
    exact_residual: float | None
    timed: dict[str, TimedSolve]
    probe_seconds: float | None
    acting: str
    solver: str | None
    ran: str | None
    execution: str | None
    executed_queries: float | None
    executed_success_probability: float | None
    executed_outcome: str | None
    assumptions: dict[str, SetDecision]
    own: dict[str, OwnLine] = msgspec.field(default_factory=dict)
    count: int = 1
    vectors: int = 1
    serves: int = 1
    estimated: bool = True

    @property
    def group(self) -> bool:
        """Whether it is a group of equal systems of a complete optimizer."""
        return self.status is None

    def __post_init__(self):
        if self.acting not in self.assumptions:
            sets = ", ".join(repr(name) for name in self.assumptions) or "none"
            raise ValueError(
                f"the field 'acting' is the string {self.acting!r}; it must be one of the assumption sets ({sets})"
            )


def group_line(
    *,
    step: int,
    block: int,
    name: str,
    size: tuple[int, int, int, int],
    estimated: bool,
    log10_condition_number: float | None,
    acting: str,
    assumptions: dict[str, SetDecision],
) -> SystemLine:
    """Return the line of a group, of whose solves nothing is known.

    Args:
        step: of the line, as all others.
        block: place of the group.
        name: what it is.
        size: `n`, `count`, `vectors` and `serves`.
        estimated: whether the condition number was looked at.
        log10_condition_number: of the worst.
        acting: the set that acted.
        assumptions: set to its decision.
    """
    known: dict[str, Any] = dict.fromkeys(SystemLine.__struct_fields__)
    known |= {"expected_iterations": {}, "timed": {}, "own": {}}
    known |= dict(zip(("n", "count", "vectors", "serves"), size, strict=True))
    known |= {"step": step, "block": block, "name": name, "estimated": estimated, "acting": acting}
    known |= {"log10_condition_number": log10_condition_number, "assumptions": assumptions}
    known["solver"] = assumptions[acting].choice
    return SystemLine(**known)
