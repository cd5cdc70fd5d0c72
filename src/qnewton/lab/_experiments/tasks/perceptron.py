"""Tasks `digits-mlp`, `digits28`, `mnist-mlp`: Q-Newton's multilayer perceptron, on three sets of images."""

import equinox as eqx
import optax

from ...._curvature import Objective
from ..data.images import Images, digits, load_images
from ..data.images import digits28 as enlarged_digits
from ..task_options import Digits28Options, MnistOptions, PerceptronOptions
from .base import Data, Task
from .network import hits, network

_DIGITS, _DIGITS28 = PerceptronOptions(), Digits28Options()


def digits_mlp(dtype: str, options: PerceptronOptions = _DIGITS) -> Task:
    """Return an MLP 64-16-16-10 with ReLU on 1,797 images of digits: Q-Newton's network on smaller images."""
    return _perceptron("digits-mlp", digits(dtype), dtype, options)


def digits28(dtype: str, options: PerceptronOptions = _DIGITS28) -> Task:
    """Q-Newton's MLP 784-16-16-10 on the same images at the size of MNIST's."""
    return _perceptron("digits28", enlarged_digits(dtype), dtype, options)


def mnist_mlp(dtype: str, options: MnistOptions) -> Task:
    """The same network on MNIST, or another set in its format.

    Raises:
        ValueError, OSError: where the options name no data, or data that are not there or not what they should be.
    """
    images = load_images(options.images, dtype)
    if images is None:
        raise ValueError(
            "mnist-mlp needs MNIST: --data FOLDER with its four IDX files (train-images-idx3-ubyte and so on, plain or "
            ".gz), or --hub ylecun/mnist with the extra `hub`. The task digits28 needs no data: the digits of "
            "scikit-learn at the same size"
        )
    return _perceptron("mnist-mlp", images, dtype, options)


def _perceptron(name: str, images: Images, dtype: str, options: PerceptronOptions) -> Task:
    pixels, classes = images.pixels, images.classes

    def make(key):
        return eqx.nn.MLP(pixels, classes, options.width, options.depth, key=key)

    init, predict = network(make, dtype)
    widths = "-".join(map(str, (pixels, *(options.width,) * options.depth, classes)))
    (train, train_labels), (test, test_labels) = images.train, images.test
    return Task(
        name=name,
        model=f"MLP {widths}, ReLU",
        source=images.source,
        init=init,
        objective=Objective(predict, optax.softmax_cross_entropy_with_integer_labels),
        accuracy=Objective(predict, hits),
        train=Data(train.reshape(len(train), -1), train_labels),
        test=Data(test.reshape(len(test), -1), test_labels),
    )
