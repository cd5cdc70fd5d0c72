"""What the value of an option must be, stated beside its type. No imports of jax here."""

import dataclasses
import functools
import math
import typing
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Limit:
    """A rule for a value, or for each of several; None is always allowed.

    Attributes:
        allows: whether a value keeps it.
        rule: in words, as the end of a sentence about the option.
        whole: whether it is about all values together.
        normal: what a value is written as, so that equal ones are the same; None leaves it.
    """

    allows: Callable[[Any], bool]
    rule: str
    whole: bool = False
    normal: Callable[[Any], Any] | None = None


def at_least(least: int, rule: str = "") -> Limit:
    """An integer from `least` on."""
    return Limit(lambda value: value >= least, rule or f"it must be at least {least}")


def finite(rule: str, least: float = 0.0) -> Limit:
    """A finite number from `least` on."""
    return Limit(lambda value: least <= value < math.inf, rule)


def positive(rule: str) -> Limit:
    """A finite number above 0."""
    return Limit(lambda value: 0 < value < math.inf, rule)


COUNT = at_least(1)
SOME = Limit(lambda values: len(values) > 0, "name at least one", whole=True)
DISTINCT = Limit(lambda values: len(set(values)) == len(values), "it names one twice", whole=True)
SEED = Limit(lambda value: 0 <= value < 2**63, "it must be an integer from 0 to 2^63 - 1")
# The limits keep seconds inside single precision: queries go up to 1e38.
GATE_TIME = Limit(lambda value: 1e-30 <= value <= 1, "it must be a number of seconds from 1e-30 to 1")
STATE_ERROR = Limit(lambda value: 0 < value < 1, "it is the error of a normalised state and must lie in (0, 1)")


class Limited:
    """A dataclass whose fields are inside the limits beside their types; `option_prefix` stands before their names."""

    option_prefix: typing.ClassVar[str] = ""

    def __post_init__(self) -> None:
        for name, limits in _limits(type(self)):
            for limit in limits if getattr(self, name) is not None else ():
                self._keep(name, limit)

    def _keep(self, name: str, limit: Limit) -> None:
        value = getattr(self, name)
        several = isinstance(value, tuple) and not limit.whole
        option = f"--{self.option_prefix}{name.replace('_', '-')} {'holds' if several else 'is'}"
        parts = value if isinstance(value, tuple) and several else (value,)
        for one in parts:
            require(limit.allows(one), option, one, limit.rule)
        if limit.normal is not None:
            written = tuple(map(limit.normal, parts))
            object.__setattr__(self, name, written if several else written[0])


def require(ok: bool, what: str, value: object, rule: str) -> None:
    """Refuse a value.

    Raises:
        ValueError: naming what it is of, itself and the rule.
    """
    if not ok:
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
        raise ValueError(f"{what} {shown if shown != '' else 'empty'}: {rule}")


@functools.cache
def _limits(kind: type) -> tuple[tuple[str, tuple[Limit, ...]], ...]:
    hints = typing.get_type_hints(kind, include_extras=True)
    found = (
        (field.name, tuple(one for one in getattr(hints[field.name], "__metadata__", ()) if isinstance(one, Limit)))
        for field in dataclasses.fields(kind)  # pyright: ignore[reportArgumentType]
    )
    return tuple((name, limits) for name, limits in found if limits)
