"""How often a network is told whose names are all others, and whether each tensor finds its place.

    python benchmarks/identify_renamed.py [--every 1] [--shown 20]

Of every model of torchvision and timm each word of its names is replaced by one that means nothing,
the same one wherever it stands; numbers, PyTorch's own words for a layer's tensors, and the order
stay. A network is told where it is in the first group of candidates. A tensor is out of place where
the candidate's recipe brings it under another key than its own. The first figure counts candidates
that are called a fit although the network is not among the candidates, or a tensor is out of place:
none is allowed. Networks of the same layers cannot be told apart without names, so the sentence
names all of them. Times are those of one warm call.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.identify_corpus import index_here, is_of, state_dict_of, times
from core.checkpoint import StateDict
from core.errors import FixError
from core.fit.identify import Candidate, identify
from core.fit.index import IndexedModel, Lookup
from core.keys import LEAVES
from core.recipe import apply_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="take every N-th model only")
    parser.add_argument("--shown", type=int, default=20, help="cases to print that are not right")
    options = parser.parse_args()
    index = index_here()
    lookup = Lookup(index)
    lookup.warm()
    counts: Counter[str] = Counter()
    seconds: list[float] = []
    shown: list[str] = []
    false_fits = 0
    for model in index.models[:: options.every]:
        names = renamed(model)
        state_dict = state_dict_of(
            {names[key]: spec.shape for key, spec in model.signature.items()}
        )
        begun = time.perf_counter()
        found = identify(state_dict, lookup)
        seconds.append(time.perf_counter() - begun)
        places = [
            at for at, one in enumerate(found.candidates) if found.known and is_of(one, model)
        ]
        verdict = "told as another"
        fits = bool(found.candidates) and found.candidates[0].fits
        if not found.known:
            verdict = "not told"
        elif places:
            verdict = "a later candidate" if places[0] else "told"
        counts[verdict] += 1
        moved = 0
        if verdict == "told":
            moved = out_of_place(found.candidates[0], state_dict, model, names)
            counts["told, with tensors out of place"] += moved > 0
            counts["told, with ambiguous tensors"] += bool(found.candidates[0].unsure)
            verdict = f"{moved} tensors out of place" if moved else ""
        false_fits += fits and (moved > 0 or not places)
        if verdict:
            shown.append(f"{model.architecture.key} | {verdict} | {found.sentence}")
    total = len(seconds)
    print(f"{false_fits:,} wrong, but called a fit")
    for verdict, count in counts.most_common():
        print(f"{verdict:34}{count:>7,}{count / total:>9.1%}")
    print(times(seconds))
    for line in shown[: options.shown]:
        print(f"  {line}")


def renamed(model: IndexedModel) -> dict[str, str]:
    """Each of the model's keys with a word of no meaning for each of its words."""
    words: dict[str, str] = {}

    def other(word: str) -> str:
        known = word.isdecimal() or word in LEAVES
        return word if known else words.setdefault(word, _word(len(words)))

    return {key: ".".join(map(other, key.split("."))) for key in model.signature}


def _word(number: int) -> str:
    """A word of no meaning: a number in it would say that the layers of two words count up."""
    digits = f"{number:04}"
    return "z" + "".join("bdgklmprtv"[int(digit)] for digit in digits)


def out_of_place(
    candidate: Candidate, state_dict: StateDict, model: IndexedModel, names: dict[str, str]
) -> int:
    """The tensors that the recipe brings under another key than their own."""
    try:
        repaired = apply_recipe(candidate.recipe, state_dict, model.signature).state_dict
    except FixError:
        return len(names)
    return sum(names.get(key) != entry.origin for key, entry in repaired.items())


if __name__ == "__main__":
    main()
