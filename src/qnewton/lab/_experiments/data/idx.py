"""Files in the IDX format of MNIST (Y. LeCun, C. Cortes, C. Burges), plain or gzip."""

import gzip
import math
import zlib
from pathlib import Path
from typing import IO

import numpy as np

_GZIP = b"\x1f\x8b"
_UNSIGNED_BYTE = 0x08
_PIECE = 1 << 24
FILES = {
    "training images": "train-images-idx3-ubyte",
    "training labels": "train-labels-idx1-ubyte",
    "test images": "t10k-images-idx3-ubyte",
    "test labels": "t10k-labels-idx1-ubyte",
}


def read_idx(path: Path, axes: int) -> np.ndarray:
    """An array of unsigned bytes.

    Args:
        path: of the file; whether it is compressed is read from its first bytes, not from its name.
        axes: that it must have: 3 for images, 1 for labels.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is not such a file, or not a whole one.
    """
    with path.open("rb") as plain:
        packed = plain.read(len(_GZIP)) == _GZIP
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            return _read(file, path, axes)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is a truncated or damaged gzip file ({error}): download it again") from error


def _read(file: IO[bytes] | gzip.GzipFile, path: Path, axes: int) -> np.ndarray:
    """Read what the header states, and one byte: a packed file of any size takes no more memory than that."""
    header = file.read(4 + 4 * axes)
    magic, expected = header[:4], bytes((0, 0, _UNSIGNED_BYTE, axes))
    if magic != expected:
        raise ValueError(
            f"{path} starts with 0x{magic.hex()}, and an IDX file of unsigned bytes with {axes} "
            f"{'axis' if axes == 1 else 'axes'} with 0x{expected.hex()}: {_what_it_is(magic)}"
        )
    if len(header) < 4 + 4 * axes:
        raise ValueError(f"{path} ends within its header, after {len(header)} bytes: download it again")
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4", axes, 4))
    stated = math.prod(shape)
    pieces, left = [], stated + 1
    # In pieces, since a damaged header may state more than there is memory.
    while left and (piece := file.read(min(left, _PIECE))):
        pieces.append(piece)
        left -= len(piece)
    found = stated + 1 - left
    if found != stated:
        how = f"{found:,}: it is truncated" if found < stated else "more: something was appended to it"
        raise ValueError(
            f"{path} states {' x '.join(map(str, shape))} = {stated:,} bytes of data and holds {how}; download it again"
        )
    return np.frombuffer(b"".join(pieces), np.uint8, stated).reshape(shape)


def _what_it_is(magic: bytes) -> str:
    if magic[:3] == bytes((0, 0, _UNSIGNED_BYTE)) and magic[3:] in (b"\x01", b"\x03"):
        return "images and labels are swapped"
    if len(magic) < 4:
        return "the file is empty or cut off; download it again"
    return "another kind of file, such as the page of a failed download; fetch it again"


def read_mnist(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the arrays of a folder in MNIST's layout: training images and labels, test images and labels.

    Images are `[count, rows, columns]`, labels `[count]`, unsigned bytes. A file may end in `.gz`, and be called
    `train-images.idx3-ubyte`, as some mirrors have it.

    Raises:
        OSError: if the folder or a file is not there; all missing files are named.
        ValueError: if a file is not what it should be, or they do not belong together.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"--data is {folder}: it must be a folder with the files {', '.join(FILES.values())}")
    paths = {what: _find(folder, name) for what, name in FILES.items()}
    missing = [f"{FILES[what]} ({what})" for what, path in paths.items() if path is None]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(missing)}: put the four IDX files of MNIST there, plain or .gz"
        )
    found = {what: read_idx(path, 3 if "images" in what else 1) for what, path in paths.items() if path is not None}
    for part in ("training", "test"):
        images, labels = found[f"{part} images"], found[f"{part} labels"]
        if len(images) != len(labels) or len(images) == 0:
            raise ValueError(
                f"{folder} holds {len(images)} {part} images and {len(labels)} {part} labels: the files do not belong "
                "together"
            )
    if found["training images"].shape[1:] != found["test images"].shape[1:]:
        raise ValueError(
            f"{folder} holds training images of {found['training images'].shape[1:]} pixels and test images of "
            f"{found['test images'].shape[1:]}: the files do not belong together"
        )
    return found["training images"], found["training labels"], found["test images"], found["test labels"]


def _find(folder: Path, name: str) -> Path | None:
    kind = name.replace("-idx", ".idx")
    candidates = (folder / f"{base}{suffix}" for base in (name, kind) for suffix in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)
