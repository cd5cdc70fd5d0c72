"""Checks of the kinds of arguments, each refusal one sentence that says what to write instead."""

import dataclasses
import types
import typing
from collections.abc import Callable, Container, Iterable, Iterator
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import core, dtypes

_VARIES = "varies"


def check_kind(value: object, kind: type | tuple[type, ...], name: str, example: str) -> None:
    """Refuse a value that is not an instance of a class.

    Args:
        value: as it was given.
        kind: the class that it must be an instance of, or several.
        name: of the argument, with its owner, e.g. `newton: adaptation`.
        example: what to give, e.g. `LevenbergMarquardt()`.

    Raises:
        TypeError: with the name, the value and the example.
    """
    if isinstance(value, kind):
        return
    if isinstance(value, type):
        made = f"make one, {value.__name__}(...)" if issubclass(value, kind) else f"give {example}"
        raise TypeError(f"{name} is the class {value.__name__}: {made}")
    raise TypeError(f"{name} is {said(value)}: give {example}")


def check_kinds(values: Any, kind: type, name: str, example: str) -> None:
    """Refuse a value that is not a sequence of instances of a class; a single instance is refused too.

    Args:
        values: as they were given.
        kind: the class of every member.
        name: of the argument, with its owner.
        example: of a member, e.g. `Damp(5e-3)`.

    Raises:
        TypeError: with the name, the value and the example.
    """
    check_sequence(values, kind, name, example)
    for value in values:
        check_kind(value, kind, f"a member of {name}", example)


def check_sequence(values: Any, kind: type | tuple[()], name: str, example: str) -> None:
    """Refuse a value that is not a sequence, as `check_kinds` does, without checks of the members.

    Raises:
        TypeError: with the name, the value and the example.
    """
    if isinstance(values, kind):
        raise TypeError(f"{name} is one {type(values).__name__}: give a sequence, ({type(values).__name__}(...),)")
    if isinstance(values, str) or not isinstance(values, Iterable) or isinstance(values, Iterator):
        raise TypeError(f"{name} is {said(values)}: give a sequence, e.g. ({example},)")


def check_function(value: object, name: str, example: str) -> Callable:
    """Refuse a value that cannot be called.

    Returns:
        The value.

    Raises:
        TypeError: with the name, the value and the example.
    """
    if not callable(value):
        raise TypeError(f"{name} is {said(value)}, which cannot be called: give {example}")
    return value


def check_key(value: Any, name: str) -> None:
    """Refuse a value that is neither None nor one key of `jax.random`, of either kind.

    Raises:
        TypeError: with the name and the value.
    """
    dtype, rank = getattr(value, "dtype", None), len(getattr(value, "shape", ()))
    typed_key = dtype is not None and jnp.issubdtype(dtype, dtypes.prng_key) and rank == 0
    if not (value is None or typed_key or (dtype == np.uint32 and rank == 1)):
        raise TypeError(f"{name} is {said(value)}: give one key, jax.random.key(0)")


def number(value: Any, name: str) -> Any:
    """Return Python's number for a number of numpy or an array without axes.

    Args:
        value: as it was given; of an integer argument too, whose range is asked for elsewhere.
        name: of the argument, with its owner, e.g. `newton: clip`.

    Raises:
        TypeError: with the name and the value, for what is no real number, or is not known yet.
    """
    if not is_number(value):
        raise TypeError(f"{name} is {said(value)}: give a number")
    if isinstance(value, core.Tracer):
        raise TypeError(
            f"{name} is traced, and decides what is compiled: give a number, which is known before (under "
            "optax.inject_hyperparams: name it in static_args)"
        )
    return plain(value)


def plain(value: Any) -> Any:
    """Return Python's number or flag for one of numpy or an array without axes; other values unchanged.

    The converter of static fields, which are no place for arrays; `check_scalars` then refuses what is none of them.
    """
    if isinstance(value, core.Tracer) or not isinstance(getattr(value, "dtype", None), np.dtype):
        return value
    return value.item() if value.shape == () else value


