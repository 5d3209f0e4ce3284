"""The process that `patterns.py` starts: it runs one pattern on many texts, under limits.

Reads a request as JSON from its input: `pattern`, `texts`, perhaps `replacement`, and the limits
`seconds` of CPU time and `memory` in bytes. Writes an answer as JSON: `found`, the indices of
texts, or `changed`, pairs of an index and its new text, and the `seconds` taken; or what is wrong
with the `pattern` or the `replacement`. Ends without an answer where a limit is reached.
"""

import json
import re
import resource
import signal
import sys
import time


def main() -> None:
    """Answer the one request."""
    request = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_AS, (request["memory"], request["memory"]))
    # Nothing handles this timer's signal, so it ends the process wherever that is.
    signal.setitimer(signal.ITIMER_PROF, request["seconds"])
    started = time.process_time()
    answer = _answer(request["pattern"], request.get("replacement"), request["texts"])
    signal.setitimer(signal.ITIMER_PROF, 0)
    json.dump({**answer, "seconds": time.process_time() - started}, sys.stdout)


def _answer(pattern: str, replacement: str | None, texts: list[str]) -> dict[str, object]:
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return {"pattern": str(error)}
    if replacement is None:
        return {"found": [index for index, text in enumerate(texts) if compiled.search(text)]}
    try:
        new = [compiled.sub(replacement, text) for text in texts]
    except (re.error, IndexError) as error:
        return {"replacement": str(error)}
    pairs = enumerate(zip(texts, new, strict=True))
    return {"changed": [[index, after] for index, (before, after) in pairs if after != before]}


if __name__ == "__main__":
    main()
