"""Read-out of the state: entries and signs from finitely many copies."""

import abc
import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ..readout import AbstractReadout, KerenidisPrakash


class AbstractMeasurement(eqx.Module):
    """A method to read a normalised real vector from copies of a state."""

    @abc.abstractmethod
    def copies(self, n: int) -> tuple[float, float]:
        """Runs whose state is measured, and runs of the controlled circuit."""

    @abc.abstractmethod
    def error(self, n: int) -> float:
        """Return the expected 2-norm error without other noise, in the mean square."""

    @abc.abstractmethod
    def read(self, key: Key[Array, ""], state: Float[Array, " n"], mixed: Float[Array, ""]) -> Float[Array, " n"]:
        """Return a unit vector; the zero vector for a zero state.

        Args:
            key: of the measurement.
            state: its vector, of length 1.
            mixed: weight of the maximally mixed state in what is measured.
        """


class Infinite(AbstractMeasurement):
    """Exact frequencies, as from infinitely many copies; one is counted. Read-out noise is off."""

    def copies(self, n: int) -> tuple[float, float]:
        return 1.0, 0.0

    def error(self, n: int) -> float:
        return 0.0

    def read(self, key: Key[Array, ""], state: Float[Array, " n"], mixed: Float[Array, ""]) -> Float[Array, " n"]:
        return jnp.where(mixed > 0, _unit(jnp.sign(state) * jnp.sqrt(_frequencies(state, mixed))), state)


class AbstractTomography(AbstractMeasurement):
    """N copies for the magnitudes and N controlled runs for the signs (Kerenidis and Prakash, arXiv 1808.09266).

    The first N are measured in the computational basis: entry i, found k_i times, has the magnitude `sqrt(k_i / N)`.
    These numbers are loaded as a second, reference state r. Controlled runs make `(|0>|x> + |1>|r>) / sqrt(2)`; after a
    Hadamard gate on the control, i is found together with 0 or 1 with probabilities `(x_i +- r_i)^2 / 4`, and the sign
    of x_i is + where 0 came up more often. (The paper's rule, from memory, is 0 more than `0.4 N r_i^2` times.) The
    control fixes the common sign, too. Outcomes are drawn from these distributions, qubit by qubit.

    With n entries and enough copies to see them, the mean squared error is about `(n - 1) / (4 N)`.
    """

    @abc.abstractmethod
    def each(self, n: int) -> float:
        """Number of copies N for the magnitudes, and as many for the signs."""

    def copies(self, n: int) -> tuple[float, float]:
        return self.each(n), self.each(n)

    def error(self, n: int) -> float:
        # Magnitudes: the variance of sqrt(k / N) is 1 / (4 N). Small entries and wrong signs are the rest.
        return math.sqrt(n / (2 * self.each(n)))

    def read(self, key: Key[Array, ""], state: Float[Array, " n"], mixed: Float[Array, ""]) -> Float[Array, " n"]:
        n, total = state.size, self.each(state.size)

        def measure(chances: Float[Array, " m"], key: Key[Array, ""]) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
            counts = _multinomial(key, total, chances)
            reference = jnp.sqrt(counts[:n] / total)
            both = jnp.concatenate([(state + reference) ** 2, (state - reference) ** 2]) / 4
            return (1 - mixed) * both + mixed / both.size, counts

        # Two turns of one body, since a binomial distribution takes seconds to compile. The second measures one qubit
        # more, which the first leaves at 0.
        first = jnp.concatenate([_frequencies(state, mixed), jnp.zeros_like(state)])
        found, signs = jax.lax.scan(measure, first, jax.random.split(key))[1]
        magnitudes, (plus, minus) = jnp.sqrt(found[:n]), jnp.split(signs, 2)
        return _unit(jnp.where(plus >= minus, magnitudes, -magnitudes))


class Shots(AbstractTomography):
    """Tomography with a given number of copies.

    Attributes:
        number: N, copies for the magnitudes; as many controlled runs find the signs.
    """

    number: int = eqx.field(static=True)

    def __check_init__(self):
        if not (isinstance(self.number, int) and self.number >= 1):
            raise ValueError(f"number is {self.number}: copies to measure, an integer of at least 1")

    def each(self, n: int) -> float:
        return float(self.number)


class Tomography(AbstractTomography):
    """Tomography with as many copies as a published formula charges for a precision.

    Attributes:
        precision: error of the normalised vector in the 2-norm, in (0, 1).
        readout: the formula; one that measures copies.
        failure_probability: that the error is larger.
    """

    precision: float = eqx.field(static=True)
    readout: AbstractReadout = KerenidisPrakash()
    failure_probability: float = eqx.field(static=True, default=0.01)

    def __check_init__(self):
        cost = self.readout.copies(2, self.precision, self.failure_probability)
        if not cost.valid:
            raise ValueError(f"the read-out {self.readout.name} {cost.reason()}")
        if cost.coherent:
            raise TypeError(
                f"the read-out {self.readout.name} estimates amplitudes coherently, and tomography measures copies: "
                "take KerenidisPrakash() or InteriorPoint()"
            )

    def each(self, n: int) -> float:
        return float(math.ceil(float(self.readout.copies(n, self.precision, self.failure_probability).copies)))


def _frequencies(state: Float[Array, " n"], mixed: Float[Array, ""]) -> Float[Array, " n"]:
    # Of outcomes beyond n, which the padding to whole qubits has, everyone sees that they are errors.
    size = 2 ** _qubits(state.size)
    weights = (1 - mixed) * state**2 + mixed / size
    return weights / jnp.maximum(jnp.sum(weights), jnp.finfo(weights.dtype).tiny)


def _qubits(n: int) -> int:
    return (n - 1).bit_length()


def _multinomial(key: Key[Array, ""], total: float, weights: Float[Array, " m"]) -> Float[Array, " m"]:
    """Return the count of each outcome, drawn qubit by qubit: `log m` draws of many binomials."""
    depth = _qubits(weights.size)
    half = 2**depth // 2
    levels = [jnp.pad(weights, (0, 2 * half - weights.size))]
    for _ in range(depth):
        levels.append(levels[-1].reshape(-1, 2).sum(axis=1))
    # Node i has the children 2 i and 2 i + 1; the root is 1.
    tree = jnp.concatenate([jnp.zeros(1, weights.dtype), *reversed(levels)])
    places = jnp.arange(half)

    def descend(level: int, counts: Float[Array, " nodes"]) -> Float[Array, " nodes"]:
        node = 2**level + places
        within = places < 2**level
        node = jnp.where(within, node, 0)
        both, zero = tree[node], tree[2 * node]
        share = jnp.clip(jnp.where(both > 0, zero / jnp.where(both > 0, both, 1), 0.5), 0, 1)
        among = jnp.where(within, counts[node], 0)
        zeros = jax.random.binomial(jax.random.fold_in(key, level), among, share, dtype=weights.dtype)
        # What is not of this level is written beyond the end, that is, nowhere.
        at = jnp.where(within, 2 * node, counts.size)
        return counts.at[at].set(zeros, mode="drop").at[at + 1].set(among - zeros, mode="drop")

    counts = jnp.zeros(4 * half, weights.dtype).at[1].set(total)
    return jax.lax.fori_loop(0, depth, descend, counts)[2 * half :][: weights.size]


def _unit(vector: Float[Array, " n"]) -> Float[Array, " n"]:
    norm = jnp.linalg.norm(vector)
    return vector / jnp.where(norm > 0, norm, 1)
