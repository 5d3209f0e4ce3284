"""`loupe fix IN OUT`: applies a recipe to a file, and writes a new file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.checkpoint import Checkpoint, StateDict, open_checkpoint
from core.checkpoint.containers import FileSet, file_or_set
from core.cli.options import (
    CHECKPOINT_HELP,
    architecture_of,
    architecture_parent,
    json_parent,
    read_file,
    wanted_signature,
)
from core.cli.output import DIFFERS, FITS, print_json, say, warn_of, watched
from core.errors import FixError, LoupeError
from core.wording import counted, listed, tensors

if TYPE_CHECKING:
    from core.architectures import Architecture, Signature
    from core.cli.options import Commands
    from core.export import Export, Format, LeftOut
    from core.fit import Fit
    from core.fit.identify import Identification
    from core.fixes import Recipe
    from core.predict.proof import Proof
    from core.recipe import Applied, RecipeFile

DESCRIPTION = """\
Repair a checkpoint: apply a recipe to it, and write the result to a new file, which is read back
and verified. IN is never changed. Without a recipe it converts between formats.

A recipe is the JSON file that the Fit page saves, or a list of steps:
[{"fix": "strip_prefix", "prefix": "module."}]
"""

EPILOG = """\
exit status: 0; 1 if --arch or the recipe names an architecture and the written file does not fit
it, or if --prove fails; 2 on an error, and then nothing is written.
"""

FORMATS: Mapping[str, Format] = {
    ".pth": "pth",
    ".pt": "pth",
    ".ckpt": "pth",
    ".bin": "pth",
    ".safetensors": "safetensors",
}
"""The format of an output by its suffix."""

MAX_RECIPE = 64 << 20
"""The most bytes of a recipe's file."""

MOST_LEFT_OUT = 20
"""The most values, or parts, that are printed as left out or dropped; --json lists all."""

CANDIDATES = 5
"""The candidates among which --prove looks for the model that the file is from."""


@dataclass(frozen=True, slots=True)
class Repair:
    """A recipe, the state_dict after it, and the architecture it is for, None if none is named.

    `advice` says what --best left for a person to decide, and `unsure` are the file's keys that it
    paired though another pair would be as likely. `remarks` say what a fit does not show, and
    `identified` what the file seems to be, if no architecture was named.
    """

    recipe: Recipe
    applied: Applied
    architecture: Architecture | None
    fit: Fit | None
    advice: str = ""
    unsure: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    identified: str = ""

    @property
    def fits(self) -> bool | None:
        """Whether the written file fits; None if no architecture is named."""
        return None if self.fit is None else self.fit.fits and not self.unsure


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "fix",
        parents=[architecture_parent(required=False), json_parent()],
        help="write the repaired weights into a new file",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", type=Path, metavar="IN", help=CHECKPOINT_HELP)
    parser.add_argument(
        "output", type=Path, metavar="OUT", help="a .pth or .safetensors; the suffix is the format"
    )
    parser.add_argument("--recipe", type=Path, metavar="FILE", help="the steps, as JSON")
    parser.add_argument(
        "--state-dict",
        metavar="PATH",
        help="the state_dict in the file (default: the recipe's, or the best one)",
    )
    parser.add_argument(
        "--best",
        action="store_true",
        help="find the steps, for the named architecture or for the one that is identified",
    )
    parser.add_argument(
        "--keep",
        choices=("weights", "metadata", "all"),
        default="weights",
        help="the weights alone (the default); with epoch, options and other plain data; or all, "
        "optimizer included (.pth only)",
    )
    parser.add_argument(
        "--prove",
        action="store_true",
        help="load OUT into the architecture, check each value, run the model, and compare its "
        "outputs with those of the model that IN is from, if Loupe can build that too",
    )
    parser.add_argument("--force", action="store_true", help="replace OUT if it exists")
    parser.set_defaults(run=_fix)


def _fix(options: argparse.Namespace) -> int:
    from core.cli.identify import identified

    form = _format(options.output)
    files = file_or_set(options.input)
    _refuse_overwriting(files, options.input, options.output, force=options.force)
    recipe_file = _recipe_file(options.recipe)
    checkpoint = open_checkpoint(files)
    warn_of(checkpoint, aside=options.json)
    path = recipe_file.state_dict if options.state_dict is None else options.state_dict
    state_dict = checkpoint.state_dict(path)
    repair = _repaired(checkpoint, state_dict, recipe_file, options)
    if options.prove and repair.architecture is None:
        raise LoupeError(
            "--prove builds a model, and no architecture is named.",
            "Name it with --arch, or have it identified with --best.",
        )
    # Before anything is written, since it raises if there is no index and none can be built.
    identification = identified(checkpoint, state_dict, CANDIDATES) if options.prove else None
    export = _exported(repair.applied.state_dict, options, form, checkpoint)
    proof = None
    if identification is not None:
        written = open_checkpoint(options.output).state_dict(export.path)
        proof = _proof(checkpoint, state_dict, repair, written, identification)
    if options.json:
        print_json(_document(checkpoint, state_dict, repair, export, options.output, proof))
    else:
        _print(checkpoint, repair, export, options.output, form)
        _print_proof(proof)
    fits = repair.fits is not False and (proof is None or proof.proved)
    return FITS if fits else DIFFERS


