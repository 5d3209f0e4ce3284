"""A proof in sentences, as rows of a table, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from core.predict.proof.outputs import SEED, TOLERANCE, OutputComparison
from core.predict.proof.proof import Proof
from core.predict.proof.values import ValueCheck
from core.wording import are, capital, count, counted, have, listed, of_tensors, small, tensors

MOST_NAMED = 5
"""The most keys that a sentence names; JSON has all of them."""

ROUNDING = (
    "Two models that compute the same may add the same float32 numbers in another order, so "
    f"differences up to {small(TOLERANCE)} times the largest output count as rounding"
)


def proof_sentences(proof: Proof) -> tuple[str, ...]:
    """What was done, what came out, and what was not done; the verdict comes first."""
    return (_verdict(proof), *_steps(proof))


def _verdict(proof: Proof) -> str:
    if not proof.proved:
        return f"The proof failed: {_failure(proof)}."
    if proof.source is not None and proof.compared.verdict == "same outputs":
        return (
            "Proved: it loads with the right values, and gives the outputs of "
            f"{proof.source.title} on {proof.inputs}."
        )
    return (
        "Proved: it loads with the right values. Not proved: that its outputs are those of the "
        "model that was trained."
    )


def _failure(proof: Proof) -> str:
    """Which step failed."""
    if proof.values is None:
        return "it does not load"
    if proof.values.differing:
        return "not every value is the right one"
    if proof.trouble:
        return "it does not run"
    if proof.not_finite:
        return "its outputs are not finite"
    source = proof.source.title if proof.source else "the source"
    return f"its outputs are not those of {source}"


def _steps(proof: Proof) -> Iterator[str]:
    title = proof.architecture.title
    if proof.match is not None:
        yield f"{title} was built and loaded strictly: {tensors(len(proof.match.matched))}."
    if proof.values is not None:
        yield from _values(proof.values)
    if proof.trouble:
        yield proof.trouble
    if proof.inputs:
        yield _outputs(proof)
    if proof.source is not None:
        yield from _comparison(proof)
    elif proof.compared.reason:
        yield proof.compared.reason
    elif not proof.proved:
        yield "No source model was built, since the proof had failed before."


def _values(values: ValueCheck) -> Iterator[str]:
    held = len(values.from_file) + len(values.computed)
    total = held + len(values.differing)
    if values.differing:
        keys = _keys(values.differing)
        number = len(values.differing)
        which = of_tensors(number, total)
        yield (
            f"{capital(which)} {have(number)} other values in the model "
            f"than the file and the recipe give: {keys}."
        )
    else:
        yield f"Bit by bit, {_origins(values)}."
    if values.by_model:
        number = len(values.by_model)
        keys = _keys(values.by_model)
        yield f"The model's own code set {tensors(number)} that {are(number)} not loaded: {keys}."


def _keys(keys: Sequence[str]) -> str:
    return listed([f"`{key}`" for key in keys], MOST_NAMED)


def _origins(values: ValueCheck) -> str:
    """Where the values come from: `60 tensors are those of the file, and 2 tensors are what the
    recipe computes`."""
    parts = []
    if number := len(values.from_file):
        converted = len(values.converted)
        dtype = f" ({count(converted)} in the model's dtype)" if converted else ""
        parts.append(f"{tensors(number)} {are(number)} as in the file{dtype}")
    if number := len(values.computed):
        parts.append(f"{tensors(number)} {are(number)} what the recipe computes")
    return ", and ".join(parts) or "no tensor was to be loaded"


def _outputs(proof: Proof) -> str:
    ran = f"It ran on {proof.inputs} (seed {SEED}) in eval mode"
    if not proof.elements:
        return f"{ran}; its output is empty there."
    if not proof.not_finite:
        return f"{ran}: all {count(proof.elements)} numbers of its output are finite."
    named = proof.values.not_finite if proof.values else ()
    where = f" NaN or infinite weights: {_keys(named)}." if named else ""
    return (
        f"{ran}: {count(proof.not_finite)} of {count(proof.elements)} numbers of its output are "
        f"NaN or infinite.{where}"
    )


def _comparison(proof: Proof) -> Iterator[str]:
    assert proof.source is not None
    compared, source = proof.compared, proof.source.title
    built = f"The source model {source} was built from the file under the file's own key names"
    if compared.verdict == "same outputs":
        yield f"{built}, and gives the same outputs on the same input: {_measured(compared)}."
    elif compared.verdict == "other outputs":
        yield f"{built}, and gives other outputs on the same input: {_measured(compared)}."
    elif compared.difference is not None:
        yield f"{built}. On the same input {_measured(compared)}, but {compared.reason}."
    else:
        yield f"The source model {source} was not compared: {compared.reason}."
    yield from proof.named_by
    if compared.tolerance is not None:
        yield f"{ROUNDING}: here {small(compared.tolerance)}."
    others = [other.title for other in proof.alike if other != proof.source]
    if others:
        yield (
            f"{listed(others)} {have(len(others))} the same keys and shapes as the source, and may "
            "give other outputs: the file does not say which of them was trained."
        )


def _measured(compared: OutputComparison) -> str:
    difference = "" if compared.difference is None else small(compared.difference)
    measured = f"the largest difference is {difference}"
    if compared.agreeing is None:
        return measured
    images = counted(compared.images, "image")
    if compared.agreeing == compared.images:
        return f"{measured}, and the most probable class is the same for each of the {images}"
    return (
        f"{measured}, and the most probable class is the same for {count(compared.agreeing)} of "
        f"{images}"
    )


def proof_facts(proof: Proof) -> Sequence[tuple[str, str]]:
    """The measured numbers, as rows of (what, value)."""
    facts: list[tuple[str, str]] = []
    if proof.values is not None:
        numbers = {
            "As in the file": proof.values.from_file,
            "Computed by the recipe": proof.values.computed,
            "Set by the model itself": proof.values.by_model,
            "With other values": proof.values.differing,
        }
        facts += [(name, tensors(len(keys))) for name, keys in numbers.items() if keys]
    if proof.inputs:
        finite = proof.elements - proof.not_finite
        facts.append(("Finite outputs", f"{count(finite)} of {count(proof.elements)}"))
    facts.append(("Compared with", proof.source.title if proof.source else "no other model"))
    compared = proof.compared
    if compared.difference is not None and compared.tolerance is not None:
        facts += [
            ("Largest difference", small(compared.difference)),
            ("Counts as rounding up to", small(compared.tolerance)),
        ]
    if compared.agreeing is not None:
        same = f"{count(compared.agreeing)} of {counted(compared.images, 'image')}"
        facts.append(("Same most probable class", same))
    return facts


def proof_json(proof: Proof) -> Mapping[str, object]:
    """The proof as JSON values; what was not measured is null."""
    values, compared = proof.values, proof.compared
    return {
        "proved": proof.proved,
        "architecture": proof.architecture.key,
        "loaded": proof.match is not None,
        "values": None
        if values is None
        else {
            "from_file": values.from_file,
            "converted": values.converted,
            "computed": values.computed,
            "by_model": values.by_model,
            "differing": values.differing,
            "not_finite": values.not_finite,
        },
        "inputs": proof.inputs or None,
        "outputs": proof.elements if proof.inputs else None,
        "outputs_not_finite": proof.not_finite if proof.inputs else None,
        "verdict": compared.verdict,
        "source": proof.source.key if proof.source else None,
        "alike": [other.key for other in proof.alike],
        "difference": compared.difference,
        "tolerance": compared.tolerance,
        "same_class": compared.agreeing,
        "images": compared.images or None,
        "sentences": proof_sentences(proof),
    }
