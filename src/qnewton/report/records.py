"""The records that a run directory is read into; field names and units are those of `docs/run-files.md`."""

from __future__ import annotations

from dataclasses import dataclass

STAGES = ("gradient", "curvature", "conditioning", "estimation", "solve_classical", "solve_quantum")
KINDS = ("exact", "certified", "bound", "probabilistic", "estimate")


@dataclass(frozen=True, slots=True)
class Config:
    """What a run was asked to do, and where it ran."""

    task: str
    preset: str
    optimizer: str
    options: dict[str, object]
    seed: int
    started: str
    versions: dict[str, str]
    machine: dict[str, object]
    commit: str | None
    model: str
    parameters: int
    block_sizes: tuple[tuple[str, int], ...]
    data: str
    train_examples: int
    test_examples: int

    @property
    def scheduled(self) -> bool:
        """Whether there are systems and a scheduler; the other optimizers are complete by themselves."""
        return self.optimizer == "newton"


@dataclass(frozen=True, slots=True)
class Step:
    """One training step. `predicted_seconds` maps an assumption set to stage (and `total`) to seconds."""

    step: int
    epoch: float | None
    loss: float | None
    train_loss: float | None
    test_loss: float | None
    test_accuracy: float | None
    accepted: bool
    measured_seconds: float | None
    measured_evaluation_seconds: float | None
    predicted_seconds: dict[str, dict[str, float | None]]


@dataclass(frozen=True, slots=True)
class Assumption:
    """What one assumption set says about one Newton system; seconds are predicted."""

    choice: str
    machine: str
    verdict: str
    worker: str | None
    predicted_seconds: dict[str, float | None]
    refused: dict[str, str]
    break_even_gate_time_s: dict[str, float | None]
    predicted_quantum_seconds_by_gate_time: dict[str, tuple[tuple[float, float | None], ...]]

    @property
    def nobody(self) -> bool:
        """Whether no candidate could take the system; `choice` then names one that refused."""
        return self.choice in self.refused


@dataclass(frozen=True, slots=True)
class Block:
    """One Newton system: one block at one step."""

    step: int
    block: int
    name: str
    n: int
    status: str
    damping: float | None
    kept_fraction: float | None
    perturbation: float | None
    degree: int
    log10_condition_number: float | None
    condition_number_kind: str
    second_log10_condition_number: float | None
    second_condition_number_kind: str | None
    definite: bool
    relative_residual: float | None
    exact_residual: float | None
    acting: str
    solver: str
    ran: str
    fidelity: str | None
    executed_outcome: str | None
    assumptions: dict[str, Assumption]


@dataclass(frozen=True, slots=True)
class GateTime:
    """The totals of the acting assumption set if a gate took `gate_time_s`."""

    gate_time_s: float
    quantum_share: float | None
    predicted_seconds: float | None
    predicted_solve_seconds: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """The totals of a run."""

    status: str
    steps: int
    final_loss: float | None
    test_accuracy: float | None
    test_loss: float | None
    measured_seconds: float | None
    measured_breakdown: dict[str, float | None]
    predicted_seconds: dict[str, float | None]
    predicted_seconds_all_classical: float | None
    acting: str | None
    gate_time_s: float | None
    quantum_share: float | None
    by_gate_time: tuple[GateTime, ...]
    solved_by: dict[str, int]
    fidelity: str | None
    statuses: dict[str, int]


@dataclass(frozen=True, slots=True)
class Run:
    """Everything the report shows. `notes` says what was missing or cut off in the files."""

    config: Config
    steps: tuple[Step, ...]
    blocks: tuple[Block, ...]
    summary: Summary | None
    notes: tuple[str, ...]
