"""What architectures of the same tensors compute: the same, or something else by which settings.

Two architectures go in, and a Relation comes out, by facts of the installed versions that
`python -m core.fit.lookalikes.record` writes. Reading them imports no torch.
"""

from core.fit.lookalikes.facts import (
    Arithmetic,
    ArithmeticFacts,
    Relation,
    compare_facts,
    known_facts,
    relation,
)

__all__ = ["Arithmetic", "ArithmeticFacts", "Relation", "compare_facts", "known_facts", "relation"]
