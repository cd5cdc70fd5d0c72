"""The hub, whose library stands here for itself: what it is asked for, and what is made of its answers."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from qnewton.lab._experiments.data.hub import load_hub
from qnewton.lab._experiments.data.images import load_images
from qnewton.lab._experiments.data.text import load_text
from qnewton.lab._experiments.task_options import ImageOptions, TextOptions


class Part(dict):
    @property
    def column_names(self):
        return list(self)


@pytest.fixture
def hub(monkeypatch):
    """`hub(data)`: what the library hands out; asked-for names are in the returned list."""

    def install(found):
        asked = []

        def load_dataset(*names):
            asked.append(names)
            if isinstance(found, Exception):
                raise found
            return found

        monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
        return asked

    return install


def test_images_come_with_their_labels_and_their_name(hub):
    shown = [np.full((2, 2), grey, np.uint8) for grey in (0, 51, 255)]
    asked = hub({"train": Part(image=shown, label=[3, 1, 2]), "test": Part(image=shown[:1], label=[0])})
    images = load_images(ImageOptions(hub="some/mnist"), "float32")
    assert images is not None
    assert asked == [("some/mnist", None)]
    np.testing.assert_allclose(images.train[0][:, 0, 0], [0, 0.2, 1], rtol=1e-6)
    np.testing.assert_array_equal(images.train[1], [3, 1, 2])
    assert "some/mnist" in images.source


def test_text_is_joined_line_by_line(hub):
    asked = hub({"train": Part(text=["one\n", "two"]), "validation": Part(text=["three"])})
    text = load_text(TextOptions(hub="some/wikitext:raw"))
    assert asked == [("some/wikitext", "raw")]
    assert (text.train, text.test) == (("one\ntwo\n",), ("three\n",))


def test_a_missing_library_set_split_or_column_is_named(hub, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r"pip install 'qnewton\[hub\]'"):
        load_hub("some/set", [("train",)], [("text",)])
    hub(ConnectionError("no network"))
    with pytest.raises(OSError, match="some/set, and it could not be loaded: ConnectionError: no network"):
        load_hub("some/set", [("train",)], [("text",)])
    hub({"train": Part(words=["a"])})
    with pytest.raises(ValueError, match="it has the splits train, and needs test"):
        load_hub("some/set", [("test",)], [("text",)])
    with pytest.raises(ValueError, match="it has the columns words, and needs text"):
        load_hub("some/set", [("train",)], [("text",)])


def test_images_that_are_not_grey_are_refused(hub):
    coloured = Part(image=[np.zeros((2, 2, 3), np.uint8)], label=[0])
    hub({"train": coloured, "test": coloured})
    with pytest.raises(ValueError, match=r"shape \(2, 2, 3\) and type uint8"):
        load_images(ImageOptions(hub="some/cifar"), "float32")
