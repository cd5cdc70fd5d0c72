"""The directory of a reproduction: its options, a run directory per training, and derived results."""

import dataclasses
from pathlib import Path

from ..._runfile import REPRODUCTION_VERSION, ReproductionHead, typed
from ..grid import Grid
from ..provenance import provenance
from .options import Reproduction

HEAD = "reproduction.json"


@dataclasses.dataclass(frozen=True)
class ReproductionDirectory:
    """Directory of a reproduction, made once or resumed; finished parts are never written again.

    Attributes:
        grid: its files.
        options: that everything in it has.
    """

    grid: Grid[ReproductionHead]
    options: Reproduction

    @classmethod
    def open(cls, path: Path | None, name: str, options: Reproduction) -> "ReproductionDirectory":
        """Make the directory, or resume the same reproduction.

        Args:
            path: where; None takes the next free one under runs/.
            name: of the figure, or `all`.
            options: of the reproduction.

        Raises:
            RunFileError: if it holds another reproduction; names the first difference.
            FileExistsError: if it holds anything else.
        """
        head = ReproductionHead(
            schema_version=REPRODUCTION_VERSION, name=name, options=dataclasses.asdict(options), **provenance()
        )
        return cls(Grid.open(path, f"reproduce-{name}", HEAD, head), options)

    @classmethod
    def read(cls, path: Path) -> "ReproductionDirectory":
        """Read an existing directory.

        Raises:
            RunFileError: if it is none, another version wrote it, or it cannot be read.
        """
        grid = Grid.read(path, HEAD, ReproductionHead, REPRODUCTION_VERSION)
        return cls(grid, typed(grid.head.options, Reproduction, str(path / HEAD), "options"))

    @property
    def path(self) -> Path:
        """Path of the directory."""
        return self.grid.path

    @property
    def name(self) -> str:
        """Name of the figure, or `all`."""
        return self.grid.head.name

    def of_run(self, name: str) -> Path:
        """Return the path of a training's run directory."""
        return self.path / "runs" / name
