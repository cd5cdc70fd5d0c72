"""The files of a run, read back into the objects that they came from."""

import dataclasses
import json
import typing
from pathlib import Path
from typing import Any

from ..hardware import ClassicalMachine, KernelTimes
from .options import TaskOptions, TrainOptions
from .rundir import SCHEMA_VERSION
from .task_options import TASK_OPTIONS


@dataclasses.dataclass(frozen=True)
class SavedRun:
    """A scheduled run as its directory has it.

    Attributes:
        path: the directory.
        config: of `config.json`.
        options: the run's.
        calibration: of `calibration.json`.
        measured: its machine as measured, to the last digit.
        learned: the factors on its kernels.
        steps: for each whole step the lines of its blocks, in the order of the partition.
        notes: what was left out, in words.
    """

    path: Path
    config: dict[str, Any]
    options: TrainOptions
    calibration: dict[str, Any]
    measured: ClassicalMachine
    learned: dict[str, float]
    steps: tuple[tuple[dict[str, Any], ...], ...]
    notes: tuple[str, ...]

    @property
    def classical(self) -> ClassicalMachine:
        """What its predictions used."""
        return self.measured.corrected(self.learned)

    @property
    def candidates(self) -> tuple[str, ...]:
        """Names of the candidates, in the order of a plan's columns."""
        first = self.steps[0][0]
        return tuple(first["assumptions"][first["acting"]]["predicted_seconds"])


def saved_options(path: Path) -> tuple[dict[str, Any], TrainOptions]:
    """`config.json` of a run directory, and the options in it.

    Raises:
        ValueError, OSError: for a directory that holds none, or one that this version does not write.
    """
    config = path / "config.json"
    if not config.exists():
        raise FileNotFoundError(f"{path} holds no config.json: it is not the directory of a run")
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
        kind = TASK_OPTIONS.get(content["task"], TaskOptions)
        return content, options_from(TrainOptions, content["options"], {"task": kind})
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{config} is not what this version of qnewton writes ({error!r}): train again") from error


def read_saved(path: Path) -> SavedRun:
    """Read a run whose systems were scheduled.

    A step that was cut off by the end of the run is left out.

    Raises:
        ValueError, OSError: for what is not there, was written by another version, or had nothing to schedule.
    """
    config, options = saved_options(path)
    version = config.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"{path / 'config.json'}: schema_version is {version}, and this version of qnewton reads {SCHEMA_VERSION}: "
            "older files lack what predictions depend on, so train again"
        )
    if config["optimizer"] != "newton":
        raise ValueError(
            f"{path} is a run of {config['optimizer']}, a complete optimizer, which schedules nothing: there are no "
            "decisions in it"
        )
    calibration = json.loads((path / "calibration.json").read_text(encoding="utf-8"))
    blocks, notes = len(config["model"]["blocks"]), []
    steps: dict[int, list[dict[str, Any]]] = {}
    for line in _lines(path / "blocks.jsonl", notes):
        steps.setdefault(line["step"], []).append(line)
    whole = [tuple(lines) for _, lines in sorted(steps.items()) if len(lines) == blocks]
    if len(whole) < len(steps):
        notes.append("the last step was cut off and is left out")
    if not whole:
        raise ValueError(f"{path / 'blocks.jsonl'} holds no whole step: the run ended before its first one")
    learned = learned_factors(calibration)
    measured = measured_machine(calibration)
    return SavedRun(path, config, options, calibration, measured, learned, tuple(whole), tuple(notes))


def learned_factors(calibration: dict[str, Any]) -> dict[str, float]:
    """Kernel to the factor on it, of `calibration.json`."""
    return {name: times["learned_factor"] for name, times in calibration["kernels"].items()}


def measured_machine(calibration: dict[str, Any]) -> ClassicalMachine:
    """The machine in `calibration.json` as measured, to the last digit."""
    kernels = tuple(
        (
            name,
            KernelTimes(
                *(times[f"seconds_per_{unit}"] for unit in ("call", "byte", "flop")),
                samples=tuple((s["n"], s["measured_seconds"], s["predicted_seconds"]) for s in times["samples"]),
                bends=tuple((position, factor) for position, factor in times["bends"]),
            ),
        )
        for name, times in sorted(calibration["kernels"].items())
    )
    return ClassicalMachine(
        str(calibration["machine"]["processor"]), calibration["dtype"], kernels, calibration["gemm_seconds"]
    )


def _lines(path: Path, notes: list[str]) -> list[dict[str, Any]]:
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: the run ended before its first step")
    texts = path.read_text(encoding="utf-8").splitlines()
    found = []
    for number, text in enumerate(texts, start=1):
        try:
            found.append(json.loads(text))
        except json.JSONDecodeError as error:
            if number < len(texts):
                raise ValueError(f"{path}, line {number}: not JSON: {error}") from error
            notes.append(f"{path.name}: the last line is cut off")
    return found


def options_from(kind: Any, values: dict[str, Any], narrowed: dict[str, type] | None = None) -> Any:
    """The dataclass from what `dataclasses.asdict` and JSON made of it; `narrowed` says what stands in a field."""
    hints = typing.get_type_hints(kind) | (narrowed or {})
    made = {}
    for field in dataclasses.fields(kind):
        value, hint = values[field.name], hints[field.name]
        if dataclasses.is_dataclass(hint):
            value = options_from(hint, value)
        elif isinstance(value, str) and Path in typing.get_args(hint):
            value = Path(value)
        made[field.name] = tuple(value) if isinstance(value, list) else value
    return kind(**made)
