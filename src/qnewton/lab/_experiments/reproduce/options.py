"""Every option of `qnewton reproduce`, at the size that runs in minutes and at the paper's.

The docstring under each field is its `--help` text. No imports of jax here: parsing must be quick.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


def _require(ok: bool, option: str, value: object, rule: str) -> None:
    if not ok:
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
        raise ValueError(f"--{option} is {shown if shown != '' else 'empty'}: {rule}")


def _series(values: tuple, option: str, least: int = 1) -> None:
    _require(len(values) >= least, option, values, f"name at least {least} value{'s' if least > 1 else ''}")
    _require(len(set(values)) == len(values), option, values, "it names one twice")


def _rates(values: tuple[float, ...], option: str) -> None:
    _series(values, option)
    _require(all(0 < rate < math.inf for rate in values), option, values, "a learning rate is positive and finite")


@dataclass(frozen=True)
class MlpOptions:
    """The multilayer perceptron, for every figure but those of the language models."""

    task: str = "digits-mlp"
    """What is trained: digits-mlp (64-16-16-10), digits28 (784-16-16-10, the size of the paper) or mnist-mlp, which
    needs --mlp.data or --mlp.hub."""
    data: Path | None = None
    """Of mnist-mlp: folder with the four IDX files."""
    hub: str | None = None
    """Of mnist-mlp: data set on the Hugging Face hub, e.g. ylecun/mnist; needs the extra `hub`."""
    width: int = 16
    """Units of a hidden layer (the paper: 16, and 30 to 54)."""
    steps: int = 120
    """Newton steps (the paper: 600, 20 epochs of MNIST)."""
    batch_size: int = 2048
    """Examples per step; at most the whole training set is used."""
    solve: Literal["lu", "cg"] = "lu"
    """Who solves while the networks of training-time, kappa-share and gate-times train. lu: the published way, every
    block formed. cg: the same steps to rounding by conjugate gradients on blocks that are not formed, which makes the
    paper's size a matter of minutes; the seconds of LU are then predicted."""

    def __post_init__(self):
        for name in ("width", "steps", "batch_size"):
            _require(getattr(self, name) >= 1, f"mlp.{name.replace('_', '-')}", getattr(self, name), "at least 1")


@dataclass(frozen=True)
class SweepOptions:
    """Of keep-ratio and regularisation, which train the perceptron once per value."""

    steps: int = 60
    """Newton steps of each training (the paper: 600)."""
    keep: tuple[float, ...] = (0.025, 0.1, 0.25, 0.5, 1.0)
    """Of keep-ratio: share of each row's entries that pruning keeps."""
    damping: tuple[float, ...] = (1e-3, 1e-2, 1.0, 1e2, 1e4)
    """Of regularisation: r of H + r max|H| I."""

    def __post_init__(self):
        _require(self.steps >= 1, "sweeps.steps", self.steps, "at least 1")
        _series(self.keep, "sweeps.keep", 2)
        _series(self.damping, "sweeps.damping", 2)
        _require(all(0 < k <= 1 for k in self.keep), "sweeps.keep", self.keep, "a ratio lies in (0, 1]")
        _require(
            all(0 < r < math.inf for r in self.damping), "sweeps.damping", self.damping, "r is positive and finite"
        )


@dataclass(frozen=True)
class LanguageOptions:
    """The language models, bert-tiny and gpt-tiny, for training-time-bert and training-time-gpt."""

    layers: int = 3
    """Transformer layers."""
    hidden: int = 32
    """Width of the residual stream (the paper: 64)."""
    heads: int = 4
    """Attention heads."""
    intermediate: int = 64
    """Units inside a feed-forward layer (the paper: 256)."""
    vocabulary: int = 512
    """Tokens."""
    length: int = 32
    """Tokens of a sequence."""
    text: Path | None = None
    """A text file, or the folder of a WikiText. None: the English documentation inside CPython."""
    text_hub: str | None = None
    """Data set on the Hugging Face hub, e.g. Salesforce/wikitext:wikitext-2-raw-v1; needs the extra `hub`."""
    steps: int = 300
    """Steps of the training: SGD and AdamW take them, those of Newton's method are predicted from one."""
    rates: tuple[float, ...] = (0.3, 1.0)
    """Learning rates of SGD that are tried; the best one counts."""
    adamw_rates: tuple[float, ...] = (0.003, 0.01)
    """Likewise of AdamW."""
    batch_size: int = 128
    """Sequences per step."""

    def __post_init__(self):
        for name in ("layers", "hidden", "heads", "intermediate", "vocabulary", "length", "steps", "batch_size"):
            _require(getattr(self, name) >= 1, f"language.{name.replace('_', '-')}", getattr(self, name), "at least 1")
        _rates(self.rates, "language.rates")
        _rates(self.adamw_rates, "language.adamw-rates")


