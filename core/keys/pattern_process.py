"""The process that `patterns.py` starts: it runs one pattern on many texts, under limits.

It reads a request as JSON from stdin: `pattern`, `texts`, an optional `replacement`, and the limits
`seconds` (CPU time) and `memory` (bytes). It writes an answer as JSON to stdout: `found`, the
indices of the texts that match, or `changed`, pairs of an index and its new text; and the `seconds`
that it took. Where the pattern or the replacement is invalid, the answer is `pattern` or
`replacement` with the reason. Where a limit is reached, the process ends without an answer.
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
    # Nothing handles this timer's signal (SIGPROF), so it ends the process even inside `re`.
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
