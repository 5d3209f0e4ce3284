"""Image files as pixels: decoded by processes of their own, under limits of time and memory.

`image_workers()` takes an image file's bytes. It gives small copies of the image, or the whole of
it as RGB, or raises an ImageError that says why not. Imports no torch.
"""

from core.images.decoding import MAX_PIXELS, Decoded
from core.images.image_files import IMAGE_ENDINGS, image_files, too_large
from core.images.image_workers import ImageWorkers, Thumbnails, image_workers
from core.images.zip_images import ZipImages

__all__ = [
    "IMAGE_ENDINGS",
    "MAX_PIXELS",
    "Decoded",
    "ImageWorkers",
    "Thumbnails",
    "ZipImages",
    "image_files",
    "image_workers",
    "too_large",
]
