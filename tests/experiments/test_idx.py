"""Files in MNIST's format, made here byte by byte."""

import gzip
import struct
import subprocess
import sys

import numpy as np
import pytest

from qnewton.lab._experiments.data.idx import FILES, read_idx, read_mnist
from qnewton.lab._experiments.task_options import ImageOptions, MnistOptions
from qnewton.lab._experiments.tasks import make_task

IMAGES = np.arange(5 * 2 * 3, dtype=np.uint8).reshape(5, 2, 3) * 8
LABELS = np.array([0, 1, 2, 1, 0], np.uint8)


def idx(array: np.ndarray) -> bytes:
    """As on the page of the data set: two zero bytes, type 8, number of axes, big-endian sizes, row-major data."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path):
    for name, content in zip(FILES.values(), (IMAGES, LABELS, IMAGES[:2], LABELS[:2]), strict=True):
        (tmp_path / name).write_bytes(idx(content))
    return tmp_path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("array", [IMAGES, LABELS], ids=["images", "labels"])
def test_a_file_is_read_plain_or_compressed_whatever_its_name(array, packed, tmp_path):
    path = tmp_path / "anything"
    path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    np.testing.assert_array_equal(read_idx(path, array.ndim), array)


BROKEN = {
    "truncated": (idx(IMAGES)[:-4], ["5 x 2 x 3 = 30 bytes", "holds 26", "truncated", "download it again"]),
    "too long": (idx(IMAGES) + b"!", ["holds more", "appended"]),
    "within the header": (idx(IMAGES)[:9], ["ends within its header", "9 bytes"]),
    "empty": (b"", ["empty or cut off"]),
    "labels": (idx(LABELS), ["0x00000801", "0x00000803", "swapped"]),
    "a page": (b"<!DOCTYPE html>", ["0x3c21444f", "another kind of file", "fetch it again"]),
    "truncated gzip": (gzip.compress(idx(IMAGES))[:-12], ["truncated or damaged gzip", "download it again"]),
    "damaged gzip": (b"\x1f\x8b" + bytes(40), ["truncated or damaged gzip"]),
}


@pytest.mark.parametrize(("content", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_a_file_that_is_not_what_it_should_be_is_named(content, words, tmp_path):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="train-images-idx3-ubyte") as caught:
        read_idx(path, 3)
    for word in words:
        assert word in str(caught.value)


def test_a_folder_is_read_under_the_names_of_its_mirrors(folder):
    plain = folder / "t10k-labels-idx1-ubyte"
    (folder / "t10k-labels.idx1-ubyte.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    for found, expected in zip(read_mnist(folder), (IMAGES, LABELS, IMAGES[:2], LABELS[:2]), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_missing_files_are_all_named_and_so_is_a_missing_folder(folder):
    for name in ("train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"):
        (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=r"train-labels-idx1-ubyte .training labels., t10k-images-idx3-ubyte"):
        read_mnist(folder)
    with pytest.raises(NotADirectoryError, match="nowhere: it must be a folder"):
        read_mnist(folder / "nowhere")


def test_files_that_do_not_belong_together_are_refused(folder):
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(LABELS))
    with pytest.raises(ValueError, match="2 test images and 5 test labels"):
        read_mnist(folder)


def test_mnist_is_trained_on_as_given_and_the_run_says_so(folder):
    task = make_task("mnist-mlp", "float32", MnistOptions(images=ImageOptions(data=folder)))
    np.testing.assert_allclose(task.train.inputs, IMAGES.reshape(5, 6) / 255, rtol=1e-6)
    np.testing.assert_array_equal(task.test.targets, LABELS[:2])
    assert str(folder) in task.source
    assert "MLP 6-16-16-3" in task.model


def test_without_data_mnist_says_where_to_take_them_from():
    with pytest.raises(ValueError, match=r"--data FOLDER.*--hub ylecun/mnist.*digits28"):
        make_task("mnist-mlp", "float32")


BOMB = """
import gzip, resource, struct, sys
from pathlib import Path
from qnewton.lab._experiments.data.idx import read_idx
from qnewton.lab._experiments.matrices.market import read_matrix_market
images, market = Path("images.gz"), Path("bomb.mtx.gz")
with gzip.open(images, "wb", 1) as file:
    file.write(bytes((0, 0, 8, 3)) + struct.pack(">III", 10, 28, 28))
    for _ in range(300): file.write(bytes(1 << 20))
with gzip.open(market, "wb", 1) as file:
    file.write(b"%%MatrixMarket matrix coordinate real general\\n2 2 1\\n1 1 1.0\\n")
    for _ in range(300): file.write(b"0" * (1 << 20))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for read in (lambda: read_idx(images, 3), lambda: read_matrix_market(market)):
    try: read()
    except ValueError as error: print(str(error)[:200])
print("grown MiB", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_packed_file_takes_no_more_memory_than_it_states(tmp_path):
    done = subprocess.run([sys.executable, "-c", BOMB], cwd=tmp_path, capture_output=True, text=True, check=True)
    images, market, grown = done.stdout.splitlines()
    assert "images.gz states 10 x 28 x 28 = 7,840 bytes of data and holds more" in images
    assert market.startswith("line 4 is '0000000"), market
    assert int(grown.rpartition(" ")[2]) < 60, "300 MiB are packed into each"
