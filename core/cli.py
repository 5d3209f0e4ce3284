"""The command line: the same core without a browser.

Exit status: 0, 1 (the checkpoint does not fit, is damaged, or differs), 2 (trouble: one sentence on
stderr). `loupe inspect` imports no torch, nor does `loupe compare` where no number is asked for.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from core.checkpoint import Checkpoint, StateDict, Verdict, open_checkpoint
from core.checkpoint.descriptors import raise_limit
from core.checkpoint.file_set import file_or_set
from core.cli_architecture import add_architecture, architecture_of
from core.cli_compare import compare_command
from core.cli_fix import fix_command
from core.cli_git import git_diff_command, text_command
from core.cli_identify import identify_command
from core.cli_output import DIFFERS, FITS, TROUBLE, print_columns, print_json, say, watched
from core.errors import LoupeError, SourceError, shown
from core.settings import paths_setting

if TYPE_CHECKING:
    from core.architectures import Architecture
    from core.fixes import Recipe
    from core.labels import Labels
    from core.match import Match
    from core.predict import Prediction
    from core.verify import Verification

MOST_FILES = 8
"""Checkpoints of one run."""

APP = Path(__file__).resolve().parents[1] / "app.py"

USAGE = """\
usage: loupe [FILE ...] [--port PORT] [--address ADDRESS]
                                     start the app with the first two on the bench; up to eight are
                                     a run on its Compare page
       loupe inspect FILE            what is in a checkpoint; --verify checks its checksums
       loupe identify FILE           which architecture it is for
       loupe fit FILE --arch NAME    whether it goes into an architecture, and what to repair
       loupe fix IN OUT --recipe R   write the repaired weights into a new file
       loupe predict FILE --arch NAME IMAGE...
                                     what the model sees in images
       loupe compare A B             what changed between two checkpoints
       loupe text FILE               a checkpoint as lines of text, for git's textconv

`loupe COMMAND --help` tells each one's options.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Where its encoding lacks a character, the character is written out.
        sys.stdout.reconfigure(errors="backslashreplace")
    raise_limit()
    command = _COMMANDS.get(given[0]) if given else None
    try:
        return command(given[1:]) if command else _start_app(given)
    except LoupeError as error:
        say(f"loupe: {error}", to=sys.stderr)
        return TROUBLE
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output went away: Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return TROUBLE
    except OSError as error:
        told = f"{error.strerror}."
        if error.filename:
            place = shown(str(error.filename))
            told = f"{place} cannot be reached: {told} Check the path and its permissions."
        say(f"loupe: {told}", to=sys.stderr)
        return TROUBLE


def _start_app(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="loupe", usage=USAGE, add_help=False)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("-h", "--help", action="store_true")
    options = parser.parse_args(given)
    if options.help:
        print(USAGE, end="")
        return FITS
    if len(options.files) > MOST_FILES:
        parser.error(f"at most {MOST_FILES} files, of which the first two go on the bench")
    for file in options.files:
        if not file.exists():
            raise SourceError(f"There is no file {file}.", "Check the path.")
    environ = dict(os.environ)
    if options.files:
        environ["LOUPE_BENCH"] = paths_setting(map(Path.absolute, options.files))
    print(f"Loupe is starting at http://{options.address}:{options.port}", flush=True)
    return subprocess.call(
        [
            *(sys.executable, "-m", "streamlit", "run", str(APP)),
            *("--server.address", options.address, "--server.port", str(options.port)),
            *("--server.headless", "true"),
        ],
        env=environ,
        cwd=APP.parent,
    )


def _inspect(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="loupe inspect", description="What is in a checkpoint.")
    _add_file(parser)
    parser.add_argument(
        "--verify", action="store_true", help="read every byte, and check the file's checksums"
    )
    options = parser.parse_args(given)
    checkpoint = open_checkpoint(file_or_set(options.file))
    state_dict = checkpoint.state_dict(options.state_dict)
    document = _checkpoint_json(checkpoint, state_dict) if options.json else {}
    if not options.json:
        _print_checkpoint(checkpoint, state_dict)
    sound = True
    if options.verify:
        found = _verified(checkpoint)
        sound = found.sound
        document = {**document, "verification": asdict(found)}
        if not options.json:
            _print_verification(found)
    if options.json:
        print_json(document)
    return FITS if sound else DIFFERS


def _verified(checkpoint: Checkpoint) -> Verification:
    """Read it all, telling how far it is where a person watches."""
    from core.verify import verify

    with watched("bytes") as tell:
        return verify(checkpoint, tell)


