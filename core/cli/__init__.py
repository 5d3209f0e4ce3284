"""The command `loupe`: the same core without a browser.

Each command is a module that adds its parser to the tree that `commands.py` builds, and runs the
command. Heavy imports are inside the functions that run, since `--help` builds the whole tree.
"""

from core.cli.main import main

__all__ = ["main"]
