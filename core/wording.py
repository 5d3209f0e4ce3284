"""Numbers, sizes, shapes, shares, lists and plurals, as pages, commands and reports write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

THIN = "\u202f"
"""A thin space that no line breaks at."""

PLURALS = {
    "batch": "batches",
    "class": "classes",
    "entry": "entries",
    "infinity": "infinities",
    "matrix": "matrices",
}
"""Plurals that do not end in `s` alone."""


def count(number: int) -> str:
    """A whole number with thin spaces: 11 689 512."""
    return f"{number:,}".replace(",", THIN)


def size(nbytes: float) -> str:
    """Bytes in decimal units: 44.7 MB."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while abs(nbytes) >= 999.5 and len(units) > 1:
        nbytes /= 1000
        del units[0]
    digits = f"{nbytes:.0f}" if units[0] == "B" else _three_digits(nbytes)
    return f"{digits}{THIN}{units[0]}"


def parameters(number: int) -> str:
    """A number of parameters: 11.69 M; exact below ten thousand."""
    if number < 10_000:
        return count(number)
    for unit in ("k", "M", "G"):
        number_in_unit = number / 1000 ** ("kMG".index(unit) + 1)
        if number_in_unit < 999.5 or unit == "G":
            break
    digits = 2 if number_in_unit < 99.995 else 1
    return f"{number_in_unit:.{digits}f}{THIN}{unit}"


def counted_parameters(number: int) -> str:
    """`1 parameter`, `11.69 M parameters`."""
    return f"{parameters(number)} parameter{'' if number == 1 else 's'}"


def shape(sizes: Sequence[int]) -> str:
    """A tensor's shape: 64 × 3 × 7 × 7; a tensor without dimensions is a scalar."""
    return " × ".join(map(str, sizes)) or "scalar"


def duration(seconds: float) -> str:
    """A stretch of time as a person says it: 8 s, 2 min 5 s, 1 h 10 min; never 0 s for a part of
    a second."""
    whole = max(1, round(seconds)) if seconds else 0
    if whole < 60:
        return f"{whole}{THIN}s"
    if whole < 3600:
        return f"{whole // 60}{THIN}min {whole % 60}{THIN}s"
    return f"{whole // 3600}{THIN}h {whole % 3600 // 60}{THIN}min"


def pass_time(seconds: float) -> str:
    """The time of a forward pass with three digits: 12.3 ms, 1.52 s."""
    if 0 < seconds < 1e-5:
        return f"under 0.01{THIN}ms"
    if seconds < 0.9995:
        return f"{_three_digits(1000 * seconds)}{THIN}ms"
    return f"{_three_digits(seconds)}{THIN}s"


def counted(number: int, noun: str) -> str:
    """A number of things: `1 key`, `11 689 keys`, `2 matrices`, `3 more batches`."""
    before, space, last = noun.rpartition(" ")
    plural = before + space + PLURALS.get(last, f"{last}s")
    return f"{count(number)} {noun if number == 1 else plural}"


def tensors(number: int) -> str:
    """`1 tensor`, `122 tensors`."""
    return counted(number, "tensor")


def all_tensors(number: int) -> str:
    """`all 122 tensors`, or `the one tensor`."""
    return "the one tensor" if number == 1 else f"all {tensors(number)}"


def of_tensors(number: int, total: int) -> str:
    """Some of so many: `3 of 122 tensors`, or `the one tensor`."""
    return all_tensors(1) if number == total == 1 else f"{count(number)} of {tensors(total)}"


def have(number: int) -> str:
    """The verb for so many."""
    return "has" if number == 1 else "have"


def are(number: int) -> str:
    """The verb for so many."""
    return "is" if number == 1 else "are"


def part_of(number: int, total: int, noun: str, of: str = "the") -> str:
    """Some of so many things at the start of a sentence, with the verb for them: `1 of the 3 shards
    is`, `The one shard is`, `The one shard is not` for none of one."""
    if total == 1:
        return f"{of.capitalize()} one {noun} is{'' if number else ' not'}"
    return f"{count(number)} of {of} {counted(total, noun)} {are(number)}"


