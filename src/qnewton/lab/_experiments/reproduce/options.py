"""All options of `qnewton reproduce`, at the size that runs in minutes and at the paper's.

The docstring under each field is its `--help` text. No imports of jax here: parsing must be quick.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from ..limits import COUNT, DISTINCT, GATE_TIME, SEED, Limit, Limited, at_least, finite, positive, require
from ..options import QuantumHardware


def _several(least: int) -> Limit:
    rule = f"name at least {least} value{'s' if least > 1 else ''}"
    return Limit(lambda values: len(values) >= least, rule, whole=True)


_RATES = positive("a learning rate is positive and finite")
_DAMPING = positive("r is positive and finite")
_ROWS = at_least(1, "a system has at least one row")
_NONZEROS = at_least(1, "a row has at least one nonzero")
_KEEP = Limit(lambda value: 0 < value <= 1, "a ratio lies in (0, 1]")
# Beyond that the query count of Q-Newton does not hold.
_PRECISION = Limit(lambda value: 0 < value <= 0.24, "an error from above 0 to 0.24")
_KAPPA = finite("a condition number is finite and at least 1", least=1)


@dataclass(frozen=True)
class MlpOptions(Limited):
    """The multilayer perceptron, for every figure but those of the language models."""

    option_prefix: ClassVar[str] = "mlp."

    task: str = "digits-mlp"
    """What is trained: digits-mlp (64-16-16-10), digits28 (784-16-16-10, the size of the paper) or mnist-mlp, which
    needs --mlp.data or --mlp.hub."""
    data: Path | None = None
    """Of mnist-mlp: folder with the four IDX files."""
    hub: str | None = None
    """Of mnist-mlp: data set on the Hugging Face hub, e.g. ylecun/mnist; needs the extra `hub`."""
    width: Annotated[int, COUNT] = 16
    """Units of a hidden layer (the paper: 16, and 30 to 54)."""
    steps: Annotated[int, COUNT] = 120
    """Newton steps (the paper: 600, 20 epochs of MNIST)."""
    batch_size: Annotated[int, COUNT] = 2048
    """Examples per step; at most the whole training set is used."""
    solve: Literal["lu", "cg"] = "lu"
    """Who solves while the networks of training-time, kappa-share and gate-times train. lu: the published way, every
    block formed. cg: the same steps to rounding by conjugate gradients on blocks that are not formed, which makes the
    paper's size a matter of minutes; the seconds of LU are then predicted."""


@dataclass(frozen=True)
class SweepOptions(Limited):
    """Options of keep-ratio and regularisation, which train the perceptron once per value."""

    option_prefix: ClassVar[str] = "sweeps."

    steps: Annotated[int, COUNT] = 60
    """Newton steps of each training (the paper: 600)."""
    keep: Annotated[tuple[float, ...], _several(2), DISTINCT, _KEEP] = (0.025, 0.1, 0.25, 0.5, 1.0)
    """Of keep-ratio: share of each row's entries that pruning keeps."""
    damping: Annotated[tuple[float, ...], _several(2), DISTINCT, _DAMPING] = (
        1e-3,
        1e-2,
        1.0,
        1e2,
        1e4,
    )
    """Of regularisation: r of H + r max|H| I."""


@dataclass(frozen=True)
class LanguageOptions(Limited):
    """The language models, bert-tiny and gpt-tiny, for training-time-bert and training-time-gpt."""

    option_prefix: ClassVar[str] = "language."

    layers: Annotated[int, COUNT] = 3
    """Transformer layers."""
    hidden: Annotated[int, COUNT] = 32
    """Width of the residual stream (the paper: 64)."""
    heads: Annotated[int, COUNT] = 4
    """Attention heads."""
    intermediate: Annotated[int, COUNT] = 64
    """Units inside a feed-forward layer (the paper: 256)."""
    vocabulary: Annotated[int, COUNT] = 512
    """Tokens."""
    length: Annotated[int, COUNT] = 32
    """Tokens of a sequence."""
    text: Path | None = None
    """A text file, or the folder of a WikiText. None: the English documentation inside CPython."""
    text_hub: str | None = None
    """Data set on the Hugging Face hub, e.g. Salesforce/wikitext:wikitext-2-raw-v1; needs the extra `hub`."""
    steps: Annotated[int, COUNT] = 300
    """Steps of the training: SGD and AdamW take them, those of Newton's method are predicted from one."""
    rates: Annotated[tuple[float, ...], _several(1), DISTINCT, _RATES] = (0.3, 1.0)
    """Learning rates of SGD that are tried; the best one counts."""
    adamw_rates: Annotated[tuple[float, ...], _several(1), DISTINCT, _RATES] = (0.003, 0.01)
    """Likewise of AdamW."""
    batch_size: Annotated[int, COUNT] = 128
    """Sequences per step."""


