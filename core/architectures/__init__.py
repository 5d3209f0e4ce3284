"""Architectures: their names, their options, their signatures, and how they are built.

A name such as `timm:resnet50d?num_classes=10` goes in and an `Architecture` comes out; `catalogue`
lists those of torchvision, timm and the server's owner. `signature` gives the keys, shapes and
dtypes of the model's state_dict, without allocating its weights; `build` gives a module. A name
that is unknown and an architecture that cannot be built raise ArchitectureError. Importing this
package imports neither torch nor a library of models: the functions do, when they are called.
"""

from core.architectures.construct import (
    blueprint,
    build,
    build_uninitialised,
    build_without_weights,
    signature,
    signature_of,
    uninitialised_parameters,
)
from core.architectures.registry import (
    LIBRARIES,
    MAX_OPTION,
    OPTIONS,
    OTHER_CLASSES,
    OWN,
    SWITCHES,
    TIMM,
    TORCHVISION,
    Architecture,
    catalogue,
    least_of,
    most_of,
    options_of,
    own_architectures,
    parse_architecture,
)
from core.architectures.stated import Stated, library_in, names_in, spellings, stated_architecture
from core.architectures.tensor_spec import (
    Shape,
    Signature,
    TensorSpec,
    matrix_form,
    squeezed,
)

__all__ = [
    "LIBRARIES",
    "MAX_OPTION",
    "OPTIONS",
    "OTHER_CLASSES",
    "OWN",
    "SWITCHES",
    "TIMM",
    "TORCHVISION",
    "Architecture",
    "Shape",
    "Signature",
    "Stated",
    "TensorSpec",
    "blueprint",
    "build",
    "build_uninitialised",
    "build_without_weights",
    "catalogue",
    "least_of",
    "library_in",
    "matrix_form",
    "most_of",
    "names_in",
    "options_of",
    "own_architectures",
    "parse_architecture",
    "signature",
    "signature_of",
    "spellings",
    "squeezed",
    "stated_architecture",
    "uninitialised_parameters",
]
