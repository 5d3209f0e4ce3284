"""Whether a tensor is another one in another dtype: its values, as far as that dtype has them.

A cast rounds floats. One that cuts off fractions, drops imaginary parts, wraps around or overflows
gives other values, although torch does it without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from core.checkpoint import ITEMSIZES, STRIDED, TensorEntry, arrangement

if TYPE_CHECKING:
    import torch

UNEQUAL = "they are not equal"
"""What is said of two tensors of which neither is a cast of the other."""


def castable(entry: TensorEntry) -> bool:
    """Whether a cast of the tensor makes sense: it is dense and has bytes."""
    return bool(entry.records) and arrangement(entry)[0] == STRIDED


def source_is_a(a: TensorEntry, b: TensorEntry) -> bool:
    """Whether A is cast to B's dtype; else B is to A's, which is the narrower one."""
    return ITEMSIZES[a.dtype] >= ITEMSIZES[b.dtype]


def cast_losses(a: TensorEntry, b: TensorEntry) -> Iterator[tuple[int, str]]:
    """Yield (bytes of A compared so far, why the latest block is not the same), which is empty
    where one is the other, rounded to its dtype. Raises SourceError."""
    from core.tensors import element_blocks  # it imports torch

    sources = ["A", "B"] if source_is_a(a, b) else ["B", "A"]
    done = 0
    for x, y in zip(element_blocks(a), element_blocks(b), strict=True):
        done += x.numel() * x.element_size()
        losses = {of: _loss(x, y) if of == "A" else _loss(y, x) for of in sources}
        sources = [of for of in sources if losses[of] != UNEQUAL]
        if not sources:
            yield done, UNEQUAL
        elif all(losses[of] for of in sources):
            yield done, f"{sources[0]} has {losses[sources[0]]}"
        else:
            sources = [of for of in sources if not losses[of]]
            yield done, ""


def _loss(source: torch.Tensor, target: torch.Tensor) -> str:
    """What the source has that the cast to the target's dtype loses; empty where it only rounds,
    UNEQUAL where it gives other elements than the target's."""
    import torch

    cast = source.to(target.dtype)
    if not torch.equal(cast.view(torch.uint8), target.view(torch.uint8)):
        return UNEQUAL
    dtype = str(target.dtype).removeprefix("torch.")
    x, y = _wide(source), _wide(target)
    if x.is_complex() and not y.is_complex():
        if bool((x.imag != 0).any()):
            return f"imaginary parts, which {dtype} has not"
        x = x.real
    if y.is_floating_point() or y.is_complex():
        overflown = bool((x.isfinite() & ~y.isfinite()).any())
        return f"numbers that are too large for {dtype}" if overflown else ""
    # A whole number keeps its value there and back; numpy compares integers of all widths.
    if bool((y.to(x.dtype).numpy() == x.numpy()).all()):
        return ""
    if target.dtype == torch.bool:
        return "numbers other than 0 and 1"
    if x.is_floating_point():
        return f"numbers that are no whole numbers in the range of {dtype}"
    return f"numbers outside of the range of {dtype}"


def _wide(block: torch.Tensor) -> torch.Tensor:
    """The same numbers in a dtype that has arithmetic."""
    import torch

    if block.dtype == torch.complex32:
        return block.to(torch.complex64)
    return block.to(torch.float32) if block.is_floating_point() and block.itemsize < 4 else block