@dataclass(frozen=True)
class FirstOrderOptions(Limited):
    """SGD on the perceptron, the comparison of training-time-mlp."""

    option_prefix: ClassVar[str] = "first-order."

    steps: Annotated[int, COUNT] = 2000
    """Steps of each training."""
    rates: Annotated[tuple[float, ...], _several(1), DISTINCT, _RATES] = (0.1, 0.3, 1.0)
    """Learning rates that are tried; the best one counts."""


@dataclass(frozen=True)
class InversionOptions(Limited):
    """Options of inversion-time: one system, over its size, condition number and sparsity."""

    option_prefix: ClassVar[str] = "inversion."

    measured: Annotated[tuple[int, ...], _several(3), DISTINCT, _ROWS] = (
        16,
        64,
        256,
        512,
        1024,
        2048,
    )
    """Rows of the systems that LU is measured on; every prediction of this reproduction rests on them."""
    largest: float = 1e6
    """Rows up to which seconds are predicted and modelled."""
    kappas: Annotated[tuple[float, ...], _several(1), DISTINCT, _KAPPA] = (10.0, 100.0, 1e3, 1e4)
    """Condition numbers."""
    kappa: Annotated[float, _KAPPA] = 1e3
    """Condition number while the sparsity varies."""
    sparsities: Annotated[tuple[int, ...], _several(1), DISTINCT, _NONZEROS] = (
        2,
        16,
        128,
    )
    """Nonzeros of a row; a dense matrix is drawn beside them."""

    def __post_init__(self):
        super().__post_init__()
        rule = "from the largest measured size to 1e15"
        require(max(self.measured) <= self.largest <= 1e15, "--inversion.largest is", self.largest, rule)


@dataclass(frozen=True)
class GateTimeOptions(Limited):
    """Options of gate-times."""

    option_prefix: ClassVar[str] = "gate-times."

    slowest: float = 1e-7
    """Longest gate time, seconds."""
    fastest: float = 1e-18
    """Shortest gate time, seconds (the paper: attoseconds, which no machine offers)."""
    per_decade: Annotated[int, Limit(lambda value: 1 <= value <= 100, "from 1 to 100")] = 3
    """Gate times per factor of ten."""

    def __post_init__(self):
        super().__post_init__()
        rule = f"seconds from 1e-30 up to below --gate-times.slowest, {self.slowest}"
        require(1e-30 <= self.fastest < self.slowest <= 1, "--gate-times.fastest is", self.fastest, rule)


@dataclass(frozen=True)
class Reproduction(Limited):
    """Options of a reproduction: its parts, and their size."""

    size: Literal["default", "paper"] = "default"
    """Starting point of all options below; the values shown are the size's. default: minutes on two cores. paper: the
    sizes of the paper; hours, of the two sweeps days."""
    seed: Annotated[int, SEED] = 0
    """Of the initial parameters and of the order of the batches."""
    gate_time_s: Annotated[float, GATE_TIME] = 1e-9
    """Seconds of a physical gate of the quantum machine, wherever gate times are not what varies."""
    hardware: QuantumHardware = "superconducting"
    """Error rates and code of the quantum machine, for end_to_end."""
    precision: Annotated[float, _PRECISION] = 1e-2
    """Error of the step that is asked of the quantum solver."""
    mlp: MlpOptions = field(default_factory=MlpOptions)
    sweeps: SweepOptions = field(default_factory=SweepOptions)
    language: LanguageOptions = field(default_factory=LanguageOptions)
    first_order: FirstOrderOptions = field(default_factory=FirstOrderOptions)
    inversion: InversionOptions = field(default_factory=InversionOptions)
    gate_times: GateTimeOptions = field(default_factory=GateTimeOptions)


SIZES = {
    "default": Reproduction(),
    "paper": Reproduction(
        size="paper",
        mlp=MlpOptions(task="digits28", steps=600, solve="cg"),
        sweeps=SweepOptions(
            steps=600,
            keep=(0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0),
            damping=(1e-3, 5e-3, 1e-2, 1e-1, 1.0, 10.0, 1e2, 1e3, 1e4),
        ),
        language=LanguageOptions(
            hidden=64,
            intermediate=256,
            vocabulary=1024,
            length=64,
            steps=3000,
            rates=(0.1, 0.3, 1.0),
            adamw_rates=(0.001, 0.003, 0.01),
        ),
        first_order=FirstOrderOptions(steps=6000, rates=(0.03, 0.1, 0.3, 1.0)),
        inversion=InversionOptions(measured=(16, 64, 256, 512, 1024, 2048, 4096), largest=1e8),
    ),
}
"""Named starting points."""
