"""The processes that decode images: the same pixels as in this process, and limits that hold."""

import os
import signal
import threading
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from core.errors import ImageError
from core.images import ImageWorkers
from core.images.decoding import decode_image
from tests.core.images.test_decoding import bomb, corner, encoded
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def workers() -> Iterator[ImageWorkers]:
    made = ImageWorkers(1)
    yield made
    made.close()


@pytest.fixture
def limited() -> Iterator[ImageWorkers]:
    """One process with so little time and memory that a test can reach the limits."""
    made = ImageWorkers(1, seconds=0.5, memory=700 << 20)
    yield made
    made.close()


def noise(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))


def many_scans(edge: int, scans: int) -> bytes:
    """A progressive JPEG of few bytes, each scan of which passes over all blocks."""
    buffer = BytesIO()
    Image.new("L", (edge, edge)).save(buffer, "JPEG", progressive=True, quality=10)
    data = buffer.getvalue()
    # The last scan of the file, and then the end-of-image marker.
    start = data.rindex(b"\xff\xda")
    return data[:-2] + data[start:-2] * scans + data[-2:]


def test_the_pixels_are_those_that_this_process_decodes(workers):
    data = encoded(noise(70, 41), "PNG")
    with workers.decoded(data, "noise.png") as decoded:
        assert np.array_equal(
            np.asarray(decoded.image), np.asarray(decode_image(data, "noise.png").image)
        )
        assert decoded.remark == ""


def test_small_copies_keep_the_proportions_and_are_never_larger_than_the_image(workers):
    found = workers.thumbnails(encoded(noise(300, 150)), "noise.png", (20, 100, 1000))
    assert found.size == (300, 150)
    sizes = {edge: Image.open(BytesIO(file)).size for edge, file in found.files.items()}
    assert sizes == {20: (20, 10), 100: (100, 50), 1000: (300, 150)}


def test_what_was_decided_about_the_values_is_said(workers):
    data = encoded(Image.fromarray(np.array([[-5.0, 500.0]], np.float32)), "TIFF")
    with workers.decoded(data, "scan.tif") as decoded:
        assert decoded.remark == (
            "The file does not state its white: its largest value, 500, is taken. "
            "Values below 0 are shown as black."
        )


@pytest.mark.parametrize("data", [b"", b"no image", encoded(corner())[:60], bomb(9_000, 9_000)])
def test_a_refused_image_has_the_same_sentence_as_in_this_process(workers, data):
    with pytest.raises(ImageError) as here:
        decode_image(data, "photo.png")
    with pytest.raises(ImageError) as there, workers.decoded(data, "photo.png"):
        pass
    assert str(there.value) == str(here.value)
    assert workers.thumbnails(encoded(corner()), "next.png", (10,)).size == (40, 24)


def test_an_image_that_takes_too_long_is_given_up_and_the_next_one_is_read(limited):
    with pytest.raises(ImageError, match=r"scans\.jpg takes longer to decode than"):
        limited.thumbnails(many_scans(3000, 400), "scans.jpg", (10,))
    assert limited.thumbnails(encoded(corner()), "next.png", (10,)).size == (40, 24)


def test_an_image_that_takes_too_much_memory_is_given_up_and_the_next_one_is_read(limited):
    flat = encoded(Image.new("RGBA", (7_900, 7_900), (255, 0, 0, 9)), "PNG")
    patient = ImageWorkers(1, memory=700 << 20)
    with pytest.raises(ImageError, match=r"flat\.png needs more memory to decode than the 734"):
        patient.thumbnails(flat, "flat.png", (10,))
    assert patient.thumbnails(encoded(corner()), "next.png", (10,)).size == (40, 24)
    patient.close()


def test_the_largest_image_with_transparent_parts_is_read(workers):
    flat = encoded(Image.new("RGBA", (8_000, 8_000), (255, 0, 0, 0)), "PNG")
    assert workers.thumbnails(flat, "flat.png", (10,)).size == (8_000, 8_000)


def test_a_process_that_was_ended_is_replaced(workers):
    workers.thumbnails(encoded(corner()), "first.png", (10,))
    (worker,) = workers._idle.queue
    os.kill(worker._process.pid, signal.SIGKILL)
    with pytest.raises(ImageError, match=r"second\.png cannot be decoded: the decoder ended"):
        workers.thumbnails(encoded(corner()), "second.png", (10,))
    assert workers.thumbnails(encoded(corner()), "third.png", (10,)).size == (40, 24)


def test_images_that_are_held_at_once_stay_within_the_budget():
    made = ImageWorkers(2, budget=2 * 3 * 40 * 24 - 1)
    data, second_is_read = encoded(corner()), threading.Event()

    def second() -> None:
        with made.decoded(data, "second.png"):
            second_is_read.set()

    other = threading.Thread(target=second)
    with made.decoded(data, "first.png"):
        other.start()
        # The other process has decoded its image, and waits for room.
        wait_until(lambda: made._idle.empty() or made._idle.qsize() == 1)
        assert not second_is_read.is_set()
    other.join()
    assert second_is_read.is_set()
    made.close()


def test_an_error_in_a_context_gives_its_bytes_back():
    made = ImageWorkers(1, budget=3 * 40 * 24)
    data = encoded(corner())
    for _ in range(3):
        with pytest.raises(KeyError), made.decoded(data, "photo.png"):
            raise KeyError
    made.close()
