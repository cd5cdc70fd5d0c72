"""The system of `qnewton plan` and `qnewton breakeven`: numbers, a matrix file or a run."""

import dataclasses
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from .._experiments.options import AssumptionSet
from .._experiments.parts import number_of, part

if TYPE_CHECKING:
    from ..._pricing.assumptions import Assumptions
    from ..._pricing.frame import Columns
    from ..._pricing.machines import Hardware

SETS: tuple[AssumptionSet, ...] = ("paper", "paper-best", "paper-sparse", "logical", "end_to_end")


@dataclass(frozen=True)
class ProblemOptions:
    """A symmetric system. Numbers that are not given take their worst case, and the output states so."""

    source: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="[RUN|FILE]")] = None
    """A run directory, or a Hermitian matrix in a .npy, .npz, .mtx or .mtx.gz file; without it, --n and --kappa."""
    n: float | None = None
    """Rows; up to 1e12 on paper."""
    kappa: float | None = None
    """Condition number."""
    sparsity: float | None = None
    """d, nonzeros in a row at most. None: n."""
    epsilon: float | None = None
    """Relative error of the step, in (0, 1). None: the run's precision, else 1e-3."""
    max_entry: float | None = None
    """Largest absolute entry."""
    frobenius_norm: float | None = None
    """Frobenius norm."""
    spectral_norm: float | None = None
    """Spectral norm; only its ratio to the two above matters."""
    solution_norm: float | None = None
    """||x|| for ||A|| = ||b|| = 1, from 1 to kappa."""
    definite: bool = True
    """Whether the matrix is positive definite, as a damped Gauss-Newton matrix is."""
    rows: int | None = None
    """Rows of its square root, batch times outputs: adds the solvers that take one."""
    row_entries: int | None = None
    """Numbers per row of the square root that have to be loaded. None: n."""
    overlap: float | None = None
    """Part of the right-hand side in the range of the square root, in (0, 1]."""
    bandwidth: float | None = None
    """Largest distance of an entry from the diagonal: adds the solvers of banded matrices."""
    dimension: int | None = None
    """The pattern is that of a mesh in 2 or 3 dimensions: adds a sparse factorisation by bounds on its fill. A file's
    own pattern is analysed instead."""
    preconditioned_kappa: float | None = None
    """Condition number with a preconditioner that costs as much as a diagonal: adds CG with it."""
    layer: tuple[int, int] | None = None
    """Rows of the two Kronecker factors of a Newton block, e.g. inputs and outputs of its layer: adds K-FAC."""
    block: str | None = None
    """Block of the run. None: the largest one of the last step."""


@dataclass(frozen=True)
class HardwareOptions:
    """The machines of a table."""

    hardware: tuple[str, ...] = ()
    """Profiles, quantum and classical: names of ours, or paths of .toml files. Empty: all of ours, but of quantum
    machines only those of the model `beverland`; transmon-cultivated and others are of `qre`, newer."""
    gate_time_s: float | None = None
    """Adds to each quantum profile a hypothetical one at this gate time, e.g. 1e-18."""
    encodings: tuple[str, ...] = ()
    """Block encodings of which the cheapest is charged, in place of the sets' own: words of qnewton parts encoding,
    with parameters, e.g. diagonals, "kronecker(rows=128)", "preconditioned(condition_number=40)"."""
    readout: str | None = None
    """Read-out in place of the sets' own, where one is charged: a word of qnewton parts readout, e.g.
    entry-estimation."""
    layout: Literal["sequential", "reaction-limited"] = "sequential"
    """Pace of an error-corrected machine: one T gate per logical cycle, or one layer of them per reaction time."""
    failure_probability: float = 0.01
    """Of a whole solve, read-out and error correction together."""
    calibrations: Path | None = None
    """Where `qnewton calibrate` kept its files. None: the user's data directory."""
    blas_threads: int = 1
    """Threads that the calibration was made with."""


