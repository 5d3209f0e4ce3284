"""How often a file's architecture is identified, and how quickly: every model of torchvision and
timm, in every wrapping, with every change.

    python benchmarks/identify.py [--every 1] [--seed 0] [--all-pairs] [--shown 20] [--build]

Each model is taken in each wrapping with a change drawn by chance, and with each change in a
wrapping drawn by chance; `--all-pairs` takes every wrapping with every change. Then it is taken
under changed names, and with layers inside that are not its own. A case is right where the model is
in the first group of candidates, and the candidate's recipe brings the file to exactly the model's
keys and shapes; with layers that are not its own, where none that fits leaves anything out; with
layers of another network beside it, where none that fits takes one of those. One is
undecidable where all that the file has is the first candidate's too: nothing in it tells the two
apart. These count as wrong under `of all`, and are left out under `of the decidable`. The first
figure counts the wrong ones that are called a fit, of which none is allowed. Times are those of one
warm call.
`--build` also builds an index of the models that are taken, on every core.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.identify_corpus import (
    CHANGES,
    WRAPPINGS,
    Case,
    Shapes,
    cases,
    index_here,
    is_of,
    times,
)
from core.errors import FixError
from core.fit.identify import Candidate, Identification, identify
from core.fit.index import SHIPPED, Index, Lookup, build_index
from core.fixes import AdaptInput, ResamplePositions
from core.recipe import apply_recipe


@dataclass
class Tally:
    right: int = 0
    undecidable: int = 0
    total: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="take every N-th model only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all-pairs", action="store_true")
    parser.add_argument("--shown", type=int, default=20, help="wrong cases to print")
    parser.add_argument("--build", action="store_true", help="time the building of the index")
    options = parser.parse_args()
    started = time.perf_counter()
    index = index_here()
    loaded = time.perf_counter()
    lookup = Lookup(index)
    lookup.warm()
    ready = time.perf_counter()
    print(
        f"index: {len(index):,} models, {len(lookup):,} distinct, "
        f"{SHIPPED.stat().st_size / 1e6:.2f} MB; read in {loaded - started:.2f} s, "
        f"made ready in {ready - loaded:.2f} s"
    )
    if options.build:
        architectures = index.architectures[:: options.every]
        begun = time.perf_counter()
        workers = os.cpu_count() or 1
        build_index(index.versions, workers, architectures=architectures)
        print(
            f"built anew: {len(architectures):,} models in {time.perf_counter() - begun:.0f} s "
            f"by {workers} processes"
        )
    wrapped: dict[str, Tally] = defaultdict(Tally)
    changed: dict[str, Tally] = defaultdict(Tally)
    seconds: list[tuple[float, str]] = []
    false_fits: list[str] = []
    wrong: list[str] = []
    undecidable: list[str] = []
    for case in corpus(index, options.every, options.seed, options.all_pairs):
        begun = time.perf_counter()
        found = identify(case.state_dict, lookup)
        taken = time.perf_counter() - begun
        seconds.append((taken, f"{case.model.architecture.key}, {len(case.state_dict):,} keys"))
        right, clear = is_right(case, found), is_clear(case, found)
        for tally in (wrapped[case.wrapping], changed[case.change]):
            tally.total += 1
            tally.right += right
            tally.undecidable += not right and not clear
        if not right:
            line = (
                f"{case.model.architecture.key} | {case.wrapping} | {case.change} | "
                f"{found.sentence}"
            )
            (wrong if clear else undecidable).append(line)
            if clear and found.candidates and found.candidates[0].fits:
                false_fits.append(line)
    print(f"{len(false_fits):,} wrong, but called a fit")
    report(wrapped, changed, seconds)
    lists = ("wrong, but called a fit", false_fits), ("wrong", wrong), ("undecidable", undecidable)
    for title, lines in lists:
        print(f"\n{len(lines):,} {title}")
        for line in lines[: options.shown]:
            print(f"  {line}")


def corpus(index: Index, every: int, seed: int, all_pairs: bool) -> Iterator[Case]:
    chance = random.Random(seed)
    for model in index.models[::every]:
        yield from cases(model, pairs_for(chance, all_pairs), chance)


def pairs_for(chance: random.Random, all_pairs: bool) -> list[tuple[str, str]]:
    if all_pairs:
        return [(wrapping, change) for wrapping in WRAPPINGS for change in CHANGES]
    return [
        *((wrapping, chance.choice(list(CHANGES))) for wrapping in WRAPPINGS),
        *((chance.choice(list(WRAPPINGS)), change) for change in CHANGES),
    ]


def is_right(case: Case, found: Identification) -> bool:
    """Whether the model is in the first group, and its recipe brings the file to the model.

    Under other names the sentence names all groups that fit, and the model may be in any. Of a file
    that does not fit the model: whether no recipe leaves out what does not fit.
    """
    if not found.candidates:
        return case.fits is False
    best = found.candidates[0]
    if case.fits is False:
        return not (best.fits and best.left_out)
    if case.place and case.fits is None:
        return not best.fits or is_in_place(case, best)
    named = [best, *(one for one in found.candidates[1:] if best.renamed and one.fits)]
    return any(is_of(one, case.model) and is_repaired(case, one) for one in named)


def is_repaired(case: Case, best: Candidate) -> bool:
    if case.fits and not best.fits:
        return False
    shapes = repaired_shapes(case, best)
    if shapes is None or shapes.keys() != case.kept.keys():
        return False
    if not is_in_place(case, best):
        return False
    reshaped = any(
        isinstance(step.fix, AdaptInput | ResamplePositions) for step in best.recipe.steps
    )
    own = case.model.signature
    return all(
        shapes[key] == shape or (reshaped and key in own and shapes[key] == own[key].shape)
        for key, shape in case.kept.items()
    )


def is_in_place(case: Case, best: Candidate) -> bool:
    """Whether all that the recipe takes is below the case's place."""
    repaired = apply_recipe(best.recipe, case.state_dict, case.model.signature).state_dict
    return all((entry.origin or entry.key).startswith(case.place) for entry in repaired.values())


