"""Models of plain jax; the constructs of haiku, which is not installed here, are written out."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PyTree

from .case import BATCH, CLASSES, LENGTH, WIDTH, WORDS, Case, Draw, normalised


def haiku_mlp() -> Case:
    d = Draw()
    params = {"a": d(8, WIDTH), "b": d(WIDTH), "c": d(WIDTH, WIDTH), "e": d(WIDTH), "f": d(WIDTH, CLASSES)}

    def predict(p: PyTree, x: Array) -> Array:
        return jax.nn.relu(jax.nn.relu(x @ p["a"] + p["b"]) @ p["c"] + p["e"]) @ p["f"]

    return Case(params, predict, d(BATCH, 8, fan=1))


def haiku_lstm() -> Case:
    """One fused product of input and state in each turn, as `hk.LSTM` has it, and a head."""
    d = Draw()
    params = {"gates": d(2 * WIDTH, 4 * WIDTH), "b": d(4 * WIDTH), "head": d(WIDTH, CLASSES), "embed": d(WORDS, WIDTH)}

    def predict(p: PyTree, words: Array) -> Array:
        def turn(state: tuple[Array, Array], x: Array) -> tuple[tuple[Array, Array], Array]:
            h, c = state
            i, g, f, o = jnp.split(jnp.concatenate([x, h], -1) @ p["gates"] + p["b"], 4, axis=-1)
            c = jax.nn.sigmoid(f + 1) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        start = jnp.zeros((words.shape[0], WIDTH), p["b"].dtype)
        _, seen = lax.scan(turn, (start, start), jnp.swapaxes(p["embed"][words], 0, 1))
        return jnp.swapaxes(seen, 0, 1) @ p["head"]

    return Case(params, predict, d.words(BATCH, LENGTH))


def haiku_layer_stack() -> Case:
    d = Draw()
    params = {"w": d(4, WIDTH, WIDTH), "b": d(4, WIDTH), "g": jnp.ones((4, WIDTH)), "head": d(WIDTH, CLASSES)}

    def predict(p: PyTree, x: Array) -> Array:
        def layer(h: Array, own: tuple[Array, Array, Array]) -> tuple[Array, None]:
            w, b, g = own
            return h + jnp.tanh(normalised(h) * g @ w + b), None

        return lax.scan(layer, x, (p["w"], p["b"], p["g"]))[0] @ p["head"]

    return Case(params, predict, d(BATCH, WIDTH, fan=1))


def haiku_grouped_convolutions() -> Case:
    """A grouped and a depthwise convolution between pointwise ones."""
    d = Draw()
    params = {
        "in": d(1, 1, 2, WIDTH, fan=2),
        "grouped": d(3, 3, WIDTH // 4, 2 * WIDTH, fan=54),
        "depthwise": d(3, 3, 1, 2 * WIDTH, fan=9),
        "b": d(2 * WIDTH),
        "head": d(2 * WIDTH, CLASSES),
    }

    def convolve(x: Array, kernel: Array, groups: int = 1) -> Array:
        names = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=names, feature_group_count=groups)

    def predict(p: PyTree, x: Array) -> Array:
        h = jnp.tanh(convolve(jnp.tanh(convolve(x, p["in"])), p["grouped"], 4))
        h = jnp.tanh(convolve(h, p["depthwise"], 2 * WIDTH) + p["b"])
        return h.mean((1, 2)) @ p["head"]

    return Case(params, predict, d(BATCH, 4, 4, 2, fan=1))


def scanned_layers() -> Case:
    """`lax.scan` over a pytree of stacked layers."""
    d = Draw()
    params = {"layers": {"w": d(3, WIDTH, WIDTH), "b": d(3, WIDTH)}, "in": d(8, WIDTH), "out": d(WIDTH, CLASSES)}

    def predict(p: PyTree, x: Array) -> Array:
        step = jax.checkpoint(lambda h, own: (jax.nn.gelu(h @ own["w"] + own["b"]), None))
        return lax.scan(step, x @ p["in"], p["layers"])[0] @ p["out"]

    return Case(params, predict, d(BATCH, 8, fan=1))


def local_convolution() -> Case:
    """A kernel of its own at each place."""
    d = Draw()
    params = {"local": d(16, 9 * 4, 6), "b": d(16, 6), "head": d(96, CLASSES)}

    def predict(p: PyTree, x: Array) -> Array:
        patches = lax.conv_general_dilated_patches(
            x, (3, 3), (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        h = jnp.einsum("bsi,sio->bso", patches.reshape(x.shape[0], 16, -1), p["local"]) + p["b"]
        return jnp.tanh(h).reshape(x.shape[0], -1) @ p["head"]

    return Case(params, predict, d(BATCH, 4, 4, 4, fan=1))


def tied_embeddings() -> Case:
    d = Draw()
    params = {"table": d(WORDS, WIDTH), "w": d(WIDTH, WIDTH), "b": d(WIDTH), "g": jnp.ones(WIDTH), "c": d(WORDS)}

    def predict(p: PyTree, words: Array) -> Array:
        h = p["table"][words]
        h = h + jnp.tanh(normalised(h) * p["g"] @ p["w"] + p["b"])
        return h @ p["table"].T + p["c"]

    return Case(params, predict, d.words(BATCH, LENGTH))


def mixture_of_experts() -> Case:
    d = Draw()
    params = {"gate": d(WIDTH, 4), "up": d(4, WIDTH, 2 * WIDTH), "b": d(4, 2 * WIDTH), "down": d(4, 2 * WIDTH, WIDTH)}
    params |= {"head": d(WIDTH, CLASSES)}

    def predict(p: PyTree, x: Array) -> Array:
        share = jax.nn.softmax(x @ p["gate"])
        h = jax.nn.silu(jnp.einsum("bi,eio->beo", x, p["up"]) + p["b"])
        return jnp.einsum("beo,eod,be->bd", h, p["down"], share) @ p["head"]

    return Case(params, predict, d(BATCH, WIDTH, fan=1))


def fourier_neural_operator() -> Case:
    """Products in the lowest frequencies, with real and imaginary parts for parameters."""
    d = Draw()
    modes, width = 4, 12
    params = {"lift": d(2, width), "real": d(modes, width, width), "imaginary": d(modes, width, width)}
    params |= {"w": d(width, width), "b": d(width), "out": d(width, 1)}

    def predict(p: PyTree, x: Array) -> Array:
        grid = jnp.broadcast_to(jnp.linspace(0, 1, x.shape[1]), x.shape)
        h = jnp.stack([x, grid], -1) @ p["lift"]
        found = jnp.fft.rfft(h, axis=1)[:, :modes]
        re, im = (
            jnp.einsum("bmi,mio->bmo", found.real, p["real"]) - jnp.einsum("bmi,mio->bmo", found.imag, p["imaginary"]),
            jnp.einsum("bmi,mio->bmo", found.real, p["imaginary"]) + jnp.einsum("bmi,mio->bmo", found.imag, p["real"]),
        )
        spectral = jnp.fft.irfft(jnp.pad(re + 1j * im, ((0, 0), (0, 1), (0, 0))), n=x.shape[1], axis=1)
        return jax.nn.gelu(spectral + h @ p["w"] + p["b"]) @ p["out"]

    return Case(params, predict, d(BATCH, 8, fan=1))


def siren() -> Case:
    d = Draw()
    params = {"a": d(2, WIDTH), "b": d(WIDTH), "c": d(WIDTH, WIDTH) / 5, "e": d(WIDTH), "f": d(WIDTH, 1)}

    def predict(p: PyTree, x: Array) -> Array:
        return jnp.sin(5 * (jnp.sin(5 * (x @ p["a"] + p["b"])) @ p["c"] + p["e"])) @ p["f"]

    return Case(params, predict, d(BATCH, 2, fan=1))


def deeponet() -> Case:
    d = Draw()
    params = {"branch": [d(8, WIDTH), d(WIDTH, WIDTH)], "trunk": [d(1, WIDTH), d(WIDTH, WIDTH)], "b": d(1)}

    def net(weights: list[Array], x: Array) -> Array:
        return jnp.tanh(x @ weights[0]) @ weights[1]

    def predict(p: PyTree, inputs: tuple[Array, Array]) -> Array:
        return jnp.sum(net(p["branch"], inputs[0]) * net(p["trunk"], inputs[1]), -1, keepdims=True) + p["b"]

    return Case(params, predict, (d(BATCH, 8, fan=1), d(BATCH, 1, fan=1)))


def determinant() -> Case:
    """Orbitals of electrons with envelopes, the logarithm of their determinant."""
    d = Draw()
    electrons, width = 3, WIDTH
    params = {"a": d(4, width), "b": d(2 * width, width), "orbitals": d(width, electrons), "sigma": jnp.ones(electrons)}
    params |= {"pi": jnp.ones(electrons)}

    def predict(p: PyTree, x: Array) -> Array:
        distance = jnp.linalg.norm(x, axis=-1, keepdims=True)
        h = jnp.tanh(jnp.concatenate([x, distance], -1) @ p["a"])
        h = h + jnp.tanh(jnp.concatenate([h, jnp.broadcast_to(h.mean(1, keepdims=True), h.shape)], -1) @ p["b"])
        matrices = (h @ p["orbitals"]) * p["pi"] * jnp.exp(-jnp.abs(p["sigma"]) * distance)
        return jnp.linalg.slogdet(matrices)[1][:, None]

    return Case(params, predict, d(BATCH, electrons, 3, fan=1))


def deep_equilibrium() -> Case:
    d = Draw()
    params = {"w": d(WIDTH, WIDTH) / 4, "u": d(8, WIDTH), "b": d(WIDTH), "head": d(WIDTH, CLASSES)}

    def predict(p: PyTree, x: Array) -> Array:
        def excess(z: Array) -> Array:
            return jnp.tanh(z @ p["w"] + x @ p["u"] + p["b"]) - z

        def solve(function: Callable, start: Array) -> Array:
            return lax.fori_loop(0, 40, lambda _, z: z + function(z), start)

        def tangent(linear: Callable, y: Array) -> Array:
            flat = jax.jacobian(lambda v: linear(v.reshape(y.shape)).ravel())(jnp.zeros(y.size, y.dtype))
            return jnp.linalg.solve(flat, y.ravel()).reshape(y.shape)

        start = jnp.zeros((x.shape[0], WIDTH), x.dtype)
        return lax.custom_root(excess, start, solve, tangent) @ p["head"]

    return Case(params, predict, d(BATCH, 8, fan=1))


def state_space_model() -> Case:
    """Diagonal state space with steps that depend on the input, in a scan."""
    d = Draw()
    states = 4
    params = {"in": d(8, 2 * WIDTH), "log_a": d(WIDTH, states) / 4, "dt": d(WIDTH, WIDTH), "dt_bias": d(WIDTH)}
    params |= {"bc": d(WIDTH, 2 * states), "skip": jnp.ones(WIDTH), "out": d(WIDTH, CLASSES)}

    def predict(p: PyTree, x: Array) -> Array:
        u, gate = jnp.split(x @ p["in"], 2, axis=-1)
        dt = jax.nn.softplus(u @ p["dt"] + p["dt_bias"])
        b, c = jnp.split(u @ p["bc"], 2, axis=-1)
        decay = jnp.exp(-dt[..., None] * jnp.exp(p["log_a"]))

        def turn(h: Array, given: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            decay, add, c = given
            h = decay * h + add
            return h, jnp.einsum("bds,bs->bd", h, c)

        first = jnp.zeros((x.shape[0], WIDTH, states), x.dtype)
        added = (dt * u)[..., None] * b[:, :, None]
        along = jnp.swapaxes(decay, 0, 1), jnp.swapaxes(added, 0, 1), jnp.swapaxes(c, 0, 1)
        y = jnp.swapaxes(lax.scan(turn, first, along)[1], 0, 1) + u * p["skip"]
        return (y * jax.nn.silu(gate)) @ p["out"]

    return Case(params, predict, d(BATCH, LENGTH, 8, fan=1))


def low_rank_adaptation() -> Case:
    """Frozen weights, and their low-rank corrections for parameters, applied and merged."""
    d = Draw()
    frozen, merged = d(WIDTH, WIDTH), d(WIDTH, WIDTH)
    params = {"a": d(WIDTH, 3), "b": d(3, WIDTH), "c": d(WIDTH, 3), "e": d(3, WIDTH), "head": d(WIDTH, CLASSES)}

    def predict(p: PyTree, x: Array) -> Array:
        h = jnp.tanh(x @ frozen + (x @ p["a"]) @ p["b"])
        return jnp.tanh(h @ (merged + p["c"] @ p["e"])) @ p["head"]

    return Case(params, predict, d(BATCH, WIDTH, fan=1))


def vector_quantisation() -> Case:
    """Straight-through codes; the codebook is pulled along by an output of its own."""
    d = Draw()
    params = {"in": d(8, WIDTH), "codes": d(WORDS, WIDTH), "out": d(WIDTH, CLASSES)}

    def predict(p: PyTree, x: Array) -> Array:
        z = jnp.tanh(x @ p["in"])
        nearest = jnp.argmin(jnp.sum((z[:, None] - p["codes"]) ** 2, -1), -1)
        code = p["codes"][nearest]
        through = z + lax.stop_gradient(code - z)
        return jnp.concatenate([jnp.tanh(through @ p["out"]), code - lax.stop_gradient(z)], -1)

    return Case(params, predict, d(BATCH, 8, fan=1))


def temporal_classification() -> Case:
    """What a CTC loss is given: convolutions over time, and logits at each step."""
    d = Draw()
    params = {"k": d(3, 6, WIDTH, fan=18), "b": d(WIDTH), "head": d(WIDTH, WORDS), "c": d(WORDS)}

    def predict(p: PyTree, x: Array) -> Array:
        h = lax.conv_general_dilated(x, p["k"], (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))
        return jax.nn.log_softmax(jnp.tanh(h + p["b"]) @ p["head"] + p["c"])

    return Case(params, predict, d(BATCH, 2 * LENGTH, 6, fan=1))


def own_derivative() -> Case:
    """Layers with rules of `jax.custom_jvp`."""
    d = Draw()
    params = {"w": d(8, WIDTH), "v": d(WIDTH, WIDTH), "b": d(WIDTH), "head": d(WIDTH, CLASSES)}

    @jax.custom_jvp
    def layer(x: Array, w: Array, b: Array) -> Array:
        return jnp.tanh(x @ w + b)

    @layer.defjvp
    def _(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
        (x, w, _), (dx, dw, db) = primals, tangents
        z = layer(*primals)
        return z, (1 - z**2) * (dx @ w + x @ dw + db)

    def predict(p: PyTree, x: Array) -> Array:
        return layer(jax.nn.relu(x @ p["w"]), p["v"], p["b"]) @ p["head"]

    return Case(params, predict, d(BATCH, 8, fan=1))


CASES = {
    function.__name__.replace("_", " "): function
    for function in (
        haiku_mlp,
        haiku_lstm,
        haiku_layer_stack,
        haiku_grouped_convolutions,
        scanned_layers,
        local_convolution,
        tied_embeddings,
        mixture_of_experts,
        fourier_neural_operator,
        siren,
        deeponet,
        determinant,
        deep_equilibrium,
        state_space_model,
        low_rank_adaptation,
        vector_quantisation,
        temporal_classification,
        own_derivative,
    )
}
