"""The fix that resamples position embeddings and relative position tables to other sizes."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from core.checkpoint import ResampledGrid, ResampledTable, StateDict, TensorEntry
from core.fixes.base import Changed, Context, Effect, Fix
from core.fixes.computed import check_growth, computed, is_floating, rebuilt
from core.fixes.effects import left_alone, where_words
from core.fixes.form import ANY_PATTERN, ChoiceField, Form
from core.fixes.script_part import SHAPES, ScriptPart
from core.fixes.selection import globbed
from core.wording import count, counted

if TYPE_CHECKING:
    import torch

    from core.tensors import resampled_grid, resampled_table

Layout: TypeAlias = Literal["tokens", "channels_last", "channels_first", "heads"]

Resampling: TypeAlias = Literal["timm", "torchvision"]
"""The library whose way of resampling position embeddings is followed."""


@dataclass(frozen=True, slots=True)
class ResamplePositions(Fix):
    """Resample position embeddings and relative position tables to the sizes of the signature.

    `method` is `timm` (bicubic, antialiased) or `torchvision` (bicubic, aligned corners, as its
    `interpolate_embeddings`).
    """

    json_name = "resample_positions"
    keeps_names = True
    form = Form(
        "Resample position embeddings",
        "Resamples position embeddings and relative position tables to the model's image size.",
        (ANY_PATTERN, ChoiceField("method", "Resample as", ("timm", "torchvision"))),
    )

    pattern: str = "*"
    method: Resampling = "timm"

    def words(self) -> str:
        where = where_words(self.pattern)
        return f"Resample position embeddings {where}as {self.method} does"

    def apply(self, state_dict: StateDict, context: Context) -> Changed:
        """Resample the embeddings to the signature's grids, and the tables to its windows.

        Buffers that the model computes from the size are dropped if their shapes differ. A tensor
        is unchanged, and the effect says so, if its grid is not square, so that its height and
        width are unknown, or if it has other tokens besides the grid than the model.
        """
        wanted = context.wanted
        keys = globbed(self.pattern, state_dict, context.patience)
        prefix = prefix_tokens({key: entry.shape for key, entry in state_dict.items()})
        new: dict[str, TensorEntry] = {}
        dropped: set[str] = set()
        unknown: list[str] = []
        example, tokens_note, others = "", "", 0
        for key, entry in state_dict.items():
            if key not in keys or key not in wanted or entry.shape == wanted[key].shape:
                continue
            goal = wanted[key].shape
            plan = position_plan(key, entry.shape, goal, prefix)
            if plan == "dropped":
                dropped.add(key)
            elif plan == "unknown":
                unknown.append(key)
            elif plan == "other tokens":
                rows = (
                    f"`{key}` has {count(entry.shape[-2])} positions, the model {count(goal[-2])}"
                )
                tokens_note = tokens_note or f" {rows}: one counts a class token or the like."
            elif isinstance(plan, tuple) and not is_floating(entry):
                others += 1
            elif isinstance(plan, tuple):
                new[key] = _resampled(entry, goal, plan, self.method)
                example = example or _resampling_words(key, plan)
        check_growth(state_dict, new)
        names = [(key, key) for key in state_dict if key not in dropped]
        entries = [new.get(key, state_dict[key]) for key, _ in names]
        sentence = _sentence(example, len(new), len(dropped), unknown)
        sentence += tokens_note + left_alone(others, "they are not plain floats")
        return rebuilt(state_dict, entries, names), Effect(len(new), len(dropped), sentence)

    def script(self) -> ScriptPart:
        from core.tensors import resampled_grid, resampled_table

        planning = prefix_tokens, position_plan
        functions = *planning, resampled_grid, resampled_table, resample_positions
        given = f"shapes, {self.pattern!a}, {self.method!a}"
        lines = SHAPES, f"state_dict = resample_positions(state_dict, {given})"
        return ScriptPart(lines, functions, needs_model=True, leaves_out=True)


def _resampled(
    entry: TensorEntry,
    shape: tuple[int, ...],
    plan: tuple[str, tuple[int, int], tuple[int, int], int],
    method: Resampling,
) -> TensorEntry:
    layout, old, new, extra = plan
    if layout == "table":
        return computed(entry, ResampledTable(old, new, extra), (entry,), shape)
    grids: dict[str, Layout] = {
        name: name for name in ("tokens", "channels_last", "channels_first", "heads")
    }
    operation = ResampledGrid(old, new, extra, grids[layout], method)
    return computed(entry, operation, (entry,), shape)


def _resampling_words(key: str, plan: tuple[str, tuple[int, int], tuple[int, int], int]) -> str:
    layout, old, new, _ = plan
    words = f"`{key}` resampled from {_size(old)} to {_size(new)}"
    return f"{words}, assumed to be square" if layout in ("tokens", "heads") else words


def _size(grid: tuple[int, int]) -> str:
    return f"{count(grid[0])} × {count(grid[1])}"


def _sentence(example: str, changed: int, dropped: int, unknown: list[str]) -> str:
    sentence = "No position embedding to resample."
    if example:
        sentence = f"{example}, and {count(changed - 1)} more." if changed > 1 else f"{example}."
    if dropped:
        sentence += (
            f" {counted(dropped, 'buffer')} of another size dropped: the model computes "
            f"{'it' if dropped == 1 else 'them'} itself."
        )
    if unknown:
        more = f" and {count(len(unknown) - 1)} more" if unknown[1:] else ""
        sentence += (
            f" `{unknown[0]}`{more} unchanged: "
            "the positions are not a square grid, so its height and width are unknown."
        )
    return sentence


def prefix_tokens(shapes: dict[str, tuple[int, ...]]) -> int:
    """The number of tokens of a model that stand for no place in the image: a class token, a
    distillation token, registers. Counted by the tensors that have them."""
    names = ("cls_token", "class_token", "dist_token", "reg_token", "register_tokens")
    lengths = {}
    for key, shape in shapes.items():
        name = key.rpartition(".")[2]
        if name in names and len(shape) == 3:
            lengths[name] = shape[1]
    return sum(lengths.values())


# In scripts: repeats COMPUTED of core/keys/vocabulary.py.
def position_plan(
    key: str, shape: tuple[int, ...], wanted: tuple[int, ...], prefix: int
) -> tuple[str, tuple[int, int], tuple[int, int], int] | str:
    """How to resample a tensor of positions from `shape` to `wanted`: (layout, old grid, new grid,
    rows that stay unchanged).

    A word in place of that: `dropped` if the model computes the tensor itself, `unknown` if the
    grid's height and width are unknown, `other tokens` if the model has another number of tokens
    besides the grid, and empty if it is not a tensor of positions.
    """
    name, last = ".".join(key.lower().split(".")[-2:]), key.rpartition(".")[2]
    computed = ("relative_position_index", "relative_coords_table", "attn_mask")
    if last in (*computed, "attention_bias_idxs", "rel_pos_index", "position_ids"):
        return "dropped"
    words = name.replace("_", ".").split(".")
    positions = any(word.startswith("pos") for word in words) or last == "attention_biases"
    if not positions or len(shape) != len(wanted) or 0 in shape:
        return ""

    def square(number: int) -> int:
        """The edge of a square of `number` cells; 0 if it is no square."""
        edge = round(max(0, number) ** 0.5)
        return edge if edge * edge == number else 0

    def edges(old: int, new: int, extra_counts: list[int]) -> tuple[int, int, int]:
        """The edges of the old and the new square, and the number of extra rows; zeros if no count
        of extra rows gives two squares."""
        for extra in extra_counts:
            pair = square(old - extra), square(new - extra)
            if all(pair):
                return pair[0], pair[1], extra
        return 0, 0, 0

    if last == "attention_biases":
        if len(shape) != 2 or shape[0] != wanted[0]:
            return ""
        old, new, _ = edges(shape[1], wanted[1], [0])
        return ("heads", (old, old), (new, new), 0) if old else "unknown"
    if "relative_position_bias_table" in name:
        if len(shape) == 3 and shape[0] == wanted[0]:
            return "table", (shape[1], shape[2]), (wanted[1], wanted[2]), 0
        if len(shape) != 2 or shape[1] != wanted[1]:
            return ""
        # 3: BEiT adds the distances to, from and within its class token.
        old, new, extra = edges(shape[0], wanted[0], [0, 3, 1, 2])
        return ("table", (old, old), (new, new), extra) if old else "unknown"
    if "rel_pos" in name or "relative" in name:
        return ""
    if len(shape) == 4 and shape[0] == wanted[0] == 1:
        # Of two possible layouts, the one with more channels.
        ways = [
            (
                shape[at],
                layout,
                (shape[first], shape[first + 1]),
                (wanted[first], wanted[first + 1]),
            )
            for at, first, layout in ((3, 1, "channels_last"), (1, 2, "channels_first"))
            if shape[at] == wanted[at]
        ]
        return (*max(ways)[1:], 0) if ways else ""
    if len(shape) not in (2, 3) or shape[:-2] not in ((), (1,)) or shape[:-2] != wanted[:-2]:
        return ""
    if shape[-1] != wanted[-1] or (len(shape) == 2 and "emb" not in name):
        return ""
    # The model's own count first, then a class token, none, then registers.
    old, new, extra = edges(shape[-2], wanted[-2], [prefix, 1, 0, *range(2, 9)])
    if old:
        return "tokens", (old, old), (new, new), extra
    counts = [prefix, 2, 1, 0]
    grids = [any(square(rows - extra) for extra in counts) for rows in (shape[-2], wanted[-2])]
    return "other tokens" if all(grids) else "unknown"


def resample_positions(
    state_dict: dict[str, torch.Tensor], shapes: dict[str, torch.Size], pattern: str, method: str
) -> dict[str, torch.Tensor]:
    """Tensors of positions resampled to the model's shapes; those that the model computes itself
    are dropped if their shapes differ."""
    prefix = prefix_tokens({key: tuple(value.shape) for key, value in state_dict.items()})
    result = dict(state_dict)
    for key, value in state_dict.items():
        shape, wanted = tuple(value.shape), tuple(shapes.get(key, value.shape))
        if shape == wanted or not fnmatch.fnmatchcase(key, pattern):
            continue
        plan = position_plan(key, shape, wanted, prefix)
        if plan == "dropped":
            del result[key]
        elif isinstance(plan, tuple) and value.is_floating_point():
            layout, old, new, extra = plan
            if layout == "table":
                result[key] = resampled_table(value, old, new, extra)
            else:
                result[key] = resampled_grid(value, old, new, extra, layout, method)
    return result
