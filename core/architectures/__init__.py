"""Architectures: their names, their options, their signatures, and how they are built.

A name such as `timm:resnet50d?num_classes=10` goes in and an `Architecture` comes out; `catalogue`
lists those of torchvision, timm and the server's owner. `signature` gives the keys, shapes and
dtypes of the model's state_dict, without allocating its weights; `build` gives a module. A name
that is unknown, an option that the architecture does not take, and an architecture that cannot be
built raise ArchitectureError. Importing this package imports neither torch nor a library of models:
the functions do, when they are called.
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
from core.architectures.option_table import (
    MAX_OPTION,
    OPTIONS,
    SIMPLE,
    TABLE,
    Option,
    Options,
    Value,
)
from core.architectures.registry import (
    LIBRARIES,
    OTHER_CLASSES,
    OWN,
    TIMM,
    TORCHVISION,
    Architecture,
    catalogue,
    option_of,
    options_of,
    own_architectures,
    parse_architecture,
)
from core.architectures.stated import Stated, library_in, names_in, spellings, stated_architecture
from core.architectures.tensor_spec import (
    Shape,
    Signature,
    TensorSpec,
    input_weights,
    matrix_form,
    squeezed,
)

__all__ = [
    "LIBRARIES",
    "MAX_OPTION",
    "OPTIONS",
    "OTHER_CLASSES",
    "OWN",
    "SIMPLE",
    "TABLE",
    "TIMM",
    "TORCHVISION",
    "Architecture",
    "Option",
    "Options",
    "Shape",
    "Signature",
    "Stated",
    "TensorSpec",
    "Value",
    "blueprint",
    "build",
    "build_uninitialised",
    "build_without_weights",
    "catalogue",
    "input_weights",
    "library_in",
    "matrix_form",
    "names_in",
    "option_of",
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
