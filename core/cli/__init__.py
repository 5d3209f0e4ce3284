"""The command `loupe`: the same core without a browser.

Each command has a file, which adds its parser to the tree that `main` builds, and runs it: heavy
imports stand in the functions that run, since every start builds the whole tree.
"""

from core.cli.main import main

__all__ = ["main"]
