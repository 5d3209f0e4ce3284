"""`python -m tests.fuzz --files 20000 --seed 1`: mutate real checkpoints, and open them all.

Prints what became of them, format by format. Ends with 1 where a file was neither opened nor
refused in a sentence, or took too much time or memory; such files are kept.
"""

import argparse
import sys
from pathlib import Path

from tests.fuzz.run import Summary, run
from tests.fuzz.seeds import SEEDS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--files", type=int, default=20_000, help="how many to open")
    parser.add_argument("--seed", type=int, default=1, help="of the run's chances")
    parser.add_argument("--processes", type=int, default=2, help="that open files side by side")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), metavar="FOLDER")
    options = parser.parse_args()
    summary = run(options.files, options.seed, options.keep, options.processes)
    _print(summary)
    return 1 if summary.findings else 0


def _print(summary: Summary) -> None:
    found = [finding.seed for finding in summary.findings]
    print(f"{'format':28}{'mutated':>9}{'opened':>9}{'refused':>9}{'findings':>9}")
    rows = [
        (name, summary.opened[name], summary.refused[name], found.count(name)) for name in SEEDS
    ]
    for name, *counts in (*rows, ("all", *(sum(row[i] for row in rows) for i in (1, 2, 3)))):
        print(f"{name:28}{sum(counts):9}{counts[0]:9}{counts[1]:9}{counts[2]:9}")
    for finding in summary.findings:
        print(f"\nfile {finding.number} ({finding.seed}), kept as {finding.path}:\n{finding.what}")


if __name__ == "__main__":
    sys.exit(main())
