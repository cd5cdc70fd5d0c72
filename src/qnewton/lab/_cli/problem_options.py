"""The system of `qnewton plan` and `qnewton breakeven`: numbers, a matrix file or a run."""

import dataclasses
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from .._experiments.options import AssumptionSet

if TYPE_CHECKING:
    from ..._hardware import QuantumMachine
    from ..._pricing.assumptions import Assumptions
    from ..._pricing.classical import ClassicalHost
    from ..._pricing.problem import Problem
    from ..._pricing.structure import Structure

DEFAULT_EPSILON = 1e-3
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
    """Profiles, quantum and classical: names of ours, or paths of .toml files. Empty: all of ours."""
    gate_time_s: float | None = None
    """Adds to each quantum profile a hypothetical one at this gate time, e.g. 1e-18."""
    layout: Literal["sequential", "reaction-limited"] = "sequential"
    """Pace of an error-corrected machine: one T gate per logical cycle, or one layer of them per reaction time."""
    failure_probability: float = 0.01
    """Of a whole solve, read-out and error correction together."""
    calibrations: Path | None = None
    """Where `qnewton calibrate` kept its files. None: the user's data directory."""
    blas_threads: int = 1
    """Threads that the calibration was made with."""


def problem_of(options: ProblemOptions) -> "tuple[Problem, tuple[str, ...]]":
    """Return the problem, and the assumptions made for it.

    Raises:
        ValueError, OSError: for what is missing, contradicts itself or cannot be read.
    """
    from ..._pricing.problem import Problem
    from ..._pricing.structure import UNKNOWN
    from ..._solvers.quantum.encoding import SquareRoot

    given = {
        "n": options.n,
        "condition_number": options.kappa,
        "degree": options.sparsity,
        "precision": options.epsilon,
        "max_entry": options.max_entry,
        "frobenius_norm": options.frobenius_norm,
        "spectral_norm": options.spectral_norm,
        "definite": options.definite,
    }
    found: dict[str, Any] = {}
    if options.source is not None:
        if options.source.is_dir():
            found = _of_run(options.source, options.block)
        else:
            from .._experiments.matrices.numbers import numbers_of_file

            found = numbers_of_file(options.source, lambda said: print(said, file=sys.stderr, flush=True))
    elif options.n is None or options.kappa is None:
        raise ValueError(
            "say what to plan for: --n and --kappa, a matrix file (.npy, .npz, .mtx, .mtx.gz) or a run directory"
        )
    for name, value in given.items():
        if name == "definite" and options.source is not None:
            continue
        if value is not None:
            found[name] = value
    found.setdefault("precision", DEFAULT_EPSILON)
    for name, option in (("n", "n"), ("degree", "sparsity")):
        value = found.get(name)
        if value is not None and (not math.isfinite(value) or value != round(value)):
            raise ValueError(f"--{option} is {value:g}: it counts {'rows' if name == 'n' else 'entries'}")
    factor = None
    if options.rows is not None:
        factor = SquareRoot(rows=options.rows, overlap=options.overlap, row_entries=options.row_entries)
    notes = found.pop("notes", ())
    structure = _structure_of(options, found["n"], found.get("degree"), found.pop("structure", UNKNOWN))
    problem = Problem(**found, solution_norm=options.solution_norm, factor=factor, structure=structure)
    if options.source is None:
        # Those of a run or a large file are estimates, which need not fit each other to the last digit.
        problem.check_possible()
    if options.source is None and options.definite:
        notes = (*notes, "the matrix is positive definite, as a damped Gauss-Newton matrix is (--no-definite)")
    return problem, (*notes, *problem.assumed)


def _structure_of(options: ProblemOptions, n: float, degree: float | None, found: "Structure") -> "Structure":
    """What a file or a run says of the structure, and on top of it what was given."""
    from ..._pricing.structure import grid

    if options.dimension is not None and found.fill is None:
        mesh = grid(n, options.dimension)
        found = dataclasses.replace(
            found,
            fill=mesh.fill,
            factor_flops=mesh.factor_flops,
            filled_by=mesh.filled_by,
            dimension=mesh.dimension,
        )
    given: dict[str, Any] = {"bandwidth": options.bandwidth, "root_rows": options.rows, "layer": options.layer}
    if options.preconditioned_kappa is not None:
        given |= {"preconditioned_kappa": options.preconditioned_kappa, "preconditioner": "as given"}
    found = dataclasses.replace(found, **{name: value for name, value in given.items() if value is not None})
    found.check(n, degree)
    return found


