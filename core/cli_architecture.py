"""The architecture that a command's options name."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from core.server.settings import read_settings

if TYPE_CHECKING:
    from core.architectures.registry import Architecture


def add_architecture(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """The options `--arch`, `--num-classes` and `--in-chans`."""
    parser.add_argument(
        "--arch",
        required=required,
        metavar="NAME",
        help="resnet18, timm:resnet50d, torchvision:vit_b_16, own:module.function",
    )
    parser.add_argument("--num-classes", type=int, metavar="N")
    parser.add_argument("--in-chans", type=int, metavar="N", help="input channels (timm)")


def architecture_of(options: argparse.Namespace) -> Architecture:
    """What they name. Raises ArchitectureError, and SettingsError for an owner's own."""
    from core.architectures.registry import OWN, catalogue, parse_architecture

    if options.arch.startswith(f"{OWN}:"):
        catalogue(read_settings(os.environ).models)
    architecture = parse_architecture(options.arch)
    given = {"num_classes": options.num_classes, "in_chans": options.in_chans}
    chosen = dict(architecture.options) | {
        name: value for name, value in given.items() if value is not None
    }
    return replace(architecture, options=tuple(sorted(chosen.items())))
