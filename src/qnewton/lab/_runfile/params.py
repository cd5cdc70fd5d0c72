"""The final parameters of a run, in one file that numpy reads."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .durable import write_whole
from .errors import RunFileError
from .manifest import verify

NAME = "params.npz"


def write_params(run: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the parameters, completely or not at all.

    Args:
        run: its directory.
        arrays: names to arrays, in the order of the leaves.

    Raises:
        OSError: if the directory takes no more.
    """
    content = io.BytesIO()
    # As `np.savez` has it, which takes names for arguments of its own.
    with zipfile.ZipFile(content, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    write_whole(run / NAME, content.getvalue())


def read_params(run: str | Path) -> dict[str, np.ndarray]:
    """Return the final parameters of a run.

    Args:
        run: its directory.

    Returns:
        Names to arrays, in the order of the leaves: with `structure` that of the initial ones,
        `jax.tree.unflatten(structure, list(arrays.values()))` makes them the model's.

    Raises:
        RunFileError: if the run has none, or the file is damaged or altered.
    """
    path = Path(run) / NAME
    verify(Path(run), (NAME,))
    try:
        # All at once: numpy leaves a file open that turns out to be none of its own.
        with np.load(io.BytesIO(path.read_bytes())) as content:
            return {name: content[name] for name in content.files}
    except FileNotFoundError as error:
        raise RunFileError(
            f"{path} is not there: a run writes its parameters when it ends; go on with qnewton train --resume {run}"
        ) from error
    except Exception as error:  # numpy and zipfile meet what they did not write with errors of any kind
        raise RunFileError(f"{path} cannot be read: {error}") from error