def numbers(owner: str, optional: Container[str] = (), /, **values: Any) -> Iterator[Any]:
    """Yield the result of `number` for several arguments of one function, in their order.

    Args:
        owner: the function, e.g. `newton`.
        optional: names of arguments that may be None.
        values: as they were given.

    Raises:
        TypeError: as `number`.
    """
    for name, value in values.items():
        yield None if value is None and name in optional else number(value, f"{owner}: {name}")


def varying(owner: str, optional: Container[str] = (), /, **values: Any) -> Iterator[Any]:
    """Yield the result of `number` for arguments that may follow a schedule; a traced number is taken unchanged."""
    for name, value in values.items():
        traced = is_number(value) and not known(value)
        yield value if traced or (value is None and name in optional) else number(value, f"{owner}: {name}")


def known(value: Any) -> bool:
    """Return whether a number is known at trace time, so that its range can be checked and zero left out."""
    return not isinstance(value, core.Tracer)


def typed(value: Any, dtype: jnp.dtype) -> Any:
    """Return a number in the type of the computation; Python's numbers adopt it by themselves."""
    return value if known(value) else value.astype(dtype)


def is_number(value: Any) -> bool:
    """Return whether the value is a real number: Python's, numpy's or an array without axes, traced or not."""
    if isinstance(value, bool | int | float):
        return not isinstance(value, bool)
    if getattr(value, "shape", None) != ():
        return False
    return jnp.issubdtype(value.dtype, jnp.integer) or jnp.issubdtype(value.dtype, jnp.floating)


def check_rate(value: Any, name: str) -> None:
    """Refuse a value that is neither a number, which may be traced, nor a schedule.

    Raises:
        TypeError: with the name and the value.
    """
    if not (callable(value) or is_number(value)):
        raise TypeError(f"{name} is {said(value)}: give a number, or a schedule of the step count")


def flag(value: Any, name: str) -> bool:
    """True or False, numpy's included.

    Raises:
        TypeError: with the name and the value.
    """
    check_kind(value, (bool, np.bool_), name, "True or False")
    return bool(value)


def varies(**settings: Any) -> Any:
    """Return a field for a number that may follow a schedule and be traced: no structure depends on it.

    Args:
        **settings: of the field, e.g. its default.
    """
    return eqx.field(converter=plain, metadata={_VARIES: True}, **settings)


def check_scalars(module: Any) -> None:
    """Refuse fields of an equinox module that are declared as numbers or flags, static or `varies`, and are neither.

    Of a field that is declared as an integer, any other number is refused.

    Raises:
        TypeError: with class, field and value.
    """
    for field in dataclasses.fields(module):
        value, kinds = getattr(module, field.name), _kinds(field.type)
        free = _VARIES in field.metadata
        if not (free or field.metadata.get("static")) or (value is None and type(None) in kinds):
            continue
        name = f"{type(module).__name__}: {field.name}"
        if free and is_number(value) and not known(value):
            continue
        if bool in kinds:
            flag(value, name)
        elif int in kinds or float in kinds:
            found = number(value, name)
            if float not in kinds and not isinstance(found, int):
                raise TypeError(f"{name} is {said(value)}: give an integer")


def _kinds(declared: Any) -> tuple[Any, ...]:
    """Return the classes that a field is declared to hold one of; a container's own is not taken apart."""
    union = typing.get_origin(declared) in (typing.Union, types.UnionType)
    return typing.get_args(declared) if union else (declared,)


def said(value: Any) -> str:
    """Return a short text for a value: the value itself if it is short, else its class."""
    if isinstance(value, str | int | float | bool | None):
        return repr(value)
    if hasattr(value, "shape"):
        return f"an array of the shape {tuple(value.shape)}"
    if callable(value) and hasattr(value, "__name__"):
        return f"the function {value.__name__}"
    return f"of the class {type(value).__name__}"
