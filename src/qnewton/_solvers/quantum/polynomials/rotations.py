"""Response of a sequence of phases, from the product of its rotations."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft
from jaxtyping import Array, Complex, Float

# Points whose product runs at once: few enough to stay in the cache.
_BATCH = 1024


def response(phases: Float[Array, " d+1"], x: Float[Array, "*shape"]) -> Complex[Array, "*shape"]:
    """The entry `<0|U|0>` of `U(x) = e^{i phi_0 Z} W(x) e^{i phi_1 Z} ... W(x) e^{i phi_d Z}`, for x in [-1, 1].

    `W(x) = e^{i arccos(x) X}` (the Wx convention of arXiv 2105.02859, Theorem 1). The `d` factors are multiplied one by
    one, all points at once; no transform and no symmetry is used, so that it can judge phases however they were found.

    Args:
        phases: in radians, any; float32 or float64 with `x`.
        x: the points.

    Returns:
        One complex number for each point. Can be jitted, mapped and differentiated.
    """
    x = jnp.asarray(x)
    return _entry(jnp.asarray(phases), x, jnp.sqrt((1 - x) * (1 + x)))


def certificate(phases: Float[np.ndarray, " d+1"], coefficients: Float[np.ndarray, " k"]) -> float:
    """Return the largest `|Im <0|U|0> - f|` over `2 (d + 1)` Chebyshev nodes, `f = sum_k coefficients[k] T_k`.

    The difference is a polynomial of degree `d`, so on all of [-1, 1] it is at most sqrt(2) times that (Ehlich and
    Zeller, Math. Z. 86:41, 1964), but for the rounding of the product, which is part of it and grows to some
    `d eps / 3`. Always in float64, whatever the configuration of jax.

    Args:
        phases: in radians, of the parity of `f`: as many as its degree and one.
        coefficients: of the target, in the Chebyshev basis; at most as many as there are phases.

    Returns:
        The error.
    """
    size = len(phases)
    if len(coefficients) > size:
        raise ValueError(
            f"{size} phases make a polynomial of degree {size - 1}: there are {len(coefficients)} coefficients"
        )
    # The response has a parity, so that the nodes above 0 tell all, if the target has it too.
    series = np.zeros(2 * size)
    series[: len(coefficients)] = coefficients
    series[1:] /= 2
    target = np.asarray(scipy.fft.dct(series, type=3))
    # Rounding x would move polynomials by d^2 eps near 1 and -1, so its sine comes from the angle too.
    angles = (np.arange(size) + 0.5) * np.pi / (2 * size)
    with jax.enable_x64(True):
        half = np.asarray(_imaginary(jnp.asarray(phases), jnp.asarray(np.cos(angles)), jnp.asarray(np.sin(angles))))
    mirrored = np.concatenate([half, (-1) ** (size - 1) * half[::-1]])
    return float(np.max(np.abs(mirrored - target)))


def _entry(
    phases: Float[Array, " d+1"], cosine: Float[Array, "*shape"], sine: Float[Array, "*shape"]
) -> Complex[Array, "*shape"]:
    """`<0|U|0>` at the points whose angles have this cosine and sine."""
    turns = jnp.exp(1j * phases)
    other = 1j * sine

    def step(row: tuple[Array, Array], turn: Array) -> tuple[tuple[Array, Array], None]:
        zero, one = row
        return ((cosine * zero + other * one) * turn, (other * zero + cosine * one) * turn.conj()), None

    first = jnp.broadcast_to(turns[0], cosine.shape)
    return jax.lax.scan(step, (first, jnp.zeros_like(first)), turns[1:])[0][0]


@jax.jit
def _imaginary(
    phases: Float[Array, " d+1"], cosine: Float[Array, " m"], sine: Float[Array, " m"]
) -> Float[Array, " m"]:
    return jax.lax.map(lambda point: _entry(phases, *point).imag, (cosine, sine), batch_size=_BATCH)
