"""`loupe inspect FILE`: what is in a checkpoint."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from core.checkpoint import Checkpoint, StateDict, Verdict, open_checkpoint
from core.checkpoint.containers import file_or_set
from core.cli.options import checkpoint_parent
from core.cli.output import (
    DIFFERS,
    FITS,
    key_cell,
    print_columns,
    print_json,
    print_verification,
    say,
    verified,
    warn_of,
    watched,
)
from core.wording import count, counted, listed, place_in_file, shape, tensors

if TYPE_CHECKING:
    from core.cli.options import Commands
    from core.health import CheckResult, Health, Skipped


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "inspect",
        parents=[checkpoint_parent()],
        help="what is in a checkpoint; --verify checks its checksums, --health its values",
        description="What is in a checkpoint.",
    )
    parser.add_argument(
        "--verify", action="store_true", help="read every byte and check the file's checksums"
    )
    parser.add_argument(
        "--health",
        action="store_true",
        help="read every tensor of the state_dict and list NaN, Inf, zeros, constants, dead output "
        "channels, extreme values, and variances near 0",
    )
    parser.set_defaults(run=_inspect)


def _inspect(options: argparse.Namespace) -> int:
    checkpoint = open_checkpoint(file_or_set(options.file))
    warn_of(checkpoint, aside=options.json)
    state_dict = checkpoint.state_dict(options.state_dict)
    if not options.json:
        _print_checkpoint(checkpoint, state_dict)
    verification = verified(checkpoint) if options.verify else None
    health = _scanned(state_dict) if options.health else None
    if options.json:
        checked = {"verification": asdict(verification)} if verification else {}
        values = {"health": _health_document(health)} if health else {}
        print_json({**_document(checkpoint, state_dict), **checked, **values})
    else:
        if verification:
            print()
            print_verification(verification)
        if health:
            print()
            _print_health(health)
    sound = verification is None or verification.sound
    return FITS if sound and not (health and health.anomalies) else DIFFERS


def _scanned(state_dict: StateDict) -> Health:
    from core.health import scan

    with watched("bytes") as progress:
        return scan(state_dict, progress)


def _print_health(health: Health) -> None:
    """Print the verdict, a line for each check, the findings, and what was not checked and why."""
    from core.health import TITLES, health_verdict, result_words

    say(f"health: {health_verdict(health)}.")
    print_columns(
        ("check", "found"),
        [(TITLES[result.check], result_words(result)) for result in health.results],
    )
    findings = [
        (TITLES[result.check], finding.key, finding.words, finding.usual)
        for result in health.results
        for finding in result.findings
    ]
    if findings:
        print()
        print_columns(("check", "key", "what", "usual"), findings)
    _print_skipped("not checked", health.unchecked)
    _print_skipped("no check is about", health.exempt)


def _print_skipped(words: str, skipped: Sequence[Skipped]) -> None:
    by_reason: dict[str, list[str]] = {}
    for tensor in skipped:
        by_reason.setdefault(tensor.reason, []).append(tensor.key)
    for reason, keys in by_reason.items():
        say(f"{words}: {tensors(len(keys))} ({listed(keys, 2)}): {reason}")


def _health_document(health: Health) -> Mapping[str, object]:
    from core.health import health_verdict

    return {
        "verdict": health_verdict(health),
        "tensors": health.tensors,
        "checked": health.checked,
        "nbytes": health.nbytes,
        "checks": [_check_document(result) for result in health.results],
        "unchecked": [asdict(tensor) for tensor in health.unchecked],
        "exempt": [asdict(tensor) for tensor in health.exempt],
    }


def _check_document(result: CheckResult) -> Mapping[str, object]:
    from core.health import UNITS

    return {
        "check": result.check.value,
        "unit": UNITS[result.check],
        "count": result.count,
        "of": result.of,
        "tensors": result.tensors,
        "anomalies": [asdict(finding) for finding in result.anomalies],
        "usual": [asdict(finding) for finding in result.usual],
    }


def _document(checkpoint: Checkpoint, state_dict: StateDict) -> Mapping[str, object]:
    return {
        "format": checkpoint.format,
        "tensors": [
            {
                "key": entry.key,
                "shape": entry.shape,
                "dtype": entry.dtype,
                "nbytes": entry.nbytes,
            }
            for entry in state_dict.values()
        ],
        "state_dicts": [
            {"path": path, "tensors": len(other)} for path, other in checkpoint.state_dicts.items()
        ],
        "joined": [
            {"path": path, "tensors": len(network.state_dict), "parts": network.parts}
            for path, network in checkpoint.joined.items()
        ],
        "globals": [
            {
                "name": use.name,
                "verdict": use.verdict.value,
                "reason": use.reason,
                "uses": use.uses,
                "where": use.where,
            }
            for use in checkpoint.globals
        ],
        "arrays": [
            {
                "path": array.path,
                "shape": array.shape,
                "dtype": array.dtype,
                "nbytes": array.entry.nbytes,
            }
            for array in checkpoint.arrays()
        ],
        "metadata": checkpoint.metadata,
        "files": checkpoint.files,
        "notes": checkpoint.notes,
    }


def _print_checkpoint(checkpoint: Checkpoint, state_dict: StateDict) -> None:
    for name, value in _facts(checkpoint, state_dict):
        say(f"{name:<12} {value}")
    print()
    print_columns(
        ("key", "shape", "dtype", "bytes"),
        [
            (key_cell(entry.key), shape(entry.shape), entry.dtype, count(entry.nbytes))
            for entry in state_dict.values()
        ],
    )
    suspects = [use for use in checkpoint.globals if use.verdict != Verdict.PLAIN]
    if suspects:
        print("\nPython globals that the file names; none of them was imported or run:")
        print_columns(
            ("global", "verdict", "where", "why"),
            [(use.name, use.verdict.value, use.where, use.reason) for use in suspects],
        )
    for note in checkpoint.notes:
        print()
        say(f"note: {note}")


def _facts(checkpoint: Checkpoint, state_dict: StateDict) -> list[tuple[str, str]]:
    title = place_in_file(state_dict.path)
    joined = checkpoint.joined.get(state_dict.path)
    parts = checkpoint.parts(state_dict.path)
    in_files = f" in {count(checkpoint.files)} files" if checkpoint.files > 1 else ""
    others = [
        f"{place_in_file(path)} ({count(len(other))})"
        for path, other in checkpoint.choices.items()
        if path not in parts
    ]
    amounts = f"{tensors(len(state_dict))}, {counted(state_dict.numel, 'parameter')}"
    return [
        ("file", checkpoint.name),
        ("format", checkpoint.format_title),
        ("size", f"{count(checkpoint.size)} bytes{in_files}"),
        ("torch", checkpoint.torch_version or "unknown"),
        ("state_dict", f"{title}: {amounts}"),
        *([("joined from", ", ".join(map(place_in_file, joined.parts)))] if joined else []),
        *([("also inside", ", ".join(others))] if others else []),
    ]
