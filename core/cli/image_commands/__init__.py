"""The commands `explain` and `evaluate`, and what they share with `predict`: a model with what its
images are fed as.

`image_model_parents` has the options, `image_model` loads what they name and says why it does not,
`given_names` reads the label file. Imports no torch.
"""

from core.cli.image_commands.image_model import (
    ImageModel,
    given_names,
    image_model,
    image_model_parents,
)

__all__ = ["ImageModel", "given_names", "image_model", "image_model_parents"]
