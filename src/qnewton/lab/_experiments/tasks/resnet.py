"""Task `cnn`: a small residual network whose normalisation stays inside the example."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from ...._curvature import Objective
from ..data.images import digits28, load_images
from ..task_options import ResNetOptions
from .base import Data, Task
from .network import hits, network

_DEFAULT = ResNetOptions()


class ResidualBlock(eqx.Module):
    """Two 3x3 convolutions around a shortcut (He et al. 2016), normalised before each activation.

    Group normalisation (Wu and He 2018) replaces batch normalisation, which would couple the examples.

    Attributes:
        first, second: convolutions; the first one carries the stride.
        first_norm, second_norm: after them.
        shortcut: 1x1 convolution where shape changes, else None.
    """

    first: eqx.nn.Conv2d
    first_norm: eqx.nn.GroupNorm
    second: eqx.nn.Conv2d
    second_norm: eqx.nn.GroupNorm
    shortcut: eqx.nn.Conv2d | None

    def __init__(self, inputs: int, outputs: int, stride: int, key: Array):
        one, two, three = jax.random.split(key, 3)
        self.first = _convolution(inputs, outputs, stride, one)
        self.first_norm = _norm(outputs)
        self.second = _convolution(outputs, outputs, 1, two)
        self.second_norm = _norm(outputs)
        same = inputs == outputs and stride == 1
        self.shortcut = None if same else eqx.nn.Conv2d(inputs, outputs, 1, stride, use_bias=False, key=three)

    def __call__(self, x: Float[Array, "inputs rows columns"]) -> Float[Array, "outputs _ _"]:
        y = jax.nn.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        return jax.nn.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet(eqx.Module):
    """A convolution, stages of residual blocks, the mean over the pixels, a dense layer.

    Attributes:
        stem, stem_norm: the first convolution.
        blocks: residual blocks of all stages.
        head: to the classes.
    """

    stem: eqx.nn.Conv2d
    stem_norm: eqx.nn.GroupNorm
    blocks: list[ResidualBlock]
    head: eqx.nn.Linear

    def __init__(self, options: ResNetOptions, classes: int, key: Array):
        stem, head, *keys = jax.random.split(key, 2 + options.stages * options.blocks)
        width = options.channels
        self.stem, self.stem_norm = _convolution(1, width, 1, stem), _norm(width)
        self.blocks = []
        for number, block_key in enumerate(keys):
            stage, position = divmod(number, options.blocks)
            wide, stride = options.channels * 2**stage, 2 if stage > 0 and position == 0 else 1
            self.blocks.append(ResidualBlock(width, wide, stride, block_key))
            width = wide
        self.head = eqx.nn.Linear(width, classes, key=head)

    def __call__(self, image: Float[Array, "rows columns"]) -> Float[Array, " classes"]:
        x = jax.nn.relu(self.stem_norm(self.stem(image[None])))
        for block in self.blocks:
            x = block(x)
        return self.head(jnp.mean(x, axis=(1, 2)))


def cnn(dtype: str, options: ResNetOptions = _DEFAULT) -> Task:
    """A residual network on the digits of scikit-learn at 28x28 pixels, or on a set in MNIST's format.

    Raises:
        ValueError, OSError: for data that are not there or not what they should be.
    """
    images = load_images(options.images, dtype) or digits28(dtype)
    init, predict = network(lambda key: ResNet(options, images.classes, key), dtype)
    widths = "-".join(str(options.channels * 2**stage) for stage in range(options.stages))
    return Task(
        name="cnn",
        model=f"ResNet, stages of {options.blocks} with {widths} channels, group norm, ReLU",
        source=images.source,
        init=init,
        objective=Objective(predict, optax.softmax_cross_entropy_with_integer_labels),
        accuracy=Objective(predict, hits),
        train=Data(*images.train),
        test=Data(*images.test),
    )


def _convolution(inputs: int, outputs: int, stride: int, key: Array) -> eqx.nn.Conv2d:
    # The normalisation that follows takes any bias away again.
    return eqx.nn.Conv2d(inputs, outputs, 3, stride, padding=1, use_bias=False, key=key)


def _norm(channels: int) -> eqx.nn.GroupNorm:
    return eqx.nn.GroupNorm(math.gcd(channels, 4), channels)
