"""Numbers as text, all in one place: SI prefixes, powers of ten, percentages, factors."""

from __future__ import annotations

import math

_PREFIXES = {-18: "a", -15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: ""}
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MISSING = "–"


def power_of_ten(exponent: int) -> str:
    """Return a power such as `10⁵`."""
    return f"10{str(exponent).translate(_SUPERSCRIPTS)}"


def significant(value: float, digits: int = 3) -> str:
    """Three significant digits, as `0.0123` or `1.23×10⁻⁷`."""
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    if -4 <= exponent < 5:
        return f"{value:.{max(0, digits - 1 - exponent)}f}"
    mantissa = f"{value / 10.0**exponent:.{digits - 1}f}" if exponent > -300 else f"{value:e}".split("e")[0]
    return f"{mantissa}×{power_of_ten(exponent)}"


def number(value: float | None, digits: int = 3) -> str:
    """`significant`, or a dash for an unknown number."""
    return MISSING if value is None else significant(value, digits)


def seconds(value: float | None, digits: int = 3) -> str:
    """Return seconds as `1.23 µs`; from 1 as to 10⁵ s with a prefix, beyond that as a power of ten."""
    if value is None:
        return MISSING
    if value == 0:
        return "0 s"
    rounded = float(f"{value:.{digits - 1}e}")
    exponent = math.floor(math.log10(abs(rounded)))
    prefix = min(0, 3 * (exponent // 3))
    if prefix not in _PREFIXES or exponent >= 5:
        return f"{significant(value, digits)} s"
    return f"{value / 10.0**prefix:.{max(0, digits - 1 - exponent + prefix)}f} {_PREFIXES[prefix]}s"


def short_seconds(value: float) -> str:
    """`seconds` for an axis: no trailing zeros."""
    amount, unit = seconds(value).split(" ")
    if "." in amount and "×" not in amount:
        amount = amount.rstrip("0").rstrip(".")
    return f"{amount} {unit}"


def from_log10(value: float | None) -> str:
    """Return a positive number from its logarithm; only the power of ten beyond the floating-point range."""
    if value is None:
        return MISSING
    if value > 300:
        return power_of_ten(round(value))
    if value < 3:
        return significant(10.0**value, 2)
    mantissa, exponent = f"{10.0 ** (value - math.floor(value)):.1f}", math.floor(value)
    return f"1.0×{power_of_ten(exponent + 1)}" if mantissa == "10.0" else f"{mantissa}×{power_of_ten(exponent)}"


def tick(value: float) -> str:
    """A tick, at 1, 2 or 5 of a decade or between them where an axis is short: `0.02`, `500`, `2×10⁵`."""
    exponent = math.floor(math.log10(value) + 1e-9)
    if -4 <= exponent < 4:
        return f"{value:g}"
    digit = f"{value / 10.0**exponent:.3g}"
    return power_of_ten(exponent) if digit == "1" else f"{digit}×{power_of_ten(exponent)}"


def percent(value: float | None, digits: int = 1) -> str:
    """`12.3 %` from a fraction."""
    return MISSING if value is None else f"{100 * value:.{digits}f} %"


def count(value: int) -> str:
    """`12 345`: a thin no-break space between groups of three digits."""
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def shorten(name: str, length: int = 18) -> str:
    """The end of a long name (the part that differs) behind an ellipsis."""
    return name if len(name) <= length else "…" + name[1 - length :]


def abbreviate(name: str, length: int = 40) -> str:
    """Return the start of a long name (the part that identifies it) before an ellipsis."""
    return name if len(name) <= length else name[: length - 1] + "…"


def times(value: float) -> str:
    """Return `3.2 times`, or `10¹² times` for large values."""
    if value < 1e4:
        return f"{significant(value, 2)} times"
    return f"{power_of_ten(math.floor(math.log10(value)))} times"


def plain(value: float) -> str:
    """Return a whole number as `1 000` or `10⁶`."""
    return (
        power_of_ten(round(math.log10(value)))
        if value >= 1e5 and math.log10(value) % 1 == 0
        else significant_whole(value)
    )


def significant_whole(value: float) -> str:
    """Whole numbers with their digits grouped, others to two digits."""
    return count(round(value)) if value >= 10 else significant(value, 2).removesuffix(".0")


def faster(ratio: float, than: str) -> str:
    """Return `12 % faster than by LU` or `3.2 times as fast as by LU`, the comparison of two trainings."""
    if ratio >= 2:
        return f"{times(ratio)} as fast as {than}"
    if ratio <= 0.5:
        return f"{times(1 / ratio)} as slow as {than}"
    change = round(100 * abs(ratio - 1))
    if change == 0:
        return f"as fast as {than}"
    return f"{change} % {'faster' if ratio > 1 else 'slower'} than {than}"


def of_systems(share: float) -> str:
    """`none`, `38 %` or `all` of the systems."""
    return {0.0: "none", 1.0: "all"}.get(share, percent(share, 0)) + " of the systems"


def of_unit(value: float, unit: str) -> str:
    """`1e-9 s`: three digits and a unit, as one types a number."""
    return f"{_exponent(f'{value:.3g}')} {unit}".strip()


def whole(value: int) -> str:
    """`100` or `1e6`: a round whole number as one types it."""
    return _exponent(f"{value:.0e}") if value >= 1000 else str(value)


def _exponent(text: str) -> str:
    return text.replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
