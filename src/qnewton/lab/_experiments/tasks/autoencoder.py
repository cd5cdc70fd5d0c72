"""Task `autoencoder`: a deep tanh autoencoder, the classical hard case of second-order training."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...._curvature import Objective
from ..data.images import digits, load_images
from ..task_options import AutoencoderOptions
from .base import Data, Task
from .network import half_square, network

_DEFAULT = AutoencoderOptions()


class Autoencoder(eqx.Module):
    """Dense layers with tanh between them.

    Weights start with variance 1/inputs and biases at 0, which keeps the variance of activations along the depth (LeCun
    et al. 1998, section 4.6).

    Attributes:
        layers: from the pixels through the code and back.
    """

    layers: list[eqx.nn.Linear]

    def __init__(self, widths: tuple[int, ...], key: Array):
        keys = jax.random.split(key, len(widths) - 1)
        self.layers = [_layer(*pair, k) for pair, k in zip(itertools.pairwise(widths), keys, strict=True)]

    def __call__(self, x: Float[Array, " pixels"]) -> Float[Array, " pixels"]:
        for layer in self.layers[:-1]:
            x = jnp.tanh(layer(x))
        return self.layers[-1](x)


def _layer(inputs: int, outputs: int, key: Array) -> eqx.nn.Linear:
    layer = eqx.nn.Linear(inputs, outputs, key=key)
    weight = jax.random.normal(key, (outputs, inputs)) / jnp.sqrt(inputs)
    return eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, (weight, jnp.zeros(outputs)))


def autoencoder(dtype: str, options: AutoencoderOptions = _DEFAULT) -> Task:
    """Return the task of coding images through a narrow layer; the loss is half the sum of squares over the pixels.

    Raises:
        ValueError, OSError: for data that are not there or not what they should be.
    """
    images = load_images(options.images, dtype) or digits(dtype)
    encoder = (images.pixels, *options.hidden, options.code)
    widths = (*encoder, *reversed(encoder[:-1]))
    init, predict = network(lambda key: Autoencoder(widths, key), dtype)
    train, test = (part.reshape(len(part), -1) for part in (images.train[0], images.test[0]))
    return Task(
        name="autoencoder",
        model=f"autoencoder {'-'.join(map(str, widths))}, tanh",
        source=images.source,
        init=init,
        objective=Objective(predict, half_square),
        accuracy=None,
        train=Data(train, train),
        test=Data(test, test),
    )
