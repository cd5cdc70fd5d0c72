"""The command `qnewton circuit`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import numpy as np
import tyro

from .._experiments.limits import Limit, Limited, at_least, finite
from .answers import FigureFormat, print_json, print_table

if TYPE_CHECKING:
    from ..._solvers.quantum.circuit import AbstractLevel, CircuitInversion, GateSequence

SCHEMA_VERSION = 1
"""Of what --json prints; docs/run-files.md describes it."""
ROWS, KAPPA = 4, 10.0


@dataclass(frozen=True)
class CircuitCommand(Limited):
    """Draw, count and export the circuit that inverts a matrix by quantum singular value transformation.

    The matrix is read from a file, or is random with a given condition number. The right-hand side is random.
    """

    file: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="[FILE]")] = None
    """A square matrix in a .npy, .npz, .mtx or .mtx.gz file. None: a random symmetric one."""
    array: str | None = None
    """Which array of a .npz file that holds several."""
    n: Annotated[int | None, at_least(1, "a matrix has at least one row")] = None
    """Rows of the random matrix. (default: 4)"""
    kappa: Annotated[float | None, finite("a condition number is finite and at least 1", least=1)] = None
    """Condition number of the random matrix (default: 10); of a file's, a bound that replaces its own."""
    definite: bool = False
    """Make the random matrix positive definite; else about half of its eigenvalues are negative."""
    epsilon: Annotated[float, Limit(lambda value: 0 < value < 1, "it is relative and must lie in (0, 1)")] = 1e-2
    """2-norm error of the solution relative to its length."""
    encoding: Literal["ideal", "frobenius"] = "ideal"
    """What the matrix is divided by: its 2-norm, or its Frobenius norm, which costs queries."""
    level: Literal["elementary", "block-unitary"] = "elementary"
    """Gates on one and two qubits, or one dense unitary for each query."""
    max_rows: int | None = None
    """Largest matrix that is taken. None: 16 in elementary gates, else 256."""
    max_queries: Annotated[int, at_least(1, "allow at least one query")] = 2**14
    """Longest circuit that is built."""
    seed: Annotated[int, at_least(0)] = 0
    """Of the random matrix and of the right-hand side."""
    draw: Path | None = None
    """Write the drawing to this file, too, by its ending .svg, .pdf or .png; must not exist."""
    qasm: Path | None = None
    """Write the circuit to this file as OpenQASM 3; must not exist."""
    json: bool = False
    """Print one JSON object instead of drawing and table."""

    def __post_init__(self):
        super().__post_init__()
        if self.file is not None and (self.n is not None or self.definite):
            raise ValueError("--n and --definite are of the random matrix: omit them, or the file")
        if self.array is not None and self.file is None:
            raise ValueError("--array names an array of a .npz file, and no file is given")
        if self.qasm is not None and self.level != "elementary":
            raise ValueError(
                "--qasm takes gates on one and two qubits, since OpenQASM has no dense unitaries: leave --level at "
                "elementary"
            )
        if self.draw is not None and self.draw == self.qasm:
            raise ValueError(f"--draw and --qasm both name {self.draw}")
        if self.draw is not None and self.draw.suffix[1:] not in get_args(FigureFormat):
            raise ValueError(f"--draw is {self.draw}: a figure's file ends in .svg, .pdf or .png")
        for path in (self.draw, self.qasm):
            if path is not None and path.exists():
                raise FileExistsError(f"{path} exists, and nothing is ever overwritten: name another file")


def circuit(arguments: Sequence[str]) -> int:
    """Parse, build, write the requested files, and print the drawing and the table, or the numbers."""
    command = tyro.cli(CircuitCommand, prog="qnewton circuit", args=arguments)
    from ..._solvers.quantum.circuit import CircuitInversion, inversion_circuit
    from ..._solvers.quantum.circuit.drawing import draw_figure, draw_text
    from ..._solvers.quantum.circuit.qasm import open_qasm
    from ..._solvers.quantum.circuit.sdk import pennylane
    from ..._solvers.quantum.encoding import Frobenius, Ideal

    try:
        pennylane()
    except ModuleNotFoundError as error:
        raise ValueError(str(error)) from error
    level = _level(command)
    name, matrix = _matrix(command)
    level.check(len(matrix))
    inversion = CircuitInversion.of(
        matrix,
        encoding={"ideal": Ideal(), "frobenius": Frobenius()}[command.encoding],
        precision=command.epsilon,
        kappa=None if command.file is None else command.kappa,
        max_queries=command.max_queries,
    )
    vector = np.random.default_rng(command.seed).standard_normal(inversion.n)
    vector /= np.linalg.norm(vector)
    built = inversion_circuit(inversion, vector, level)
    numbers = _numbers(command, name, inversion, vector, built)
    if command.qasm is not None:
        with command.qasm.open("x", encoding="utf-8") as file:
            file.write(open_qasm(built, _comments(numbers)))
    if command.draw is not None:
        draw_figure(built, command.draw, f"{name}: {numbers['n']} rows, {numbers['queries']} queries")
    if command.json:
        print_json(numbers)
        return 0
    print(draw_text(built) + "\n")
    _print_table(numbers)
    for what, path in (("drawing", command.draw), ("OpenQASM 3", command.qasm)):
        if path is not None:
            print(f"{what}: {path}")
    return 0


