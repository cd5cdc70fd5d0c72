"""`config.json`: the request of a run, and where it ran."""

from typing import Any

from msgspec import field

from .base import Record
from .family import FamilyRecord


class MachineRecord(Record, frozen=True):
    """The machine that a run was computed on.

    Attributes:
        platform: operating system.
        processor: model.
        cores: logical ones.
        backend: of jax, e.g. `cpu`.
        device: of jax.
        usable_cores: that this process may run on, on which the order of sums depends; null of older files.
        xla_flags: the variable `XLA_FLAGS`; null where it is not set, and of older files.
    """

    platform: str
    processor: str
    cores: int
    backend: str
    device: str
    usable_cores: int | None = None
    xla_flags: str | None = None


class BlockSize(Record, frozen=True):
    """One block of the partition.

    Attributes:
        name: path of its parameters in the pytree, e.g. `layers.0.weight`.
        n: rows of its system.
    """

    name: str
    n: int


class ModelRecord(Record, frozen=True):
    """The model that was trained.

    Attributes:
        description: in words.
        parameters: how many there are.
        blocks: those that get a system; empty of a complete optimizer.
    """

    description: str
    parameters: int
    blocks: tuple[BlockSize, ...]


class DataRecord(Record, frozen=True):
    """The data that a run was trained on.

    Attributes:
        description: which files, data set or installed package they were taken from.
        train: examples that are trained on.
        test: examples that are held out.
        batch: examples of a step. An example of a language model is a sequence, and its loss and accuracy are means
            over tokens.
        digests: `train inputs`, `train targets` and so on to the SHA-256 of these arrays, each with its shape and type,
            as the model gets them: of a text, the tokens. Empty of older files.
    """

    description: str
    train: int
    test: int
    batch: int
    digests: dict[str, str] = field(default_factory=dict)


class Config(Record, frozen=True):
    """The options, the versions and the machine of a run.

    Attributes:
        schema_version: of all files of the run.
        task: what was trained; of a function in a file the whole path and its name.
        preset: where the options started from.
        optimizer: `newton`, or the complete optimizer that ran: `kfac`, `dual_newton`, `fisher_newton`,
            `block_newton` (`--family automatic` picks it) or a baseline.
        options: every option as given, by the preset or by the user; see below.
        seed: of the parameters and of the order of the batches.
        started: ISO 8601, UTC.
        versions: package to version, `python` and `qnewton` among them; null where one is not installed.
        machine: see below.
        commit: of the package's checkout, with `-dirty` where it was changed; null of an installed package.
        model, data: see below.
        family: of a complete optimizer that is no baseline, see below; otherwise null.
        task_digest: SHA-256 of the file of such a function; otherwise null.
        digests: `config`, the SHA-256 of all else in this file as sorted JSON without spaces, and `calibration`, that
            of the file `calibration.json` where the run has one. Empty of older files.
    """

    schema_version: int
    task: str
    preset: str
    optimizer: str
    options: dict[str, Any]
    seed: int
    started: str
    versions: dict[str, str | None]
    machine: MachineRecord
    commit: str | None
    model: ModelRecord
    data: DataRecord
    family: FamilyRecord | None = None
    task_digest: str | None = None
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def scheduled(self) -> bool:
        """Whether there are systems and a scheduler; the other optimizers are complete by themselves."""
        return self.optimizer == "newton"
