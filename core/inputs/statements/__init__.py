"""What a checkpoint itself states on its preprocessing, one reader for each format.

`stated_preprocessing` takes the metadata and returns a Preprocessing, or None. A fact that is
stated is done, or named in `not_understood`; none is dropped.
"""

from core.inputs.statements.fields import mapping
from core.inputs.statements.statements import FROM_CHECKPOINT, stated_preprocessing
from core.inputs.statements.timm_config import read_config

__all__ = ["FROM_CHECKPOINT", "mapping", "read_config", "stated_preprocessing"]