def repaired_shapes(case: Case, best: Candidate) -> Shapes | None:
    """What the recipe makes of the file; None where it cannot be applied."""
    try:
        repaired = apply_recipe(best.recipe, case.state_dict, case.model.signature).state_dict
    except FixError:
        return None
    return {key: entry.shape for key, entry in repaired.items()}


def is_clear(case: Case, found: Identification) -> bool:
    """Whether something in the file tells it from the first candidate.

    Nothing does if that takes the file as it is, or, with tensors missing, has a place of its shape
    for all that is left: gernet_l without its last stage is gernet_m.
    """
    if not found.candidates:
        return True
    best = found.candidates[0]
    if best.fits and not best.recipe.steps:
        return False
    if case.fits is not None or best.mismatched or best.unexpected_keys:
        return True
    shapes = repaired_shapes(case, best)
    if best.fits and shapes is not None:
        return sorted(shapes.values()) != sorted(case.kept.values())
    return shapes != case.kept


HEADINGS = f"{'cases':>8}{'undecidable':>13}{'right of all':>14}{'of the decidable':>18}"


def columns(tally: Tally) -> str:
    decidable = max(1, tally.total - tally.undecidable)
    return (
        f"{tally.total:>8,}{tally.undecidable:>13,}"
        f"{tally.right / max(1, tally.total):>14.2%}{tally.right / decidable:>18.2%}"
    )


def report(
    wrapped: dict[str, Tally], changed: dict[str, Tally], seconds: list[tuple[float, str]]
) -> None:
    for title, tallies in (("wrapping", wrapped), ("change", changed)):
        print(f"\n{title:26}{HEADINGS}")
        for name, tally in tallies.items():
            print(f"{name:26}{columns(tally)}")
    together = Tally()
    for tally in wrapped.values():
        together.right += tally.right
        together.undecidable += tally.undecidable
        together.total += tally.total
    print(f"\n{'all':26}{columns(together)}")
    _, which = max(seconds)
    print(f"{times([taken for taken, _ in seconds])} ({which})")


if __name__ == "__main__":
    main()
