"""Images with labels: the digits of scikit-learn, at their size or MNIST's, and sets in MNIST's format."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..task_options import ImageOptions
from .hub import load_hub
from .idx import read_mnist

# The split is part of the task: it does not move with a run's seed, so that runs can be compared.
SPLIT_SEED = 0
MNIST_SIDE = 28


@dataclass(frozen=True)
class Images:
    """Grey images in [0, 1] with labels.

    Attributes:
        source: where they come from, in words.
        train, test: pairs of images `[count, rows, columns]` and labels `[count]` (int32).
    """

    source: str
    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]

    @property
    def pixels(self) -> int:
        """Pixels of an image."""
        return self.train[0][0].size

    @property
    def classes(self) -> int:
        """Number of labels."""
        return int(max(self.train[1].max(), self.test[1].max())) + 1


def digits(dtype: str) -> Images:
    """1,797 images of 8x8 handwritten digits, a fifth of them held out.

    Data: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, as shipped by
    `sklearn.datasets.load_digits`; grey values divided by 16.
    """
    # Imported here: scikit-learn takes a second to load, and `qnewton --help` should not.
    from sklearn.datasets import load_digits

    inputs, targets = load_digits(return_X_y=True)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(inputs))
    inputs = (np.asarray(inputs)[order] / 16).astype(dtype).reshape(-1, 8, 8)
    targets = np.asarray(targets)[order].astype(np.int32)
    held_out = len(inputs) // 5
    return Images(
        "8x8 digits, scikit-learn", (inputs[held_out:], targets[held_out:]), (inputs[:held_out], targets[:held_out])
    )


def digits28(dtype: str) -> Images:
    """The same images, interpolated linearly to the 28x28 pixels of MNIST."""
    from scipy.ndimage import zoom

    small = digits(dtype)

    def enlarged(images: np.ndarray) -> np.ndarray:
        factor = MNIST_SIDE / images.shape[1]
        # Typed as an array of any library by its stubs.
        grown: Any = zoom(images, (1, factor, factor), order=1, mode="nearest", grid_mode=True)
        return np.clip(grown, 0, 1)

    (train, train_labels), (test, test_labels) = small.train, small.test
    return Images(
        "8x8 digits, scikit-learn, interpolated to 28x28",
        (enlarged(train), train_labels),
        (enlarged(test), test_labels),
    )


def load_images(options: ImageOptions, dtype: str) -> Images | None:
    """The images that the options name; None where they name none.

    Raises:
        ValueError, OSError: for files or a data set that are not there or not what they should be.
    """
    if options.data is not None:
        folder = options.data.expanduser()
        arrays = read_mnist(folder)
        return _scaled(f"IDX files in {folder.resolve()}", arrays, dtype)
    if options.hub is not None:
        (train, train_labels), (test, test_labels) = load_hub(
            options.hub, [("train",), ("test", "validation")], [("image", "img"), ("label",)]
        )
        arrays = tuple(np.asarray([np.asarray(image) for image in part]) for part in (train, test))
        for part in arrays:
            if part.ndim != 3 or part.dtype != np.uint8:
                raise ValueError(
                    f"--hub is {options.hub}: its images have shape {part.shape[1:]} and type {part.dtype}, and grey "
                    "images of one size in unsigned bytes are needed"
                )
        return _scaled(
            f"{options.hub} on the Hugging Face hub",
            (arrays[0], np.asarray(train_labels), arrays[1], np.asarray(test_labels)),
            dtype,
        )
    return None


def _scaled(source: str, arrays: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], dtype: str) -> Images:
    train, train_labels, test, test_labels = arrays
    return Images(
        source,
        ((train / 255).astype(dtype), train_labels.astype(np.int32)),
        ((test / 255).astype(dtype), test_labels.astype(np.int32)),
    )
