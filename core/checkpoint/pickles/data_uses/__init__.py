"""Tells whether a pickle uses a dangerous function only in the form in which honest files do.

The unpickler reports each call, each change and each state; `DataUses` counts in `Mentions` what
has another form.
"""

from core.checkpoint.pickles.data_uses.data_uses import DataUses

__all__ = ["DataUses"]