def _level(command: CircuitCommand) -> "AbstractLevel":
    from ..._solvers.quantum.circuit import BlockUnitary, Elementary

    kind = Elementary if command.level == "elementary" else BlockUnitary
    return kind() if command.max_rows is None else kind(command.max_rows)


def _matrix(command: CircuitCommand) -> tuple[str, np.ndarray]:
    """Return the matrix in float64, with its name."""
    if command.file is None:
        n, kappa = command.n or ROWS, command.kappa or KAPPA
        values = np.geomspace(1 / kappa, 1, n) if n > 1 else np.ones(1)
        if not command.definite:
            values *= (-1.0) ** np.arange(n)
        basis = np.linalg.qr(np.random.default_rng(command.seed).standard_normal((n, n)))[0]
        matrix = (basis * values) @ basis.T
        return f"random-{n}", (matrix + matrix.T) / 2
    if not command.file.is_file():
        raise FileNotFoundError(f"{command.file} is not a file: name one that ends in .npy, .npz, .mtx or .mtx.gz")
    from .._experiments.matrices.files import dense, read_matrices

    found = read_matrices(command.file)
    if command.array is None and len(found) > 1:
        raise ValueError(f"{command.file} holds several matrices: choose one by --array, of {', '.join(sorted(found))}")
    name = next(iter(found)) if command.array is None else command.array
    if name not in found:
        from ..._core.suggest import unknown

        raise ValueError(unknown("array", name, found))
    return name, dense(found[name], f"{command.file.name}: {name}").astype(np.float64)


def _numbers(
    command: CircuitCommand, name: str, inversion: "CircuitInversion", vector: np.ndarray, built: "GateSequence"
) -> dict[str, Any]:
    gates = built.gates()
    return {
        "schema_version": SCHEMA_VERSION,
        "matrix": name,
        "n": inversion.n,
        "rows_padded": 2**inversion.data_qubits,
        "level": command.level,
        "encoding": command.encoding,
        "alpha": inversion.alpha,
        "subnormalisation": inversion.alpha / inversion.norm,
        "encoded_condition_number": inversion.polynomial.kappa,
        "condition_number": inversion.condition_number,
        "epsilon": command.epsilon,
        "polynomial_error": inversion.polynomial.error,
        "degree": inversion.degree,
        "scale": inversion.scale,
        "phase_certificate": inversion.certificate,
        "success_probability": inversion.success_probability(vector),
        "qubits": built.wires.count,
        "queries": built.queries,
        "gates": gates,
        "gates_total": sum(gates.values()) - gates.get("GlobalPhase", 0),
        "depth": built.depth(),
        "seed": command.seed,
        "drawing": None if command.draw is None else str(command.draw),
        "qasm": None if command.qasm is None else str(command.qasm),
    }


def _comments(numbers: dict[str, Any]) -> list[str]:
    return [
        f"Inversion of {numbers['matrix']} ({numbers['n']} rows) to {numbers['epsilon']:g}, written by qnewton.",
        f"{numbers['queries']} queries of a block encoding of A / alpha, alpha = {numbers['alpha']!r}.",
        "Where `failed` is 00, the amplitude of row i is alpha x_i / (scale |b|), A x = b, with",
        f"scale = {numbers['scale']!r}; that happens with the probability {numbers['success_probability']:.4g}.",
        "x[0] is the most significant qubit of a row.",
    ]


def _print_table(numbers: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("number", "value", title=f"circuit of {numbers['matrix']}, {numbers['level']}")
    table.columns[1].justify = "right"
    rows = {
        "rows": f"{numbers['n']} (padded to {numbers['rows_padded']})",
        "alpha (subnormalisation)": f"{numbers['alpha']:.6g} ({numbers['subnormalisation']:.4g})",
        "condition number as encoded": f"{numbers['encoded_condition_number']:.4g}",
        **_warning(numbers),
        "polynomial: degree, error": f"{numbers['degree']:,}, {numbers['polynomial_error']:.2e}",
        "phases: certificate": f"{numbers['phase_certificate']:.1e}",
        "success probability of one run": f"{numbers['success_probability']:.4g}",
        "qubits": f"{numbers['qubits']}",
        "queries of the block encoding": f"{numbers['queries']:,}",
        "gates (without global phases)": f"{numbers['gates_total']:,}",
        **{f"  {name}": f"{number:,}" for name, number in numbers["gates"].items()},
        "depth": f"{numbers['depth']:,}",
    }
    for row in rows.items():
        table.add_row(*row)
    print_table(table, ("number",))


def _warning(numbers: dict[str, Any]) -> dict[str, str]:
    own, assumed = numbers["condition_number"], numbers["encoded_condition_number"] / numbers["subnormalisation"]
    if own is not None and own <= assumed * (1 + 1e-9):
        return {}
    return {"  too low: the matrix's own": "singular" if own is None else f"{own:.4g}"}
