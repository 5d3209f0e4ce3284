"""What torchvision and timm state on the preprocessing of their weights.

`torchvision_offers` and `timm_offers` take an architecture and a file, and return an Offer for each
recipe that differs, that of the file's own weights first where something tells them.
"""

from core.inputs.library.known_weights import OpenedFile
from core.inputs.library.offer import Offer, distinct
from core.inputs.library.timm_tags import timm_config_of, timm_offers
from core.inputs.library.torchvision_entries import torchvision_offers

__all__ = [
    "Offer",
    "OpenedFile",
    "distinct",
    "timm_config_of",
    "timm_offers",
    "torchvision_offers",
]