def machines_of(
    options: HardwareOptions,
) -> "tuple[list[tuple[str, QuantumMachine]], list[ClassicalHost]]":
    """The quantum machines and the classical ones, this machine's calibration first where there is one."""
    from ..._hardware import QuantumMachine, QuantumProfile, load_profile, profile_names
    from ..._pricing.classical import ClassicalHost

    quantum: list[tuple[str, QuantumMachine]] = []
    hosts = []
    for name in options.hardware or profile_names():
        profile = load_profile(name)
        if isinstance(profile, QuantumProfile):
            quantum.append((profile.name, profile.machine))
            if options.gate_time_s is not None:
                hypothetical = QuantumMachine(options.gate_time_s, profile)
                quantum.append((f"{profile.name}@{options.gate_time_s:g}s", hypothetical))
        else:
            hosts.append(ClassicalHost.of(profile))
    if not quantum:
        raise ValueError(f"--hardware is {' '.join(options.hardware)}: name a quantum profile, e.g. superconducting")
    here = _this_machine(options)
    return quantum, ([here] if here else []) + hosts


def _this_machine(options: HardwareOptions) -> "ClassicalHost | None":
    import psutil

    from ..._hardware import calibration_directory, calibration_environment, load_calibration
    from ..._pricing.classical import DISK_BYTES_PER_S, ROUNDOFF, ClassicalHost

    directory = options.calibrations or calibration_directory()
    if not directory.is_dir():
        return None
    stored = {}
    for dtype in ROUNDOFF:
        found = load_calibration(calibration_environment(dtype, options.blas_threads), (), directory)
        if found is not None:
            stored[dtype] = found.machine
    if not stored:
        return None
    sizes = [sample[0] for machine in stored.values() for _, times in machine.kernels for sample in times.samples]
    memory = float(psutil.virtual_memory().total)
    return ClassicalHost("this machine", "calibrated", stored, memory, DISK_BYTES_PER_S, max(sizes, default=None))


def sets_of(options: HardwareOptions, names: tuple[AssumptionSet, ...]) -> "list[Assumptions]":
    """The sets by name, with the options' layout and failure probability."""
    from ..._hardware import ReactionLimited
    from ..._pricing.assumptions import ASSUMPTION_SETS

    made = []
    for name in names:
        assumed = dataclasses.replace(ASSUMPTION_SETS[name], failure_probability=options.failure_probability)
        if options.layout == "reaction-limited" and assumed.error_correction is not None:
            assumed = dataclasses.replace(assumed, error_correction=ReactionLimited())
        made.append(assumed)
    return made


def _of_run(path: Path, block: str | None) -> dict[str, Any]:
    from ..._core.suggest import unknown
    from ..._pricing.structure import Structure
    from .._experiments.saved import train_options
    from .._runfile import read_run

    run = read_run(path)
    last = run.decided[-1]
    names = [line.name for line in last]
    if block is not None and block not in names:
        raise ValueError(unknown("block", block, names))
    chosen = max(last, key=lambda line: line.n) if block is None else last[names.index(block)]
    if chosen.condition_number is None:
        raise ValueError(f"{path}: the condition number of {chosen.name} is not finite there: choose a --block")
    kind = chosen.condition_number_kind
    article = "an" if kind[0] in "ae" else "a"
    numbers = {name: getattr(chosen, name) for name in ("n", "degree", "max_entry", "frobenius_norm", "spectral_norm")}
    if numbers["frobenius_norm"] is not None and numbers["spectral_norm"] is not None:
        # Of a block that was not formed it is an estimate by a few probes, which can fall below its least value.
        numbers["frobenius_norm"] = max(numbers["frobenius_norm"], numbers["spectral_norm"])
    shape = _shape_of(path, chosen.name)
    structure = Structure(
        root_rows=chosen.access.gram_rows or None,
        gram_flops=chosen.access.gram_flops or None,
        layer=(math.prod(shape[:-1]), shape[-1]) if len(shape) > 1 and math.prod(shape) == chosen.n else None,
    )
    return {
        **numbers,
        "structure": structure,
        "condition_number": max(chosen.condition_number, 1.0),
        "definite": chosen.definite,
        "precision": train_options(path, run.config).scheduling.precision,
        "notes": (
            *run.notes,
            f"block {chosen.name} at step {chosen.step}; its condition number is {article} {kind}",
        ),
    }


def _shape_of(path: Path, name: str) -> tuple[int, ...]:
    """The shape of a parameter; empty where the run did not end, and wrote none."""
    from .._runfile import RunFileError, read_params

    try:
        found = read_params(path).get(name)
    except RunFileError:
        return ()
    return () if found is None else found.shape
