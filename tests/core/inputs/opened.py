"""A file as far as its preprocessing goes, for tests that state some."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Opened:
    """What core.inputs asks of a Checkpoint."""

    metadata: Mapping[str, object] = field(default_factory=dict)
    name: str = "model.pth"
    identity: str = "file:0"
    folder: str = ""
    configs: Mapping[str, object] = field(default_factory=dict)
