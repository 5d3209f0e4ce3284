"""`loupe identify FILE`: which architecture a checkpoint is for, and what makes it fit."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from core.checkpoint import Checkpoint, StateDict, open_checkpoint
from core.checkpoint.containers import file_or_set
from core.cli.options import checkpoint_parent, data_folder, installed_index
from core.cli.output import DIFFERS, FITS, print_columns, print_json, say, warn_of, watched
from core.wording import percent

if TYPE_CHECKING:
    from core.cli.options import Commands
    from core.fit.identify import Candidate, Identification
    from core.fit.index import Lookup

DESCRIPTION = """\
Which of torchvision's and timm's architectures a checkpoint is for, with the options and the recipe
that make it fit. It compares keys and shapes, and reads no tensor.

If Loupe has no index of the installed versions yet, it builds one first; that takes minutes, once.
"""

EPILOG = """\
exit status: 0 if the file fits the best candidate, 1 if it does not, 2 on an error.
"""


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "identify",
        parents=[checkpoint_parent()],
        help="which architecture a checkpoint is for",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-n", type=int, default=5, help="how many candidates to print (5)")
    parser.set_defaults(run=_identify, error=parser.error)


def _identify(options: argparse.Namespace) -> int:
    if options.n < 1:
        options.error("-n is how many candidates to print: at least 1")
    checkpoint = open_checkpoint(file_or_set(options.file))
    warn_of(checkpoint, aside=options.json)
    state_dict = checkpoint.state_dict(options.state_dict)
    identification = identified(checkpoint, state_dict, options.n)
    candidates = identification.candidates
    if options.json:
        print_json([_document(candidate, identification.known) for candidate in candidates])
    else:
        _print(identification)
    return FITS if candidates and candidates[0].fits else DIFFERS


def identified(checkpoint: Checkpoint, state_dict: StateDict, most: int = 1) -> Identification:
    """What a state_dict seems to be, by the index of the installed versions.

    If there is no index, it is built first, with a message on stderr. Raises IndexFileError.
    """
    from core.fit.identify import hints_of, identify

    hints = hints_of(checkpoint, state_dict)
    return identify(state_dict, _lookup(), hints, most)


def _lookup() -> Lookup:
    from core.fit.index import Lookup, installed_versions, make_index_in

    index = installed_index()
    if index is None:
        versions = [f"{name} {version}" for name, version in installed_versions().items()]
        print(
            f"loupe: building the index of {' and '.join(versions)}, once: this takes minutes.",
            file=sys.stderr,
            flush=True,
        )
        with watched("models") as progress:
            index = make_index_in(data_folder(), os.cpu_count() or 1, progress)
    return Lookup(index)


def _document(candidate: Candidate, known: bool) -> Mapping[str, object]:
    from core.recipe import recipe_to_json

    return {
        "architecture": candidate.architecture.name,
        "library": candidate.architecture.library,
        "key": candidate.architecture.key,
        "options": dict(candidate.architecture.options),
        "also": [other.key for other in candidate.also],
        "arithmetic": [
            {
                "key": other.key,
                "arithmetic": compared.arithmetic.value,
                "differences": compared.differences,
                "preprocessing": compared.preprocessing,
            }
            for other, compared in zip(candidate.also, candidate.relations, strict=True)
        ],
        "stated": candidate.stated,
        "adapted": [other.key for other in candidate.adapted],
        "recipe": recipe_to_json(candidate.recipe),
        "coverage": {
            "keys": candidate.coverage_keys,
            "parameters": candidate.coverage_parameters,
        },
        "known": known,
        "renamed": candidate.renamed,
        "fits": candidate.fits,
        "missing_keys": candidate.missing_keys,
        "unexpected_keys": candidate.unexpected_keys,
        "mismatched": [
            {
                "key": mismatch.key,
                "found": mismatch.file_shape,
                "wanted": mismatch.model_shape,
                "reason": mismatch.reason,
            }
            for mismatch in candidate.mismatched
        ],
        "left_out": candidate.left_out,
        "doubts": [doubt.sentence for doubt in candidate.doubts],
        "ambiguous": candidate.unsure,
        "evidence": candidate.evidence,
    }


def _print(identification: Identification) -> None:
    say(identification.sentence)
    if not identification.candidates:
        return
    print()
    print_columns(
        ("", "architecture", "options", "keys", "parameters", "recipe"),
        [_row(candidate) for candidate in identification.candidates],
    )
    print()
    _print_evidence(identification.candidates[0])


def _print_evidence(candidate: Candidate) -> None:
    for fact in candidate.evidence:
        say(f"  {fact}")


def _row(candidate: Candidate) -> tuple[str, ...]:
    from core.fit.identify import recipe_words

    architecture = candidate.architecture
    return (
        "fits" if candidate.fits else "",
        architecture.plain_key,
        " ".join(f"{name}={value}" for name, value in architecture.options) or "-",
        percent(candidate.coverage_keys, decimal=True),
        percent(candidate.coverage_parameters, decimal=True),
        recipe_words(candidate.recipe) or "-",
    )