def numbers_of(options: ProblemOptions) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what `qnewton.plan` and `qnewton.breakeven` take, and sentences about it.

    Raises:
        ValueError, OSError: for what is missing or cannot be read.
    """
    from ..._solvers.quantum.encoding import SquareRoot

    found: dict[str, Any] = {}
    if options.source is not None:
        if options.source.is_dir():
            found = _of_run(options.source, options.block)
        else:
            from .._experiments.matrices.numbers import numbers_of_file

            found = numbers_of_file(options.source, lambda said: print(said, file=sys.stderr, flush=True))
        found = {_NAMES.get(name, name): value for name, value in found.items()} | {"estimated": True}
    elif options.n is None or options.kappa is None:
        raise ValueError(
            "say what to plan for: --n and --kappa, a matrix file (.npy, .npz, .mtx, .mtx.gz) or a run directory"
        )
    notes = found.pop("notes", ())
    if options.source is None:
        found["definite"] = options.definite
        if options.definite:
            notes = (*notes, "the matrix is positive definite, as a damped Gauss-Newton matrix is (--no-definite)")
    found |= {name: value for name in _GIVEN if (value := getattr(options, name)) is not None}
    if options.overlap is not None and not 0 < options.overlap <= 1:
        raise ValueError(f"overlap is {options.overlap:g}: it is a part of the right-hand side, in (0, 1]")
    if options.rows is not None:
        found["factor"] = SquareRoot(rows=options.rows, overlap=options.overlap, row_entries=options.row_entries)
    return found, notes


def sentence_of(points: "Columns") -> str:
    """The system of a plan in a few words."""
    n, kappa, d, epsilon = (points[name].item() for name in ("n", "kappa", "sparsity", "epsilon"))
    return f"n {n:g}, kappa {kappa:.4g}, d {d:g}, epsilon {epsilon:g}"


_GIVEN = (
    *("n", "kappa", "epsilon", "sparsity", "max_entry", "frobenius_norm", "spectral_norm", "solution_norm"),
    *("bandwidth", "dimension", "preconditioned_kappa", "layer"),
)
_NAMES = {"condition_number": "kappa", "degree": "sparsity", "precision": "epsilon"}


def hardware_of(options: HardwareOptions) -> "list[Hardware]":
    """The machines, this machine's calibration first where there is one."""
    from ..._hardware import QuantumMachine, QuantumProfile, listed_profiles, load_profile
    from ..._pricing.machines import this_machine

    if options.blas_threads < 1:
        raise ValueError(f"blas-threads is {options.blas_threads}: a calibration was made with at least one")
    here = this_machine(options.calibrations, options.blas_threads)
    found: list[Hardware] = [] if here is None else [here]
    for name in options.hardware or listed_profiles():
        profile = load_profile(name)
        found.append(profile)
        if isinstance(profile, QuantumProfile) and options.gate_time_s is not None:
            hypothetical = QuantumMachine(options.gate_time_s, profile)
            found.append((f"{profile.name}@{options.gate_time_s:g}s", hypothetical))
    return found


def sets_of(options: HardwareOptions, names: tuple[AssumptionSet, ...]) -> "list[Assumptions]":
    """The sets by name, with the options' encodings, read-out, layout and failure probability.

    Raises:
        ValueError: for a word that names no encoding of the matrix itself, or no read-out.
    """
    from ..._hardware import ReactionLimited
    from ..._pricing.assumptions import ASSUMPTION_SETS
    from .._experiments.parts import make

    encodings = tuple(make("encoding", text, "encodings") for text in options.encodings)
    for one in encodings:
        if one.rectangular:
            raise ValueError(
                f"--encodings names {one.name}: say --rows, which adds the solvers that take a square root"
            )
    readout = None if options.readout is None else make("readout", options.readout, "readout")
    made = []
    for name in names:
        assumed = dataclasses.replace(ASSUMPTION_SETS[name], failure_probability=options.failure_probability)
        if encodings:
            assumed = dataclasses.replace(assumed, encodings=encodings)
        if readout is not None and assumed.readout is not None:
            assumed = dataclasses.replace(assumed, readout=readout)
        if options.layout == "reaction-limited" and assumed.error_correction is not None:
            assumed = dataclasses.replace(assumed, error_correction=ReactionLimited())
        made.append(assumed)
    return made


def _of_run(path: Path, block: str | None) -> dict[str, Any]:
    from ..._core.suggest import unknown
    from ..._pricing.structure import Structure
    from .._experiments.saved import train_options
    from .._runfile import check_scheduled, read_run

    run = read_run(path)
    check_scheduled(run.path, run.config)
    last = run.decided[-1]
    names = [line.name for line in last]
    if block is not None and block not in names:
        raise ValueError(unknown("block", block, names))
    chosen = max(last, key=lambda line: line.n) if block is None else last[names.index(block)]
    if chosen.condition_number is None:
        raise ValueError(f"{path}: the condition number of {chosen.name} is not finite there: choose a --block")
    kind, access = chosen.condition_number_kind, chosen.access
    assert kind is not None, "of a block"
    assert access is not None, "of a block"
    article = "an" if kind[0] in "ae" else "a"
    numbers = {name: getattr(chosen, name) for name in ("n", "degree", "max_entry", "frobenius_norm", "spectral_norm")}
    if numbers["frobenius_norm"] is not None and numbers["spectral_norm"] is not None:
        # Of a block that was not formed it is an estimate by a few probes, which can fall below its least value.
        numbers["frobenius_norm"] = max(numbers["frobenius_norm"], numbers["spectral_norm"])
    shape = _shape_of(path, chosen.name)
    structure = Structure(
        root_rows=access.gram_rows or None,
        gram_flops=access.gram_flops or None,
        layer=(math.prod(shape[:-1]), shape[-1]) if len(shape) > 1 and math.prod(shape) == chosen.n else None,
    )
    return {
        **numbers,
        "structure": structure,
        "condition_number": max(chosen.condition_number, 1.0),
        "definite": chosen.definite,
        "precision": _precision(train_options(path, run.config).scheduling.solvers),
        "notes": (
            *run.notes,
            f"block {chosen.name} at step {chosen.step}; its condition number is {article} {kind}",
        ),
    }


def _precision(solvers: Sequence[str]) -> float:
    """The error asked of the first candidate that has one."""
    asked = (number_of(part("solver", text, "solvers"), "precision") for text in solvers)
    return next((one for one in asked if one is not None), 1e-2)


def _shape_of(path: Path, name: str) -> tuple[int, ...]:
    """The shape of a parameter; empty where the run did not end, and wrote none."""
    from .._runfile import AlteredError, RunFileError, read_params

    try:
        found = read_params(path).get(name)
    except RunFileError as error:
        if isinstance(error, AlteredError) or (path / "params.npz").is_file():
            raise
        return ()
    return () if found is None else found.shape
