"""Text for language models: the documentation inside CPython, a file, WikiText, the hub."""

import platform
from dataclasses import dataclass
from pathlib import Path

from ..task_options import TextOptions
from .hub import load_hub

_HELD_OUT = 5
"""One document in so many is held out where the source has no split of its own."""
_MOST_PIECES = 100


@dataclass(frozen=True)
class Text:
    """Documents, split.

    Attributes:
        source: where they come from, in words.
        train, test: the documents.
    """

    source: str
    train: tuple[str, ...]
    test: tuple[str, ...]


def load_text(options: TextOptions) -> Text:
    """Return the text that the options name; by default the documentation in every Python.

    Raises:
        ValueError, OSError: for what is not there, is no text, or too little of it.
    """
    if options.data is not None:
        path = options.data.expanduser()
        text = _folder(path) if path.is_dir() else _file(path)
    elif options.hub is not None:
        splits = load_hub(options.hub, [("train",), ("test", "validation")], [("text",)])
        train, test = (("".join(_line(line) for line in column),) for (column,) in splits)
        text = Text(f"{options.hub} on the Hugging Face hub", train, test)
    else:
        text = python_topics()
    for part, documents in (("training", text.train), ("held-out", text.test)):
        if not any(document.strip() for document in documents):
            raise ValueError(f"{text.source}: the {part} text is empty. Give a longer one")
    return text


def python_topics() -> Text:
    """Return the English reference documentation of `help()`, one document per topic; it depends on the version."""
    try:
        from pydoc_data import topics
    except ImportError as error:
        raise ValueError(
            "this Python has no pydoc_data.topics (minimal installations leave it out): install the full standard "
            "library, or give a text with --data or --hub"
        ) from error
    source = f"documentation in CPython {platform.python_version()} (pydoc_data.topics)"
    return _split(source, [topics.topics[name] for name in sorted(topics.topics)])


def _file(path: Path) -> Text:
    """A text file, cut into pieces at empty lines."""
    if not path.exists():
        raise FileNotFoundError(f"--data is {path}: there is no such file or folder")
    paragraphs = [part for part in _read(path).split("\n\n") if part.strip()]
    # Neighbours stay together: a sequence should not run over what was never one text.
    size = max(1, len(paragraphs) // _MOST_PIECES)
    pieces = ["\n\n".join(paragraphs[start : start + size]) for start in range(0, len(paragraphs), size)]
    if len(pieces) < _HELD_OUT:
        raise ValueError(
            f"{path} has {len(pieces)} paragraphs between empty lines, and at least {_HELD_OUT} are needed, so that "
            "some can be held out. Give a longer text"
        )
    return _split(f"text file {path.resolve()}", pieces)


def _folder(path: Path) -> Text:
    """Return a WikiText in its distributed form."""

    def find(*splits: str) -> Path:
        names = [f"wiki.{split}.{suffix}" for split in splits for suffix in ("tokens", "raw")]
        found = next((path / name for name in names if (path / name).is_file()), None)
        if found is None:
            raise FileNotFoundError(
                f"{path} lacks {' or '.join(names)}: put a WikiText's files there, or name a single text file"
            )
        return found

    train, test = find("train"), find("test", "valid")
    return Text(f"{train.name} and {test.name} in {path.resolve()}", (_read(train),), (_read(test),))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is no text in UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}"
        ) from error


def _split(source: str, documents: list[str]) -> Text:
    held_out = documents[_HELD_OUT - 1 :: _HELD_OUT]
    kept = [document for index, document in enumerate(documents) if index % _HELD_OUT != _HELD_OUT - 1]
    return Text(source, tuple(kept), tuple(held_out))


def _line(line: str) -> str:
    return line if line.endswith("\n") else line + "\n"
