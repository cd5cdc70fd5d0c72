"""The directory of a reproduction: its options, a run directory per training, and what follows from them."""

import dataclasses
from pathlib import Path

from ..._runfile import REPRODUCTION_VERSION, ReproductionHead, typed
from ..grid import Grid
from ..provenance import provenance
from .options import Reproduction

HEAD = "reproduction.json"


@dataclasses.dataclass(frozen=True)
class ReproductionDirectory:
    """Made once or taken up again; what is finished in it is never written a second time.

    Attributes:
        grid: its files.
        options: that everything in it has.
    """

    grid: Grid[ReproductionHead]
    options: Reproduction

    @classmethod
    def open(cls, path: Path | None, name: str, options: Reproduction) -> "ReproductionDirectory":
        """Make the directory, or take up the same reproduction again.

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
        """One that is there.

        Raises:
            RunFileError: if it is none, another version wrote it, or it cannot be read.
        """
        grid = Grid.read(path, HEAD, ReproductionHead, REPRODUCTION_VERSION)
        return cls(grid, typed(grid.head.options, Reproduction, str(path / HEAD), "options"))

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.grid.path

    @property
    def name(self) -> str:
        """Of the figure, or `all`."""
        return self.grid.head.name

    def of_run(self, name: str) -> Path:
        """Where the run directory of a training is."""
        return self.path / "runs" / name
