"""What changes an architecture's outputs but no key and no shape, and how two architectures differ.

The facts come from a file that `core.fit.lookalikes.record` writes. Nothing here imports torch.
"""

from __future__ import annotations

import functools
import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from core.architectures import SIMPLE, Architecture
from core.fit.index import installed_versions

SHIPPED = Path(__file__).with_name("arithmetic.json.gz")
"""The facts that come with Loupe, of the versions in requirements.lock."""

FORMAT = 1
"""The format's number; it is raised when the meaning of a field changes."""

LARGEST = 16 << 20
"""The most bytes that the file may unpack to; the shipped one has a tenth."""


@dataclass(frozen=True, slots=True)
class ArithmeticFacts:
    """The arithmetic of one architecture without options.

    `named` are facts by their kind, such as `BatchNorm eps` → `0.001`, or `global_pool=` → `avg`
    for a setting of the model's class; `preprocessing` is what its
    default weights expect of an image, such as `mean` → `0.5, 0.5, 0.5`. `root` is the class of the
    model. `configuration` is a digest of every module's class and settings: where it is equal, the
    same code runs with the same settings. `measured` is None, or the signature's digest and a
    number: two architectures of one signature that gave the same outputs for the same weights have
    the same number, and others have another one.
    """

    named: Mapping[str, str]
    preprocessing: Mapping[str, str]
    root: str
    configuration: str
    measured: tuple[str, int] | None = None


class Arithmetic(Enum):
    """How what one architecture computes compares with another one of the same tensors."""

    SAME = "same"
    OTHER = "other"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Relation:
    """How an architecture compares with another one.

    `differences` name what is different in it (`BatchNorm eps 0.001`), and `preprocessing` what
    images its weights expect instead. `differences` are empty unless the arithmetic is OTHER, and
    may be empty then: the outputs were measured to differ, for a reason without a name.
    """

    arithmetic: Arithmetic
    differences: tuple[str, ...] = ()
    preprocessing: tuple[str, ...] = ()


PROOFS = (
    *("BatchNorm eps", "LayerNorm eps", "GroupNorm eps", "RMSNorm eps", "InstanceNorm eps"),
    *("heads", "padding", "padding mode", "downsampling"),
)
"""Kinds of facts that are a module's own settings in every library. An activation or a pooling may
be a module in one model and a function in another one, which has no such fact."""


OF_ONE_CLASS = ("activation", "global_pool=")
"""Kinds of facts that are proofs too between models of one class: its code uses them alike."""


def compare_facts(facts: ArithmeticFacts | None, other: ArithmeticFacts | None) -> Relation:
    """How the architecture of `other` differs from that of `facts`; None is not known."""
    if facts is None or other is None:
        return Relation(Arithmetic.UNKNOWN)
    preprocessing = _unlike(facts.preprocessing, other.preprocessing)
    names = _unlike(facts.named, other.named)
    if facts.root != other.root:
        names = _unlike_in(PROOFS, facts, other)
    if facts.measured and other.measured and facts.measured[0] == other.measured[0]:
        if facts.measured == other.measured:
            return Relation(Arithmetic.SAME, (), preprocessing)
        # The outputs differ for some reason: a setting that alone is no proof is the likeliest one.
        names = names or _unlike_in(OF_ONE_CLASS, facts, other)
        return Relation(Arithmetic.OTHER, names, preprocessing)
    if facts.configuration == other.configuration:
        return Relation(Arithmetic.SAME, (), preprocessing)
    # Without a measurement, other code is no proof of other outputs: only a setting that is one is.
    kinds = (*PROOFS, *(OF_ONE_CLASS if facts.root == other.root else ()))
    proved = any(facts.named.get(kind, "") != other.named.get(kind, "") for kind in kinds)
    if proved and names:
        return Relation(Arithmetic.OTHER, names, preprocessing)
    return Relation(Arithmetic.UNKNOWN, (), preprocessing)


def relation(architecture: Architecture, other: Architecture) -> Relation:
    """How `other` differs from `architecture`, by the facts of the installed libraries.

    The facts are those of the models without options. Options of the classes, of the channels and
    of auxiliary heads leave the arithmetic as it is; of models with options of structure it is not
    known.
    """
    options = {name for name, _ in (*architecture.options, *other.options)}
    if not options.issubset(SIMPLE):
        return Relation(Arithmetic.UNKNOWN)
    known = known_facts()
    compared = compare_facts(known.get(architecture.plain_key), known.get(other.plain_key))
    if options.intersection(IMAGE_SIZE) and not compared.differences:
        # Windows may depend on the image's size: two models differ at their own sizes alone.
        same = compared.arithmetic is Arithmetic.SAME
        return compared if same else replace(compared, arithmetic=Arithmetic.UNKNOWN)
    return compared


IMAGE_SIZE = ("img_size", "image_size")
"""The options that set the size of the image."""


OF_DOWNSAMPLING = ("stride", "pooling")
"""Kinds of facts that follow from another kind of downsampling, and need not be named besides."""


def _unlike_in(
    kinds: Sequence[str], facts: ArithmeticFacts, other: ArithmeticFacts
) -> tuple[str, ...]:
    """The facts of `other` of these kinds that both have, and that differ, in words."""
    common = [kind for kind in kinds if kind in facts.named and kind in other.named]
    return _unlike(*({kind: each.named[kind] for kind in common} for each in (facts, other)))


def _unlike(facts: Mapping[str, str], other: Mapping[str, str]) -> tuple[str, ...]:
    """The facts of `other` that are not those of `facts`, in words."""
    told = facts.get("downsampling") != other.get("downsampling")
    return tuple(
        f"{kind}{'' if kind.endswith('=') else ' '}{other[kind]}"
        for kind in other
        if other[kind] != facts.get(kind) and not (told and kind in OF_DOWNSAMPLING)
    )


@functools.cache
def known_facts() -> Mapping[str, ArithmeticFacts]:
    """The facts of the architectures of the installed libraries, by `library:name`.

    Empty if there are none of these versions; a damaged file is ignored. It is read at the first
    call.
    """
    try:
        return load_facts(SHIPPED, installed_versions())
    except (OSError, ValueError, KeyError, TypeError, EOFError, zlib.error):
        return {}


def load_facts(path: Path, versions: Mapping[str, str]) -> Mapping[str, ArithmeticFacts]:
    """The facts in a file, by `library:name`; empty if they are of other versions.

    For a damaged file it raises what gzip and json raise, KeyError or TypeError.
    """
    with gzip.open(path) as file:
        text = file.read(LARGEST + 1)
    if len(text) > LARGEST:
        raise ValueError("too large")
    document = json.loads(text)
    if (document["format"], document["versions"]) != (FORMAT, dict(versions)):
        return {}
    return {key: _facts(written) for key, written in document["architectures"].items()}


def save_facts(
    facts: Mapping[str, ArithmeticFacts], versions: Mapping[str, str], path: Path
) -> None:
    """Write facts by `library:name`, as `load_facts` reads them; equal facts give equal bytes."""
    document = {
        "format": FORMAT,
        "versions": dict(versions),
        "architectures": {key: _written(each) for key, each in sorted(facts.items())},
    }
    text = json.dumps(document, separators=(",", ":"))
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def _written(facts: ArithmeticFacts) -> list[Any]:
    return [
        dict(facts.named),
        dict(facts.preprocessing),
        facts.root,
        facts.configuration,
        facts.measured,
    ]


def _facts(written: Any) -> ArithmeticFacts:
    named, preprocessing, root, configuration, measured = written
    return ArithmeticFacts(
        named, preprocessing, root, configuration, None if measured is None else tuple(measured)
    )