def _format(output: Path) -> Format:
    form = FORMATS.get(output.suffix.lower())
    if form is None:
        raise LoupeError(
            f"The suffix of {output.name} is not a known format.",
            f"Use one of {', '.join(FORMATS)}.",
        )
    return form


def _refuse_overwriting(files: Path | FileSet, given: Path, output: Path, *, force: bool) -> None:
    """Raise LoupeError if OUT is IN or one of its shards, or exists and --force is not given."""
    exists = output.exists()
    if not (exists or output.is_symlink()):
        return
    parts = [files] if isinstance(files, Path) else files.files.values()
    sources = [given, *(part for part in parts if isinstance(part, Path))]
    if exists and any(source.exists() and source.samefile(output) for source in sources):
        raise LoupeError(f"{output} is the input, which is never changed.", "Name another file.")
    if output.is_dir():
        raise LoupeError(f"{output} is a folder.", "Name a file in it.")
    if not force:
        raise LoupeError(f"{output} exists already.", "Name another file, or give --force.")


def _recipe_file(path: Path | None) -> RecipeFile:
    from core.fixes import Recipe
    from core.recipe import RecipeFile, recipe_file_from_json

    if path is None:
        return RecipeFile(Recipe())
    text = read_file(path, MAX_RECIPE + 1)
    if len(text) > MAX_RECIPE:
        raise FixError(f"{path.name} is larger than any recipe.", "Is it the checkpoint?")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FixError(f"{path.name} is not JSON.", "Save the recipe again.") from error
    return recipe_file_from_json(value)


def _repaired(
    checkpoint: Checkpoint, state_dict: StateDict, file: RecipeFile, options: argparse.Namespace
) -> Repair:
    from core.fit import fit_of
    from core.fit.identify import remarks
    from core.fixes import Recipe
    from core.recipe import apply_recipe

    architecture = architecture_of(options) if options.arch else file.architecture
    recipe = file.recipe
    wanted: Signature | None = None
    if architecture is not None:
        wanted = wanted_signature(architecture)
    best = None
    if options.best:
        before = apply_recipe(recipe, state_dict, wanted).state_dict
        best = _best(checkpoint, before, architecture)
        architecture = best.architecture
        recipe = Recipe((*recipe.steps, *best.recipe.steps))
        wanted = wanted_signature(architecture)
    applied = apply_recipe(recipe, state_dict, wanted)
    fit = None if wanted is None else fit_of(state_dict, applied.state_dict, wanted)
    said = (
        remarks(checkpoint, state_dict, architecture)
        if architecture is not None and fit is not None and fit.match.fits
        else ()
    )
    repair = Repair(recipe, applied, architecture, fit, remarks=said)
    if best is None:
        return repair
    advice = _advice(applied.state_dict, best.unsure)
    return replace(repair, advice=advice, unsure=best.unsure, identified=best.identified)


@dataclass(frozen=True, slots=True)
class Best:
    """An architecture, the recipe that fits it best, and the file's keys that are ambiguous.

    `identified` says what the file seems to be, if the architecture was not given.
    """

    architecture: Architecture
    recipe: Recipe
    unsure: tuple[str, ...] = ()
    identified: str = ""


def _best(checkpoint: Checkpoint, state_dict: StateDict, architecture: Architecture | None) -> Best:
    """The best repair, for the architecture that is identified if none is given."""
    from core.cli.identify import identified
    from core.fit.proposals import before_made_up, best_repair

    sentence = ""
    if architecture is None:
        identification = identified(checkpoint, state_dict)
        sentence = identification.sentence
        if not identification.known:
            raise LoupeError(sentence, "Name the architecture with --arch.")
        best = identification.candidates[0]
        architecture = best.architecture
        if best.fits:
            wanted = wanted_signature(architecture)
            recipe = before_made_up(best.recipe, state_dict, wanted)
            return Best(architecture, recipe, identified=sentence)
    best_of_all = best_repair(state_dict, wanted_signature(architecture))
    return Best(architecture, best_of_all.recipe, best_of_all.unsure, sentence)


def _advice(repaired: StateDict, unsure: Sequence[str]) -> str:
    from core.fixes import unscaled_words

    parts = []
    if unsure:
        parts.append(
            f"{counted(len(unsure), 'tensor')} could as well be another one of the model: "
            f"{listed([f'`{key}`' for key in unsure])}. Check them in the recipe that --json "
            "prints, save it, and apply it with --recipe."
        )
    adapters = unscaled_words(repaired)
    if adapters:
        example = '[{"fix": "merge_lora", "alpha": 16}]'
        parts.append(f"{adapters}: begin with a recipe such as {example}.")
    return " ".join(parts)


