"""Columns of equal length, and data frames of them."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core.extras import optional

if TYPE_CHECKING:
    import pandas
    import polars


class Framed:
    """A result that is a table.

    Attributes:
        columns: arrays of one length by name: numbers in double precision, NaN where there is none, or words, None
            where there are none.
    """

    columns: Any

    def to_pandas(self) -> "pandas.DataFrame":
        """The table as a data frame of pandas.

        Raises:
            MissingExtraError: if pandas is not installed.
        """
        return optional("pandas", None, "to_pandas needs pandas").DataFrame(self.columns)

    def to_polars(self) -> "polars.DataFrame":
        """The table as a data frame of polars.

        Raises:
            MissingExtraError: if polars is not installed.
        """
        # Of objects polars would keep no words.
        made = {name: array.tolist() if array.dtype == object else array for name, array in self.columns.items()}
        return optional("polars", None, "to_polars needs polars").DataFrame(made)


@dataclasses.dataclass(frozen=True)
class Columns(Framed):
    """A table by its columns, see `Framed`."""

    columns: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def repeated(self, times: int) -> dict[str, np.ndarray]:
        """The columns with every line so many times."""
        return {name: np.repeat(array, times) for name, array in self.columns.items()}
