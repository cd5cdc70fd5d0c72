"""`spectrum.json`, `tradeoff.json` and `breakeven.json`, the results of these commands; one reader for all results."""

from pathlib import Path
from typing import Any, Literal

from .base import (
    BREAKEVEN_VERSION,
    COMPARE_VERSION,
    NOISE_VERSION,
    SPECTRUM_VERSION,
    TRADEOFF_VERSION,
    Record,
)
from .comparison import ComparisonFile
from .config import MachineRecord
from .errors import RunFileError
from .grid import GridHead, NoiseFile
from .migrate import read_version
from .system import KindName


class SpectrumSource(Record, frozen=True):
    """Source of a spectrum.

    Attributes:
        path: of the run directory, or of the file with the matrix.
        raw: whether pruning and damping were left away.
    """

    path: str
    raw: bool


class SpectrumBlock(Record, frozen=True):
    """The spectrum of one block.

    Attributes:
        name: of the block; of a file the matrix's name.
        n: rows.
        kind: `exact`: all eigenvalues were computed, in double precision; `estimate`: atoms of stochastic Lanczos
            quadrature stand for them.
        eigenvalues: ascending.
        weights: how many eigenvalues each stands for, `n` in total.
        damping: what conditioning added to the diagonal.
        condition_number: null: singular to rounding.
        condition_number_kind: as in `blocks.jsonl`.
        effective_rank: exponential of the entropy of the eigenvalues' shares in the sum of magnitudes.
        rounding: magnitude below which an eigenvalue cannot be told from zero: machine epsilon times sqrt(n) times the
            Frobenius norm.
        numerical_rank: eigenvalues above `rounding` in magnitude.
        numerical_rank_error, negative_error: with a confidence of 95 % the truth is no further off, what the quadrature
            did not resolve included; where all eigenvalues were computed, how many lie so near the threshold that
            rounding decides.
        negative: eigenvalues below minus that.
        degrees: largest number of entries in a row above each part of the largest entry; null for a block too large to
            be formed.
        thresholds: these parts.
    """

    name: str
    n: int
    kind: Literal["exact", "estimate"]
    eigenvalues: tuple[float, ...]
    weights: tuple[float, ...]
    damping: float
    condition_number: float | None
    condition_number_kind: KindName
    effective_rank: float
    rounding: float
    numerical_rank: float
    numerical_rank_error: float
    negative: float
    negative_error: float
    degrees: tuple[int, ...] | None
    thresholds: tuple[float, ...]


class SpectrumFile(Record, frozen=True):
    """`spectrum.json`: the spectra of a run's first step, or of the matrices in a file.

    Attributes:
        schema_version: 1.
        source: see below.
        started, versions, machine, commit: as in `config.json`.
        blocks: see below.
    """

    schema_version: int
    source: SpectrumSource
    started: str
    versions: dict[str, str | None]
    machine: MachineRecord
    commit: str | None
    blocks: tuple[SpectrumBlock, ...]


class TradeoffSetting(Record, frozen=True):
    """One point of a method's curve.

    Attributes:
        method: whose curve.
        setting: what is varied along it, with its value.
        degree: d, the median over the blocks, as are the next five.
        encoded_condition_number: for sparse access; null where half of the blocks are singular.
        queries: by `jennings2023v1` at precision 1e-2; null likewise.
        cosine: of the step with the un-pruned damped one.
        relative_residual: of the step in its system.
        model_decrease: of its model at the best length, in parts of the best decrease.
        indefinite: share of the blocks that are not positive definite.
        blocks: how many there are.
        training_loss: after `--steps` steps; null without any, and where it is not finite.
    """

    method: str
    setting: str
    degree: float
    encoded_condition_number: float | None
    queries: float | None
    cosine: float | None
    relative_residual: float | None
    model_decrease: float | None
    indefinite: float
    blocks: int
    training_loss: float | None


class TradeoffFile(GridHead, frozen=True):
    """`tradeoff.json`: the cost of a sparser and better conditioned system in step quality and loss.

    Attributes:
        schema_version: 1.
        options: as given.
        started, versions, machine, commit: as in `config.json`.
        settings: see below.
    """

    settings: tuple[TradeoffSetting, ...]


class BreakevenSingle(Record, frozen=True):
    """Effect of one variable alone.

    Attributes:
        name: of the variable.
        label: in figures.
        unit: of its values; empty of a plain number.
        low, high: the range that was searched.
        present: its value now; null where it has none of its own.
        value: the nearest one at which both are equally fast; null where none does it.
        least, most: of the logarithm over the range; null where neither side has a number.
        sentence: in words.
    """

    name: str
    label: str
    unit: str
    low: float
    high: float
    present: float | None
    value: float | None
    least: float | None
    most: float | None
    sentence: str


class BreakevenPair(Record, frozen=True):
    """Joint effect of two variables.

    Attributes:
        first, second: their names.
        first_label, second_label: in figures, with the unit.
        x, y: their values.
        orders: `orders[i][j]` is the logarithm at `y[i]`, `x[j]`; null where either side has no number.
    """

    first: str
    second: str
    first_label: str
    second_label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    orders: tuple[tuple[float | None, ...], ...]


class BreakevenFile(Record, frozen=True):
    """`breakeven.json`: values that would make a quantum and the best classical solver equally fast.

    Attributes:
        schema_version: 1.
        question: in words.
        assumptions: the set that a quantum solve is charged by.
        hardware: the quantum machine.
        classical: names of the classical ones.
        assumed: sentences: what was not given.
        log10_quantum_over_classical: positive where quantum loses; all seconds behind it are modelled or predicted.
        singles: see below.
        pairs: see below.
    """

    schema_version: int
    question: str
    assumptions: str
    hardware: str
    classical: tuple[str, ...]
    assumed: tuple[str, ...]
    log10_quantum_over_classical: float
    singles: tuple[BreakevenSingle, ...]
    pairs: tuple[BreakevenPair, ...]


Result = SpectrumFile | TradeoffFile | BreakevenFile | NoiseFile | ComparisonFile
_RESULTS: dict[str, tuple[type[Any], int]] = {
    "spectrum.json": (SpectrumFile, SPECTRUM_VERSION),
    "tradeoff.json": (TradeoffFile, TRADEOFF_VERSION),
    "breakeven.json": (BreakevenFile, BREAKEVEN_VERSION),
    "noise.json": (NoiseFile, NOISE_VERSION),
    "compare.json": (ComparisonFile, COMPARE_VERSION),
}


def read_result(path: Path) -> Result:
    """Read the results of `qnewton spectrum`, `tradeoff`, `breakeven`, `noise` or `compare`.

    Args:
        path: of the file, which its name tells the kind of: `spectrum.json` and so on.

    Returns:
        Its record.

    Raises:
        RunFileError: if it is not there, has another name, or is not what `docs/run-files.md` says; names the field.
    """
    path = Path(path)
    if path.name not in _RESULTS:
        raise RunFileError(f"{path} is no file of results: those are called {', '.join(_RESULTS)}")
    if not path.is_file():
        raise RunFileError(f"{path} is missing: make it by its command, qnewton {path.stem}")
    return read_version(path, *_RESULTS[path.name])
