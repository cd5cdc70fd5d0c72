"""The directory of a reproduction: its options, a run directory per training, and what follows from them."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from ..provenance import provenance
from ..rundir import RunDirectory, jsonable
from ..saved import options_from
from .options import Reproduction

SCHEMA_VERSION = 2
"""Of the files of a reproduction; docs/run-files.md describes them."""
HEAD = "reproduction.json"


class ReproductionDirectory(RunDirectory):
    """Made once or taken up again; what is finished in it is never written a second time.

    Attributes:
        name: of the figure, or `all`.
        options: that everything in it has.
    """

    def __init__(self, path: Path, head: dict[str, Any]):
        super().__init__(path)
        try:
            self.name: str = head["name"]
            self.options: Reproduction = options_from(Reproduction, head["options"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path / HEAD} is not what this version of qnewton writes ({error!r}): name another directory"
            ) from error
        self.head = head

    @classmethod
    def open(cls, path: Path | None, name: str, options: Reproduction) -> "ReproductionDirectory":
        """Make the directory, or take up the same reproduction again.

        Args:
            path: where; None takes the next free one under runs/.
            name: of the figure, or `all`.
            options: of the reproduction.

        Raises:
            ValueError: if it holds another reproduction; names the first difference.
            FileExistsError: if it holds anything else.
        """
        if path is not None and (path / HEAD).exists():
            found = cls.read(path)
            found._refuse_others(name, options)
            return found
        head = {
            "schema_version": SCHEMA_VERSION,
            "name": name,
            "options": dataclasses.asdict(options),
            **provenance(),
        }
        made = RunDirectory.create(path, f"reproduce-{name}").path
        written = cls(made, jsonable(head))
        written.write(HEAD, head)
        return written

    @classmethod
    def read(cls, path: Path) -> "ReproductionDirectory":
        """One that is there.

        Raises:
            FileNotFoundError: if it is none.
            ValueError: if another version wrote it, or it cannot be read.
        """
        file = path / HEAD
        if not file.exists():
            raise FileNotFoundError(f"{path} holds no {HEAD}: it is not the directory of `qnewton reproduce`")
        head = read_json(file)
        if head.get("schema_version") != SCHEMA_VERSION:
            raise ValueError(
                f"{file}: schema_version is {head.get('schema_version')}, and this version of qnewton reads "
                f"{SCHEMA_VERSION}: name another directory"
            )
        return cls(path, head)

    def of_run(self, name: str) -> Path:
        """Where the run directory of a training is."""
        return self.path / "runs" / name

    def of_measurement(self, name: str) -> Path:
        """Where a measurement is."""
        return self.path / "measured" / f"{name}.json"

    def _refuse_others(self, name: str, options: Reproduction) -> None:
        instead = "nothing is ever overwritten. Name another --out, or give its own options to go on with it"
        if name != self.name:
            raise ValueError(f"{self.path} is a reproduction of {self.name}, not of {name}: {instead}")
        asked, there = (_flat(dataclasses.asdict(one)) for one in (options, self.options))
        for option, value in asked.items():
            if value != there[option]:
                shown = [_words(one) for one in (value, there[option])]
                raise ValueError(f"--{option} is {shown[0]}, and {self.path} has {shown[1]}: {instead}")


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: if it is none, with what to do.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("no object")
    except ValueError as error:
        raise ValueError(
            f"{file} is not a JSON file ({error}), and nothing is overwritten: delete it to have it made again"
        ) from None
    return found


def _flat(options: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in options.items():
        option = f"{prefix}{name.replace('_', '-')}"
        found |= _flat(value, f"{option}.") if isinstance(value, dict) else {option: value}
    return found


def _words(value: Any) -> str:
    return (
        " ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in value)
        if isinstance(value, tuple)
        else str(value)
    )
