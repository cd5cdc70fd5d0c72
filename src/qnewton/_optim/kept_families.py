"""Several families for one training: the first one starts, and its progress can replace it, late and rarely.

The family is chosen by shapes, and that choice may be wrong. Every family that is kept is compiled and holds state, and
one of them acts. Steps are counted in windows. At the end of the third window, and of the one after twice as many, and
so on, the next family is given one window. It stays if the loss fell faster in it than in the window before; if not,
the other one returns. A window in which the loss hardly fell at all is followed by such a trial at once.

Losses and counts decide, never seconds: a run decides the same on a busy machine, and resumes to the same bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._core.arrays import filled
from .._core.settings import own_promotion
from .._core.trees import distinct
from .._core.widths import working_type

WINDOW = 20
"""Steps of a window."""
FIRST = 3
"""Windows before the first trial; each next one waits twice as long."""
STALLED = 0.01
"""Part of the loss that a window must take off it, or another family is tried at once."""


class Watch(eqx.Module):
    """Memory of the correction.

    Attributes:
        acting: which family takes the steps.
        steps: of this window so far.
        begun: the loss at its beginning.
        trying: whether the acting family is on trial.
        before: the part of the loss that the window before the trial took off; 0 where there is none.
        wait: windows until the next trial.
        pause: windows that the trial after that waits.
        corrections: how often a family was replaced for good.
    """

    acting: Int[Array, ""]
    steps: Int[Array, ""]
    begun: Float[Array, ""]
    trying: Bool[Array, ""]
    before: Float[Array, ""]
    wait: Int[Array, ""]
    pause: Int[Array, ""]
    corrections: Int[Array, ""]

    @classmethod
    def start(cls, dtype: jnp.dtype) -> "Watch":
        """Return the initial memory, before the first step."""
        none, loss, no = filled((), 0, jnp.int32), filled((), 0, dtype), filled((), False, bool)
        return cls(none, none, loss, no, loss, filled((), FIRST, jnp.int32), filled((), 2 * FIRST, jnp.int32), none)

    def after(self, loss: Float[Array, ""], families: int) -> "Watch":
        """Update the memory with the loss before a step; the family acts from the next step on.

        Args:
            loss: before the step; one that is not finite ends no window.
            families: how many there are.
        """
        loss = loss.astype(self.begun.dtype)
        begun = jnp.where(self.steps == 0, loss, self.begun)
        over = (self.steps >= WINDOW) & jnp.isfinite(loss)
        fall = (begun - loss) / jnp.where(begun != 0, jnp.abs(begun), 1)
        worse = self.trying & ~(fall > self.before)
        due = ~self.trying & ((self.wait <= 1) | (fall < STALLED))
        turn = jnp.where(worse, families - 1, jnp.where(due, 1, 0))
        ended = Watch(
            acting=(self.acting + turn) % families,
            # The step that ends a window begins the next one, unless another family does.
            steps=jnp.where(turn > 0, 0, 1).astype(jnp.int32),
            begun=loss,
            trying=due & jnp.isfinite(fall),
            before=jnp.where(due & jnp.isfinite(fall), fall, 0),
            wait=jnp.where(due, self.pause, jnp.maximum(self.wait - 1, 1)).astype(jnp.int32),
            pause=jnp.where(due, 2 * self.pause, self.pause).astype(jnp.int32),
            corrections=self.corrections + (self.trying & ~worse).astype(jnp.int32),
        )
        going = replace(self, steps=self.steps + 1, begun=begun)
        return jax.tree.map(lambda new, old: jnp.where(over, new, old), ended, going)


class KeptInfo(eqx.Module):
    """Diagnostics of one step.

    Attributes:
        loss: before the step.
        acting: which of `families` took it.
        trying: whether that one is on trial.
        corrections: how often a family was replaced for good so far.
        infos: of each family, its last one.
        families: their names.
        because: why they are kept.
    """

    loss: Float[Array, ""]
    acting: Int[Array, ""]
    trying: Bool[Array, ""]
    corrections: Int[Array, ""]
    infos: tuple[Any, ...]
    families: tuple[str, ...] = eqx.field(static=True)
    because: str = eqx.field(static=True, default="")

    @property
    def family(self) -> str:
        """The family that took the step; on the host."""
        return self.families[int(self.acting)]


class KeptState(NamedTuple):
    """State of a training with several families.

    Attributes:
        watch: what the correction remembers.
        states: of each family; one that does not act stands where it begins.
        info: of the last step.
    """

    watch: Watch
    states: tuple[Any, ...]
    info: KeptInfo


@dataclass(frozen=True)
class KeptFamilies:
    """`init` and `update` of an optax transformation.

    Attributes:
        names: of the families, the first one begins.
        members: their transformations.
    """

    names: tuple[str, ...]
    members: Sequence[optax.GradientTransformationExtraArgs]

    @own_promotion()
    def init(self, params: PyTree) -> KeptState:
        """The state before the first step."""
        states: tuple[Any, ...] = tuple(member.init(params) for member in self.members)
        dtype = working_type(params)
        none, no = filled((), 0, jnp.int32), filled((), False, bool)
        infos = tuple(state.info for state in states)
        info = KeptInfo(filled((), 0, dtype), none, no, none, infos, self.names)
        return distinct(KeptState(Watch.start(dtype), states, info))

    @own_promotion()
    def update(
        self, updates: PyTree, state: KeptState, params: PyTree | None = None, **extra: Any
    ) -> tuple[PyTree, KeptState]:
        """The acting family's step, and the state after it."""

        def act(k: int) -> tuple[PyTree, tuple[Any, ...]]:
            step, after = self.members[k].update(updates, state.states[k], params, **extra)
            return step, tuple(after if i == k else one for i, one in enumerate(state.states))

        branches = [lambda k=k: act(k) for k in range(len(self.members))]
        step, states = jax.lax.switch(state.watch.acting, branches)
        loss = jnp.stack([one.info.loss.astype(state.info.loss.dtype) for one in states])[state.watch.acting]
        watch = state.watch.after(loss, len(self.members))
        infos = tuple(one.info for one in states)
        info = KeptInfo(
            loss, state.watch.acting, state.watch.trying, watch.corrections, infos, self.names, state.info.because
        )
        # Whoever takes over begins anew: dampings and last steps belong to the parameters that they were found at.
        turned = watch.acting != state.watch.acting
        fresh = self.init(params).states
        states = jax.tree.map(lambda new, old: jnp.where(turned, new, old), fresh, tuple(states))
        return step, KeptState(watch, states, info)