def _print_verification(found: Verification) -> None:
    print(f"\nverify: {found.records:,} records, {found.nbytes:,} bytes, read whole.")
    without = found.records - found.checked
    if without:
        which = f"{without:,} of them have" if found.checked else "This format keeps"
        print(f"{which} no checksum: a changed bit in them cannot be seen.")
    if found.checked:
        outcome = "some are wrong." if found.damaged else "none is wrong."
        print(f"{found.checked:,} checksums checked: {outcome}")
    for damage in found.damaged:
        held = ", ".join(damage.keys) or "no tensor"
        say(f"  damaged: {damage.record}, which holds {held}. {damage.problem}")
    if found.damaged:
        print("Get the file again from where it came from, and check it again.")


def _checkpoint_json(checkpoint: Checkpoint, state_dict: StateDict) -> Mapping[str, object]:
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
            {"path": path, "tensors": len(found)} for path, found in checkpoint.state_dicts.items()
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
    title = state_dict.path or "the file itself"
    in_files = f" in {checkpoint.files:,} files" if checkpoint.files > 1 else ""
    facts = [
        ("file", checkpoint.name),
        ("format", checkpoint.format_title),
        ("size", f"{checkpoint.size:,} bytes{in_files}"),
        ("torch", checkpoint.torch_version or "not told"),
        ("state_dict", f"{title}: {len(state_dict):,} tensors, {state_dict.numel:,} parameters"),
    ]
    others = [
        f"{path or '(the file itself)'} ({len(found):,})"
        for path, found in checkpoint.state_dicts.items()
        if found.path != state_dict.path
    ]
    if others:
        facts.append(("also inside", ", ".join(others)))
    for name, value in facts:
        say(f"{name:<12} {value}")
    print()
    print_columns(
        ("key", "shape", "dtype", "bytes"),
        [
            (entry.key, " × ".join(map(str, entry.shape)) or "scalar", entry.dtype, entry.nbytes)
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


def _fit(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="loupe fit", description="Whether a checkpoint goes into an architecture."
    )
    _add_file(parser)
    _add_fit(parser)
    options = parser.parse_args(given)
    from core.architectures import signature
    from core.fit_summary import option_hint, verdict
    from core.proposals import propose

    architecture, repaired, found = _repaired(open_checkpoint(file_or_set(options.file)), options)
    wanted = signature(architecture)
    proposals = propose(repaired, wanted)
    hint = option_hint(found, wanted)
    if options.json:
        print_json(
            {
                "architecture": architecture.key,
                "fits": found.fits,
                "coverage": {
                    "keys": found.coverage_keys,
                    "parameters": found.coverage_parameters,
                },
                "matched": len(found.matched),
                "missing_keys": found.missing_keys,
                "unexpected_keys": found.unexpected_keys,
                "mismatched": [
                    {"key": one.key, "found": one.found, "wanted": one.wanted}
                    for one in found.mismatched
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
        )
    else:
        say(f"{architecture.title}: {verdict(found)}")
        _print_match(found)
        for proposal in proposals:
            say(f"repair: {proposal.sentence}")
            say(f"        {proposal.why}")
        if hint:
            say(f"option: {hint}")
    return FITS if found.fits else DIFFERS


def _print_match(found: Match) -> None:
    from core.match import group_keys

    for title, keys in (
        ("missing_keys", found.missing_keys),
        ("unexpected_keys", found.unexpected_keys),
    ):
        if keys:
            print(f"\n{title} ({len(keys):,})")
            for group in group_keys(keys):
                say(f"  {group}")
    if found.mismatched:
        print(f"\nmismatched ({len(found.mismatched):,})")
        for one in found.mismatched:
            shapes = f"the file has {one.found}, the model wants {one.wanted}"
            say(f"  {one.key}: {one.reason or shapes}")


def _predict(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="loupe predict", description="What the model sees in images."
    )
    _add_file(parser)
    _add_fit(parser)
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    parser.add_argument("-k", type=int, default=5, help="how many classes to print (5)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda:0, ... (cpu)")
    parser.add_argument("--labels", type=Path, help="class names as txt, json or csv")
    parser.add_argument(
        "--partial",
        action="store_true",
        help="load what matches; the rest stays as the model initialises it",
    )
    options = parser.parse_args(given)
    from core.classifiers import require_classifier
    from core.fit_summary import verdict
    from core.images import decode_image
    from core.labels import choose_labels, parse_labels
    from core.load import load_model
    from core.predict import predict
    from core.preprocessing import default_preprocessing

    checkpoint = open_checkpoint(file_or_set(options.file))
    images = [(image.name, decode_image(_read(image), image.name)) for image in options.images]
    own_labels = None
    if options.labels:
        own_labels = parse_labels(_read(options.labels), options.labels.name)
    require_classifier(architecture_of(options))
    architecture, repaired, found = _repaired(checkpoint, options)
    if not (found.fits or options.partial):
        print(
            f"loupe: {checkpoint.name}, {architecture.title}: {verdict(found)} "
            "`loupe fit` tells what to repair; --partial loads what matches.",
            file=sys.stderr,
        )
        return DIFFERS
    loaded = load_model(repaired, architecture, device=options.device, strict=not options.partial)
    preprocessing = default_preprocessing(architecture, checkpoint.metadata)
    predictions = predict(loaded, images, preprocessing, k=sys.maxsize)
    outputs = max(len(prediction.indices) for prediction in predictions)
    labels = choose_labels(outputs, checkpoint, own_labels, str(options.labels))
    tops = [_top(prediction, labels, options.k) for prediction in predictions]
    if options.json:
        print_json(
            {
                "architecture": architecture.key,
                "labels": labels.source,
                "preprocessing": preprocessing.source,
                "images": [
                    {
                        "name": prediction.name,
                        "seconds": prediction.seconds,
                        "trouble": prediction.trouble,
                        "top": top,
                    }
                    for prediction, top in zip(predictions, tops, strict=True)
                ],
            }
        )
    else:
        _print_predictions(predictions, tops)
        print()
        say(f"labels: {labels.source}")
        say(f"preprocessing: {preprocessing.source}")
    return FITS


class _Class(TypedDict):
    label: str
    index: int
    probability: float


def _top(prediction: Prediction, labels: Labels, k: int) -> list[_Class]:
    pairs = zip(prediction.indices, prediction.probabilities, strict=True)
    return [
        {"label": labels.names[index], "index": index, "probability": probability}
        for index, probability in islice(pairs, k)
    ]


def _print_predictions(predictions: Sequence[Prediction], tops: Sequence[list[_Class]]) -> None:
    for prediction, top in zip(predictions, tops, strict=True):
        say(f"{prediction.name}  ({prediction.seconds * 1000:.0f} ms)")
        if prediction.trouble:
            say(f"  {prediction.trouble}")
        if prediction.untrained:
            print("  Parts of this model were never loaded: the numbers mean nothing.")
        for one in top:
            say(f"  {one['probability']:7.2%}  {one['label']}")


def _repaired(
    checkpoint: Checkpoint, options: argparse.Namespace
) -> tuple[Architecture, StateDict, Match]:
    """The chosen state_dict after the options' fixes, beside the architecture it is for."""
    from core.architectures import signature
    from core.match import match
    from core.recipe import apply_recipe

    architecture = architecture_of(options)
    wanted = signature(architecture)
    chosen = checkpoint.state_dict(options.state_dict)
    repaired = apply_recipe(_recipe(options), chosen, wanted).state_dict
    return architecture, repaired, match(repaired, wanted)


def _recipe(options: argparse.Namespace) -> Recipe:
    from core.fixes import Drop, Recipe, Step, StripPrefix

    strips = [Step(StripPrefix(prefix)) for prefix in options.strip_prefix]
    return Recipe((*strips, *(Step(Drop(pattern)) for pattern in options.drop)))


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="a checkpoint, its folder, or its shards' index"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument(
        "--state-dict", metavar="PATH", help="the state_dict inside to take (the best one)"
    )


def _add_fit(parser: argparse.ArgumentParser) -> None:
    add_architecture(parser, required=True)
    parser.add_argument(
        "--strip-prefix", action="append", default=[], metavar="P", help="may be repeated"
    )
    parser.add_argument(
        "--drop", action="append", default=[], metavar="GLOB", help="leave keys out; repeatable"
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read: {error.strerror}.", "Check the path and its permissions."
        ) from error


_COMMANDS: Mapping[str, Callable[[Sequence[str]], int]] = {
    "inspect": _inspect,
    "identify": identify_command,
    "fit": _fit,
    "fix": fix_command,
    "predict": _predict,
    "compare": compare_command,
    "text": text_command,
    "git-diff": git_diff_command,
}
