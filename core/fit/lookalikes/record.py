"""Writes the facts of arithmetic of the installed versions: `python -m core.fit.lookalikes.record`.

It builds every architecture of the index once without weights. Those that share their signature
with others are also run, with the same weights each. It takes minutes.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from core.architectures import Architecture, build_without_weights, signature_of
from core.errors import LoupeError
from core.fit.index import find_index, installed_versions
from core.fit.lookalikes.facts import SHIPPED, ArithmeticFacts, save_facts
from core.fit.lookalikes.measured_outputs import numbers_of_outputs
from core.fit.lookalikes.of_model import DIGITS, configuration, named_facts, root_class
from core.inputs import default_preprocessing
from core.progress import Report, ignore

LARGEST = 110_000_000
"""The most parameters of a model that is run; ViT-Large has 304 million."""


def build_facts(
    architectures: Iterable[Architecture], progress: Report = ignore
) -> Mapping[str, ArithmeticFacts]:
    """The facts of these architectures by `library:name`; one that cannot be built is left out."""
    wanted = tuple(architectures)
    facts: dict[str, ArithmeticFacts] = {}
    alike: defaultdict[str, list[Architecture]] = defaultdict(list)
    for done, architecture in enumerate(wanted, 1):
        try:
            facts[architecture.key], signature, small = _built(architecture)
        except Exception:  # a library's own code: its error is one architecture's
            continue
        if small:
            alike[signature].append(architecture)
        progress(done, len(wanted), architecture.name)
        if done % 20 == 0:
            gc.collect()
    groups = {signature: group for signature, group in alike.items() if len(group) > 1}
    for done, (signature, group) in enumerate(groups.items(), 1):
        # The same code with the same settings need not be run twice.
        first = {facts[each.key].configuration: each for each in reversed(group)}
        if len(first) > 1:
            numbers = dict(zip(first, numbers_of_outputs([*first.values()]), strict=True))
            for each in group:
                number = numbers[facts[each.key].configuration]
                if number is not None:
                    facts[each.key] = replace(facts[each.key], measured=(signature, number))
        progress(done, len(groups), f"run {group[0].name}")
    return facts


def _built(architecture: Architecture) -> tuple[ArithmeticFacts, str, bool]:
    """The facts, a digest of the signature, and whether the model is small enough to be run."""
    model = build_without_weights(architecture).eval()
    signature = signature_of(model)
    text = json.dumps([(key, spec.shape, spec.dtype) for key, spec in sorted(signature.items())])
    digest = hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
    small = sum(parameter.numel() for parameter in model.parameters()) <= LARGEST
    facts = ArithmeticFacts(
        named_facts(model), _preprocessing(architecture), root_class(model), configuration(model)
    )
    return facts, digest, small


def _preprocessing(architecture: Architecture) -> Mapping[str, str]:
    try:
        expected = default_preprocessing(architecture)
    except LoupeError:
        return {}
    return {
        "size": " × ".join(map(str, expected.crop)),
        "mean": _numbers(expected.mean),
        "std": _numbers(expected.std),
    }


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in (values if len(set(values)) > 1 else values[:1]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the facts of every architecture of the installed versions' index."""
    parser = argparse.ArgumentParser(prog="python -m core.fit.lookalikes.record")
    parser.add_argument("--output", type=Path, default=SHIPPED, help="where to write them")
    chosen = parser.parse_args(arguments)
    index = find_index()
    if index is None:
        parser.error("first build the index: python -m core.fit.index.build")
    facts = build_facts(index.architectures, _say)
    save_facts(facts, installed_versions(), chosen.output)
    size = chosen.output.stat().st_size
    sys.stderr.write(f"\n{len(facts):,} architectures, {size:,} bytes\n")


def _say(done: int, total: int, name: str) -> None:
    sys.stderr.write(f"\r{done:,} of {total:,}  {name:<60.60}")


if __name__ == "__main__":
    main()