def percent(share: float, *, decimal: bool = False) -> str:
    """A share, 0 to 1, in percent, which reads 0 % or 100 % only where it is exactly that: 3.2 %,
    41 %.

    With `decimal`, every share below 100 % has one: 98.4 %. It is for shares that stand side by
    side, where near ones must differ.
    """
    if share in {0.0, 1.0}:
        return f"{share:.0%}"[:-1] + f"{THIN}%"
    if share < 0.001:
        return f"under 0.1{THIN}%"
    if 0.999 < share < 1:
        return f"over 99.9{THIN}%"
    if 1 < share < 1.001:
        return f"over 100{THIN}%"
    near = share < 0.0995 or 0.99 < share < 1.01 or (decimal and share < 1)
    return f"{100 * share:.{1 if near else 0}f}{THIN}%"


def share_text(share: float) -> str:
    """A share, 0 to 1, in a table's column, where small ones must differ: 55.7 %, 0.2 %, 0.04 %,
    < 0.01 %; it reads 0 % or 100 % only where it is exactly that."""
    percents = 100 * share
    if share in {0.0, 1.0}:
        return f"{percents:.0f}{THIN}%"
    if percents < 0.005:
        return f"<{THIN}0.01{THIN}%"
    if 99.95 <= percents < 100:
        return f">{THIN}99.9{THIN}%"
    return f"{percents:.{2 if percents < 0.095 else 1}f}{THIN}%"


def probability_text(probability: float) -> str:
    """A class's probability, whose near ones must differ: 61.91 %."""
    return f"{100 * probability:.2f}{THIN}%"


PERCENT_CELL = f"%.4g{THIN}%%"
"""How a table's column writes what `in_percent` returns (sprintf)."""


def in_percent(share: float) -> float:
    """A share in percent with three digits, for a table that sorts by it: a part is never 0 or 100,
    however near, nor is what is more than all; that has a fourth digit, as in 100.4."""
    percents = 100 * share
    if share < 1:
        return min(float(f"{percents:.3g}"), 99.9)
    return max(round(percents, 1), 100.1) if 1 < share < 1.01 else float(f"{percents:.3g}")


def small(number: float, digits: int = 2) -> str:
    """A number of any size with so many digits: 3.4e-7, 0.012, 2."""
    significand, _, power = f"{number:.{digits}g}".partition("e")
    return f"{significand}e{int(power)}" if power else significand


def signed(number: float, digits: int = 3) -> str:
    """A number as `small` writes it, with a true minus: −0.389."""
    return small(number, digits).replace("-", "−")


def cosine(value: float) -> str:
    """A cosine with two digits, and with more near 1, which it reads only where it is exactly 1."""
    sign = "−" if value < 0 else ""
    if abs(value) == 1:
        return f"{sign}1"
    if abs(value) > 0.9999:
        return "over 0.9999" if value > 0 else "under −0.9999"
    if abs(value) < 0.005:
        return "0.00"
    return f"{sign}{abs(value):.{4 if abs(value) > 0.99 else 2}f}"


def place_in_file(path: str) -> str:
    """A state_dict's path in its file; the file itself for an empty one."""
    return path or "the file itself"


def listed(names: list[str], most: int = 3) -> str:
    """`a`, `a and b`, `a, b and c`, `a, b, c and 9 more`."""
    named, more = names[:most], len(names) - most
    if more > 0:
        return f"{', '.join(named)} and {count(more)} more"
    return f"{', '.join(named[:-1])} and {named[-1]}" if len(named) > 1 else "".join(named)


@dataclass(frozen=True, slots=True)
class Headline:
    """A page's title, and the line below it; both have keys in single backticks."""

    title: str
    evidence: str = ""


def capital(sentence: str) -> str:
    """A sentence, or the name of something, with a capital at its beginning."""
    return sentence[:1].upper() + sentence[1:]


def clauses(parts: Sequence[str]) -> str:
    """Clauses as one sentence, whose first letter is a capital: `Cosine 0.9964; epoch 2 → 40.`;
    empty for none."""
    whole = "; ".join(parts)
    return f"{capital(whole)}." if whole else ""


def _three_digits(number: float) -> str:
    return f"{number:.{2 if number < 9.995 else 1 if number < 99.95 else 0}f}"