@dataclass(frozen=True)
class FirstOrderOptions:
    """SGD on the perceptron, with which training-time-mlp compares."""

    steps: int = 2000
    """Steps of each training."""
    rates: tuple[float, ...] = (0.1, 0.3, 1.0)
    """Learning rates that are tried; the best one counts."""

    def __post_init__(self):
        _require(self.steps >= 1, "first-order.steps", self.steps, "at least 1")
        _rates(self.rates, "first-order.rates")


@dataclass(frozen=True)
class InversionOptions:
    """Of inversion-time: one system, over its size, condition number and sparsity."""

    measured: tuple[int, ...] = (16, 64, 256, 512, 1024, 2048)
    """Rows of the systems that LU is measured on; every prediction of this reproduction rests on them."""
    largest: float = 1e6
    """Rows up to which seconds are predicted and modelled."""
    kappas: tuple[float, ...] = (10.0, 100.0, 1e3, 1e4)
    """Condition numbers."""
    kappa: float = 1e3
    """Condition number while the sparsity varies."""
    sparsities: tuple[int, ...] = (2, 16, 128)
    """Nonzeros of a row; a dense matrix is drawn beside them."""

    def __post_init__(self):
        _series(self.measured, "inversion.measured", 3)
        _require(min(self.measured) >= 1, "inversion.measured", self.measured, "a system has at least one row")
        _series(self.kappas, "inversion.kappas")
        _series(self.sparsities, "inversion.sparsities")
        for option, values in (("kappas", self.kappas), ("kappa", (self.kappa,))):
            _require(
                all(1 <= k < math.inf for k in values),
                f"inversion.{option}",
                values,
                "a condition number is finite and at least 1",
            )
        _require(min(self.sparsities) >= 1, "inversion.sparsities", self.sparsities, "a row has at least one nonzero")
        _require(
            max(self.measured) <= self.largest <= 1e15,
            "inversion.largest",
            self.largest,
            "from the largest measured size to 1e15",
        )


@dataclass(frozen=True)
class GateTimeOptions:
    """Of gate-times."""

    slowest: float = 1e-7
    """Longest gate time, seconds."""
    fastest: float = 1e-18
    """Shortest gate time, seconds (the paper: attoseconds, which no machine offers)."""
    per_decade: int = 3
    """Gate times per factor of ten."""

    def __post_init__(self):
        _require(
            1e-30 <= self.fastest < self.slowest <= 1,
            "gate-times.fastest",
            self.fastest,
            f"seconds from 1e-30 up to below --gate-times.slowest, {self.slowest}",
        )
        _require(1 <= self.per_decade <= 100, "gate-times.per-decade", self.per_decade, "from 1 to 100")


@dataclass(frozen=True)
class Reproduction:
    """What is reproduced, and how large."""

    size: Literal["default", "paper"] = "default"
    """Starting point of all options below; the values shown are the size's. default: minutes on two cores. paper: the
    sizes of the paper; hours, of the two sweeps days."""
    seed: int = 0
    """Of the initial parameters and of the order of the batches."""
    gate_time_s: float = 1e-9
    """Seconds of a physical gate of the quantum machine, wherever gate times are not what varies."""
    hardware: Literal[
        "superconducting", "superconducting-e4", "trapped-ion", "trapped-ion-e4", "majorana", "majorana-e6"
    ] = "superconducting"
    """Error rates and code of the quantum machine, for end_to_end."""
    precision: float = 1e-2
    """Error of the step that is asked of the quantum solver."""
    mlp: MlpOptions = field(default_factory=MlpOptions)
    sweeps: SweepOptions = field(default_factory=SweepOptions)
    language: LanguageOptions = field(default_factory=LanguageOptions)
    first_order: FirstOrderOptions = field(default_factory=FirstOrderOptions)
    inversion: InversionOptions = field(default_factory=InversionOptions)
    gate_times: GateTimeOptions = field(default_factory=GateTimeOptions)

    def __post_init__(self):
        _require(0 <= self.seed < 2**63, "seed", self.seed, "an integer from 0 to 2^63 - 1")
        _require(1e-30 <= self.gate_time_s <= 1, "gate-time-s", self.gate_time_s, "seconds from 1e-30 to 1")
        # Beyond that the query count of Q-Newton does not hold.
        _require(0 < self.precision <= 0.24, "precision", self.precision, "an error from above 0 to 0.24")


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
