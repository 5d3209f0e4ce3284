"""The process that `image_workers.py` starts: it decodes image files, each under limits.

It reads tasks from stdin and writes an answer to each to stdout. Both are a frame: the lengths of
two parts, a JSON object and bytes. A task has `name`, `seconds` (CPU time), `max_pixels` and
`edges`, the largest first; its bytes are the image file. The answer has `size` and `remark`, and
its bytes are the pixels, RGB in rows; or, where there are edges, WebP files of at most these edges,
of which it has the `lengths`. Where the image cannot be decoded, the answer has `problem` and
`remedy`; where there is too little memory, `memory`. Where the time is over, the process ends.

Its first argument is the address space in bytes that it may take.
"""

import resource
import signal
import sys
from io import BytesIO

from PIL import Image

from core.errors import ImageError
from core.images.decoding import decode_image
from core.images.frames import Head, read_head, write_frame


def main() -> None:
    """Answer tasks until stdin ends."""
    memory = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    answers = sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints is no answer
    while (task := read_head(sys.stdin.buffer)) is not None:
        head, length = task
        write_frame(answers, *_answer(head, sys.stdin.buffer.read(length)))


def _answer(task: Head, data: bytes) -> tuple[Head, bytes]:
    # Nothing handles this timer's signal (SIGPROF), so it ends the process even inside a decoder.
    signal.setitimer(signal.ITIMER_PROF, task["seconds"])
    try:
        decoded = decode_image(data, task["name"], task["max_pixels"])
        image = decoded.image
        head = {"size": image.size, "remark": decoded.remark}
        if not task["edges"]:
            return head, image.tobytes()
        files = [_smaller(image, edge) for edge in task["edges"]]
        return {**head, "lengths": [len(file) for file in files]}, b"".join(files)
    except ImageError as error:
        return {"problem": error.problem, "remedy": error.remedy}, b""
    except MemoryError:
        return {"memory": True}, b""
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _smaller(image: Image.Image, edge: int) -> bytes:
    """Make the image itself smaller, if it is larger. Returns it as WebP."""
    image.thumbnail((edge, edge))
    buffer = BytesIO()
    image.save(buffer, "WEBP", quality=85)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
