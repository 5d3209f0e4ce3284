"""Six images of the kinds on which two ways of preprocessing differ: by rounding, or by padding."""

import numpy as np
from PIL import Image

TALL, WIDE, TINY, LARGE, PALETTE, SQUARE = (61, 500), (501, 63), (3, 2), (1203, 901), (97, 130), 224


def photo(width: int, height: int, seed: int = 3) -> Image.Image:
    """A smooth image of random colours, the same at each call."""
    noise = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
    small = Image.fromarray(noise.astype(np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def odd_images(square: int = SQUARE) -> list[Image.Image]:
    """A tall, a wide, a tiny, a large and a palette's image, and one as large as the crop."""
    images = [photo(*size) for size in (TALL, WIDE, TINY, LARGE)]
    return [*images, photo(*PALETTE).convert("P").convert("RGB"), photo(square, square)]
