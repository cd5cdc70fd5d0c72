"""Handling of jax's settings: the user's functions run under the user's settings, our code is unaffected.

A user who makes jax refuse to broadcast ranks or to mix types looks for mistakes in a model, and an error from
qnewton's own broadcasting would mislead. Nothing global is set. The settings are those of the call, and the user's
settings are restored while a model or a loss is called.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree


class _Promotion(NamedTuple):
    """Promotion settings of types and ranks."""

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
    """Use jax's default promotion within code of qnewton; also a decorator."""
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
    """Restore the user's promotion settings within code of qnewton that calls a user's function."""
    users = _users.get()
    if users is None:
        yield
        return
    with users.holding():
        yield


def debugging() -> bool:
    """Return whether jax raises an error for a result with NaN or an infinity."""
    return bool(jax.config.jax_debug_nans or jax.config.jax_debug_infs)  # pyright: ignore[reportAttributeAccessIssue]


def without_signs(record: PyTree) -> PyTree:
    """Return the record without sentinels: NaN for "not computed" and infinity for "no bound".

    jax treats both as mistakes in any result. If `jax_debug_nans` is set, 0 replaces NaN, and if `jax_debug_infs` is
    set, the largest number replaces infinity. Without these settings the record is returned unchanged.

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
