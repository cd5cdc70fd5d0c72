"""Data sets from the Hugging Face hub, through the optional library `datasets`."""

from collections.abc import Iterable, Sequence


def load_hub(name: str, splits: Sequence[Sequence[str]], columns: Sequence[Sequence[str]]) -> list[list[list]]:
    """Columns of a data set: `result[split][column][example]`.

    Args:
        name: `NAME` or `NAME:CONFIG`.
        splits: of each split that is wanted, the names that will do; the first that is there is taken.
        columns: of each column that is wanted, the same.

    Raises:
        ValueError: if the library, the data set, a split or a column is not there.
        OSError: if the data set cannot be fetched.
    """
    try:
        import datasets  # pyright: ignore[reportMissingImports]  # of the extra `hub`
    except ImportError as error:
        raise ValueError(
            f"--hub is {name}, and the library `datasets` is not installed: pip install 'qnewton[hub]', or give files "
            "with --data"
        ) from error
    path, _, config = name.partition(":")
    try:
        found = datasets.load_dataset(path, config or None)
    except Exception as error:
        # The library raises errors of its own, of its file formats and of its HTTP client, with no common base.
        raise OSError(f"--hub is {name}, and it could not be loaded: {type(error).__name__}: {error}") from error
    chosen = [found[_first("split", name, names, found)] for names in splits]
    return [[list(part[_first("column", name, names, part.column_names)]) for names in columns] for part in chosen]


def _first(what: str, name: str, wanted: Sequence[str], available: Iterable[str]) -> str:
    there = [candidate for candidate in wanted if candidate in available]
    if not there:
        raise ValueError(f"--hub is {name}: it has the {what}s {', '.join(available)}, and needs {' or '.join(wanted)}")
    return there[0]
