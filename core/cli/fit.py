"""`loupe fit FILE --arch NAME`: whether a checkpoint fits an architecture."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from core.checkpoint import Checkpoint, StateDict, open_checkpoint
from core.checkpoint.containers import file_or_set
from core.cli.options import (
    architecture_of,
    architecture_parent,
    checkpoint_parent,
    repair_parent,
    wanted_signature,
)
from core.cli.output import DIFFERS, FITS, print_json, say, warn_of
from core.wording import count

if TYPE_CHECKING:
    from core.architectures import Architecture
    from core.cli.options import Commands
    from core.fit import Fit, Match
    from core.fit.proposals import Proposal
    from core.fixes import Recipe


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "fit",
        parents=[checkpoint_parent(), architecture_parent(required=True), repair_parent()],
        help="whether a checkpoint fits an architecture, and what to repair",
        description="Whether a checkpoint fits an architecture, and what to repair.",
    )
    parser.set_defaults(run=_fit)


def _fit(options: argparse.Namespace) -> int:
    from core.fit import option_hint
    from core.fit.identify import remarks
    from core.fit.proposals import propose

    checkpoint = open_checkpoint(file_or_set(options.file))
    warn_of(checkpoint, aside=options.json)
    architecture, repaired, fit = repaired_fit(checkpoint, options)
    chosen = checkpoint.state_dict(options.state_dict)
    said = remarks(checkpoint, chosen, architecture) if fit.match.fits else ()
    wanted = wanted_signature(architecture)
    proposals = propose(repaired, wanted)
    hint = option_hint(fit.match, wanted)
    if options.json:
        print_json(_document(architecture, fit, said, proposals, hint))
    else:
        _print(architecture, fit, said, proposals, hint)
    return FITS if fit.fits else DIFFERS


def repaired_fit(
    checkpoint: Checkpoint, options: argparse.Namespace
) -> tuple[Architecture, StateDict, Fit]:
    """The architecture, the chosen state_dict after the options' fixes, and how it fits."""
    from core.fit import fit_of
    from core.recipe import apply_recipe

    architecture = architecture_of(options)
    wanted = wanted_signature(architecture)
    chosen = checkpoint.state_dict(options.state_dict)
    repaired = apply_recipe(_recipe(options), chosen, wanted).state_dict
    return architecture, repaired, fit_of(chosen, repaired, wanted)


def _recipe(options: argparse.Namespace) -> Recipe:
    from core.fixes import Drop, Recipe, Step, StripPrefix

    strips = [Step(StripPrefix(prefix)) for prefix in options.strip_prefix]
    return Recipe((*strips, *(Step(Drop(pattern)) for pattern in options.drop)))


def _document(
    architecture: Architecture,
    fit: Fit,
    said: Sequence[str],
    proposals: Sequence[Proposal],
    hint: str,
) -> Mapping[str, object]:
    match = fit.match
    return {
        "architecture": architecture.key,
        "fits": fit.fits,
        "doubts": [doubt.sentence for doubt in fit.doubts],
        "remarks": said,
        "coverage": {"keys": match.coverage_keys, "parameters": match.coverage_parameters},
        "matched": len(match.matched),
        "missing_keys": match.missing_keys,
        "unexpected_keys": match.unexpected_keys,
        "mismatched": [
            {"key": mismatch.key, "found": mismatch.file_shape, "wanted": mismatch.model_shape}
            for mismatch in match.mismatched
        ],
        "proposals": [
            {
                "fix": proposal.title,
                "why": proposal.why,
                "before": proposal.before,
                "after": proposal.after,
                "total": proposal.total,
            }
            for proposal in proposals
        ],
        "option_hint": hint,
    }


def _print(
    architecture: Architecture,
    fit: Fit,
    said: Sequence[str],
    proposals: Sequence[Proposal],
    hint: str,
) -> None:
    from core.fit import fit_verdict

    say(" ".join((fit_verdict(fit, architecture=architecture), *said)))
    _print_match(fit.match)
    if proposals or hint:
        print()
    for proposal in proposals:
        say(f"repair: {proposal.sentence}")
        # A reason may end with the hint, which is printed once, below.
        why = proposal.why.replace(f" {hint}", "") if hint else proposal.why
        say(f"        {why}")
    if hint:
        say(f"option: {hint}")


def _print_match(match: Match) -> None:
    from core.keys import group_keys

    for title, keys in (
        ("missing_keys", match.missing_keys),
        ("unexpected_keys", match.unexpected_keys),
    ):
        if keys:
            print()
            say(f"{title} ({count(len(keys))})")
            for group in group_keys(keys):
                say(f"  {group}")
    if match.mismatched:
        print()
        say(f"mismatched ({count(len(match.mismatched))})")
        for mismatch in match.mismatched:
            say(f"  {mismatch.key}: {mismatch.words}")
