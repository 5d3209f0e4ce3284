"""Counts, shares and small numbers as a sentence says them."""

from __future__ import annotations

THIN = "\u202f"
"""The narrow no-break space: between the thousands of a count, and before a percent sign."""


def count(number: int) -> str:
    """A whole number with narrow spaces: 11 689 512."""
    return f"{number:,}".replace(",", THIN)


def tensors(number: int) -> str:
    """`1 tensor`, `122 tensors`."""
    return f"{count(number)} tensor" if number == 1 else f"{count(number)} tensors"


def all_tensors(number: int) -> str:
    """`all 122 tensors`, or `the one tensor`."""
    return "the one tensor" if number == 1 else f"all {tensors(number)}"


def have(number: int) -> str:
    """The verb for so many."""
    return "has" if number == 1 else "have"


def are(number: int) -> str:
    """The verb for so many."""
    return "is" if number == 1 else "are"


def percent(share: float) -> str:
    """A share in percent, which reads 0 % or 100 % only where it is exactly that: 3.2 %, 41 %."""
    if share in {0.0, 1.0}:
        return f"{share:.0%}"[:-1] + f"{THIN}%"
    if share < 0.001:
        return f"under 0.1{THIN}%"
    if 0.999 < share < 1:
        return f"over 99.9{THIN}%"
    if 1 < share < 1.001:
        return f"over 100{THIN}%"
    near = share < 0.0995 or 0.99 < share < 1.01
    return f"{100 * share:.{1 if near else 0}f}{THIN}%"


def small(number: float) -> str:
    """A number of any size with two digits: 3.4e-7, 0.012, 2."""
    digits, _, power = f"{number:.2g}".partition("e")
    return f"{digits}e{int(power)}" if power else digits


def cosine(value: float) -> str:
    """A cosine with two digits, and with more near 1, which it reads only where it is exactly 1."""
    if abs(value) == 1:
        return f"{value:.0f}"
    sign = "−" if value < 0 else ""
    if abs(value) > 0.9999:
        return "over 0.9999" if value > 0 else "under −0.9999"
    if abs(value) < 0.005:
        return "0.00"
    return f"{sign}{abs(value):.{4 if abs(value) > 0.99 else 2}f}"


def listed(names: list[str], most: int = 3) -> str:
    """`a`, `a and b`, `a, b and c`, `a, b, c and 9 more`."""
    named, more = names[:most], len(names) - most
    if more > 0:
        return f"{', '.join(named)} and {count(more)} more"
    return f"{', '.join(named[:-1])} and {named[-1]}" if len(named) > 1 else "".join(named)
