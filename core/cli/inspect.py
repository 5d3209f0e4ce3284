"""`loupe inspect FILE`: what is in a checkpoint."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from core.checkpoint import Checkpoint, StateDict, Verdict, open_checkpoint
from core.checkpoint.containers import file_or_set
from core.cli.options import checkpoint_parent
from core.cli.output import (
    DIFFERS,
    FITS,
    print_columns,
    print_json,
    print_verification,
    say,
    verified,
    warn_of,
)
from core.wording import count, counted, place_in_file, shape, tensors

if TYPE_CHECKING:
    from core.cli.options import Commands


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "inspect",
        parents=[checkpoint_parent()],
        help="what is in a checkpoint; --verify checks its checksums",
        description="What is in a checkpoint.",
    )
    parser.add_argument(
        "--verify", action="store_true", help="read every byte and check the file's checksums"
    )
    parser.set_defaults(run=_inspect)


def _inspect(options: argparse.Namespace) -> int:
    checkpoint = open_checkpoint(file_or_set(options.file))
    warn_of(checkpoint, aside=options.json)
    state_dict = checkpoint.state_dict(options.state_dict)
    if not options.json:
        _print_checkpoint(checkpoint, state_dict)
    verification = verified(checkpoint) if options.verify else None
    if options.json:
        checked = {"verification": asdict(verification)} if verification else {}
        print_json({**_document(checkpoint, state_dict), **checked})
    elif verification:
        print()
        print_verification(verification)
    return FITS if verification is None or verification.sound else DIFFERS


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
            (entry.key, shape(entry.shape), entry.dtype, count(entry.nbytes))
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
