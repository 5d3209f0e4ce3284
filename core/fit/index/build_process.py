"""The process that `build.py` starts: it indexes the architectures that it reads from stdin.

Each line is an architecture's key, and the answer is a line of JSON: `model`, in the form of
`model_json.py`, and `failures`; or only `failures` if the model itself cannot be built.
"""

from __future__ import annotations

import json
import os
import sys

from core.architectures import parse_architecture
from core.errors import ArchitectureError
from core.fit.index.indexing import index_model
from core.fit.index.model_json import from_model


def main() -> None:
    """Answer until the input ends."""
    os.nice(10)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # What the libraries print to stdout must not mix with the answers.
    for line in sys.stdin:
        answers.write(json.dumps(_answer(line.strip())) + "\n")
        answers.flush()


def _answer(key: str) -> dict[str, object]:
    try:
        model, failures = index_model(parse_architecture(key))
    except ArchitectureError as error:
        return {"failures": [(key, error.problem)]}
    except Exception as error:  # a library's own code: its error is one model's, not the index's
        return {"failures": [(key, f"{type(error).__name__}: {error}"[:300])]}
    return {"model": from_model(model), "failures": failures}


if __name__ == "__main__":
    main()