def _exported(
    repaired: StateDict, options: argparse.Namespace, form: Format, checkpoint: Checkpoint
) -> Export:
    """Write the file, with progress on stderr if that is a terminal."""
    from core.export import export_state_dict

    with watched("bytes") as progress:
        return export_state_dict(
            repaired,
            options.output,
            form,
            progress=progress,
            keep=options.keep,
            checkpoint=checkpoint,
        )


def _proof(
    checkpoint: Checkpoint,
    state_dict: StateDict,
    repair: Repair,
    written: StateDict,
    identification: Identification,
) -> Proof:
    """Prove what was written, with progress on stderr."""
    from core.fit.identify import hints_of
    from core.predict.proof import prove

    assert repair.architecture is not None
    with watched("bytes") as progress:
        return prove(
            state_dict,
            repair.applied.state_dict,
            repair.architecture,
            repair.recipe,
            written=written,
            identification=identification,
            hints=hints_of(checkpoint, state_dict),
            progress=progress,
        )


def _document(
    checkpoint: Checkpoint,
    state_dict: StateDict,
    repair: Repair,
    export: Export,
    output: Path,
    proof: Proof | None,
) -> Mapping[str, object]:
    from core.export import dropped_parts
    from core.recipe import RecipeFile, recipe_file_to_json

    file = RecipeFile(repair.recipe, state_dict.path, repair.architecture)
    return {
        "output": str(output),
        "state_dict": state_dict.path,
        "architecture": repair.architecture.key if repair.architecture else None,
        "identified": repair.identified or None,
        "fits": repair.fits,
        "doubts": [doubt.sentence for doubt in repair.fit.doubts] if repair.fit else [],
        "ambiguous": repair.unsure,
        "remarks": repair.remarks,
        "steps": [
            {
                "fix": step.fix.words(),
                "enabled": step.enabled,
                "changed": effect.changed,
                "dropped": effect.dropped,
                "did": effect.sentence,
            }
            for step, effect in zip(repair.recipe.steps, repair.applied.effects, strict=True)
        ],
        "advice": repair.advice,
        "recipe": recipe_file_to_json(file),
        "keep": export.keep,
        "kept": export.kept,
        "left_out": [
            {
                "path": left.path,
                "what": left.what,
                "became": left.became,
                "values": left.values,
            }
            for left in export.left_out
        ],
        "dropped": dropped_parts(checkpoint, state_dict.path, export.keep),
        "tensors": export.tensors,
        "bytes_before": checkpoint.size,
        "bytes_after": export.nbytes,
        "verified": True,
        "proof": _proof_json(proof),
    }


def _print(
    checkpoint: Checkpoint, repair: Repair, export: Export, output: Path, form: Format
) -> None:
    from core.export import export_sizes

    _print_repair(repair)
    _print_kept(checkpoint, repair.applied.state_dict.path, export)
    sizes = export_sizes(repair.applied.state_dict, form, checkpoint, (export.keep,))
    say(sizes.sentence(export.keep))
    say(f"verified: {output} was read back, and every byte is as it was written.")


def _proof_json(proof: Proof | None) -> Mapping[str, object] | None:
    if proof is None:  # torch, which a proof needs, is then not imported either
        return None
    from core.predict.proof import proof_json

    return proof_json(proof)


def _print_proof(proof: Proof | None) -> None:
    if proof is not None:
        from core.predict.proof import proof_sentences

        for sentence in proof_sentences(proof):
            say(sentence)


def _print_repair(repair: Repair) -> None:
    from core.fit import fit_verdict

    if repair.identified:
        say(repair.identified)
    for step, effect in zip(repair.recipe.steps, repair.applied.effects, strict=True):
        say(f"{step.fix.words()}: {effect.sentence}")
    if repair.architecture is not None and repair.fit is not None:
        verdict = fit_verdict(repair.fit, unsure=repair.unsure, architecture=repair.architecture)
        say(" ".join((verdict, *repair.remarks)))
    if repair.advice:
        say(repair.advice)


def _print_kept(checkpoint: Checkpoint, path: str, export: Export) -> None:
    from core.export import by_part, dropped_parts

    besides = f" with {', '.join(export.kept)}" if export.kept else ""
    say(f"kept: {tensors(export.tensors)}{besides}")
    dropped = dropped_parts(checkpoint, path, export.keep)
    if dropped:
        say(f"dropped: {listed(dropped, MOST_LEFT_OUT)}")
    left_out: Sequence[LeftOut] = export.left_out
    if len(left_out) > MOST_LEFT_OUT:
        left_out = by_part(left_out)
    for left in left_out[:MOST_LEFT_OUT]:
        say(f"{'changed' if left.became else 'left out'}: {left.sentence}")
    if len(left_out) > MOST_LEFT_OUT:
        say(f"and {counted(len(left_out) - MOST_LEFT_OUT, 'more part')}, which --json lists")
