"""jax's settings: what a user forbids is forbidden to the user's own functions, and results of ours do not break it.

A user who lets jax refuse to broadcast ranks or to mix types looks for mistakes in a model; where code of ours
broadcasts, none is to be found. Nothing global is set: the settings are those of the call, and the user's come back for
as long as a model or a loss is called.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree


class _Promotion(NamedTuple):
    """How types and ranks are promoted."""

    dtypes: Any
    ranks: Any

    @classmethod
    def now(cls) -> "_Promotion":
        return cls(jax.config.jax_numpy_dtype_promotion, jax.config.jax_numpy_rank_promotion)  # pyright: ignore[reportAttributeAccessIssue]

    @contextmanager
    def holding(self) -> Iterator[None]:
        if self == _Promotion.now():
            yield
            return
        with jax.numpy_dtype_promotion(self.dtypes), jax.numpy_rank_promotion(self.ranks):
            yield


_OURS = _Promotion("standard", "allow")
_users: ContextVar[_Promotion | None] = ContextVar("_users", default=None)


@contextmanager
def own_promotion() -> Iterator[None]:
    """Promotion as jax has it by default, within code of ours; also a decorator."""
    now = _Promotion.now()
    if now == _OURS:
        yield
        return
    before = _users.set(now)
    try:
        with _OURS.holding():
            yield
    finally:
        _users.reset(before)


@contextmanager
def users_promotion() -> Iterator[None]:
    """Promotion as the user has set it, within code of ours that calls a function of the user's."""
    users = _users.get()
    if users is None:
        yield
        return
    with users.holding():
        yield


def debugging() -> bool:
    """Whether jax raises where a result holds NaN or an infinity."""
    return bool(jax.config.jax_debug_nans or jax.config.jax_debug_infs)  # pyright: ignore[reportAttributeAccessIssue]


def without_signs(record: PyTree) -> PyTree:
    """A record without the NaN that says that nobody looked, and the infinity that says that there is no bound.

    jax takes them for mistakes in any result: where `jax_debug_nans` is set, 0 stands for the one, and where
    `jax_debug_infs` is, the largest number for the other. Without these settings the record is handed back.

    Args:
        record: pytree of arrays.
    """
    no_nans, no_infs = jax.config.jax_debug_nans, jax.config.jax_debug_infs  # pyright: ignore[reportAttributeAccessIssue]

    def plain(leaf: Array) -> Array:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        leaf = jnp.where(jnp.isnan(leaf), 0, leaf) if no_nans else leaf
        limit = jnp.finfo(leaf.dtype).max
        return jnp.where(jnp.isinf(leaf), jnp.sign(leaf) * limit, leaf) if no_infs else leaf

    return jax.tree.map(plain, record) if debugging() else record
