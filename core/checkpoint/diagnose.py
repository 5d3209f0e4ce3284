"""What a file is that is no checkpoint, and what to do about it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping

from core.errors import CheckpointError

HEAD = 4096
"""Bytes that tell what a file is."""

LFS_MAGIC = b"version https://git-lfs.github.com/spec/"

SIGNATURES: Mapping[bytes, tuple[str, str]] = {
    b"\x1f\x8b": ("a gzip archive", "Unpack it with `gunzip` and open what is inside."),
    b"BZh": ("a bzip2 archive", "Unpack it with `bunzip2` and open what is inside."),
    b"\xfd7zXZ": ("an xz archive", "Unpack it with `unxz` and open what is inside."),
    b"\x28\xb5\x2f\xfd": ("a zstd archive", "Unpack it with `unzstd` and open what is inside."),
    b"7z\xbc\xaf": ("a 7-Zip archive", "Unpack it and open what is inside."),
    b"Rar!": ("a RAR archive", "Unpack it and open what is inside."),
    b"\x89HDF": (
        "an HDF5 file, as Keras writes",
        "Loupe reads PyTorch's files: convert it with the library that wrote it.",
    ),
    b"GGUF": ("a GGUF file, as llama.cpp reads", "Open the PyTorch weights it was made from."),
    b"\x93NUMPY": ("a numpy array", "Load it with numpy.load and save tensors with torch.save."),
    b"\x89PNG": ("a PNG picture", "Pictures go to the Predict page."),
    b"\xff\xd8\xff": ("a JPEG picture", "Pictures go to the Predict page."),
    b"GIF8": ("a GIF picture", "Pictures go to the Predict page."),
    b"%PDF": ("a PDF document", "Choose a checkpoint file."),
    b"\x7fELF": ("a program", "Choose a checkpoint file."),
    b"MZ": ("a Windows program", "Choose a checkpoint file."),
}
"""The first bytes of files that people take for checkpoints."""

WRONG = "Choose a file that torch.save or safetensors wrote."


def empty() -> CheckpointError:
    """The file has no bytes."""
    return CheckpointError(
        "The file is empty: it has 0 bytes.",
        "The download or the copy failed: get it again.",
    )


def not_a_checkpoint(head: bytes, size: int) -> CheckpointError:
    """Name a file by its first bytes (up to HEAD of them) and its size in bytes."""
    if head.startswith(LFS_MAGIC):
        return _lfs_pointer(head)
    for magic, (what, remedy) in SIGNATURES.items():
        if head.startswith(magic):
            return CheckpointError(f"The file is {what}, not a checkpoint.", remedy)
    if head[257:262] == b"ustar":
        return CheckpointError(
            "The file is a tar archive that is cut off or damaged.",
            "Get it again from where it came from, and compare its size.",
        )
    if head[4:8] == b"TFL3":
        return CheckpointError(
            "The file is a TensorFlow Lite model, not a PyTorch checkpoint.", WRONG
        )
    if b"pytorch" in head[:64] and head[:1] == b"\x08":
        return _onnx()
    text = _text(head)
    if text is None:
        return CheckpointError(
            f"The file is no checkpoint: its {size:,} bytes begin like no format that Loupe knows.",
            WRONG,
        )
    return _text_file(text, size)


def _onnx() -> CheckpointError:
    return CheckpointError(
        "The file is an ONNX model, not a checkpoint.",
        "Open the .pth that it was exported from.",
    )


def _lfs_pointer(head: bytes) -> CheckpointError:
    text = head.decode("utf-8", "replace")
    oid = re.search(r"oid sha256:([0-9a-f]{64})", text)
    size = re.search(r"size (\d+)", text)
    told = f"The real file has {int(size[1]):,} bytes" if size else "The real file is elsewhere"
    if oid:
        told += f" and the object id {oid[1]}"
    return CheckpointError(
        f"The file is a Git LFS pointer, not the checkpoint itself. {told}.",
        "Run `git lfs pull` in the repository, or download the file itself.",
    )


def _text(head: bytes) -> str | None:
    if b"\0" in head:
        return None
    try:
        # A character may be cut in two at the end of the head.
        return head[: len(head) - 4].decode("utf-8") if len(head) == HEAD else head.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _text_file(text: str, size: int) -> CheckpointError:
    start = text.lstrip("\ufeff \t\r\n")
    lower = start[:200].lower()
    if lower.startswith(("<!doctype html", "<html", "<head", "<?xml", "<!--")) or "<html" in lower:
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.DOTALL | re.IGNORECASE)
        words = " ".join(html.unescape(title[1]).split())[:120] if title else ""
        called = f" titled “{words}”" if words else ""
        return CheckpointError(
            f"The file is a web page{called}, not a checkpoint: the download failed.",
            "Open the link in a browser, and download the file itself (sign in, or accept the "
            "terms, where the page asks).",
        )
    if start[:1] in ("{", "["):
        message = _json_message(start)
        return CheckpointError(
            f"The file is JSON text, not a checkpoint{message}.",
            "If it was downloaded, the server sent an error instead of the file: try again.",
        )
    line = " ".join(start.splitlines()[0].split())[:80] if start else ""
    begins = f", which begins with “{line}”" if line else ""
    return CheckpointError(f"The file is plain text of {size:,} bytes{begins}.", WRONG)


def _json_message(text: str) -> str:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    for key in ("message", "error", "detail"):
        if isinstance(found, dict) and isinstance(found.get(key), str):
            return f" (“{found[key][:120]}”)"
    return ""


def ordinary_zip(names: list[str]) -> CheckpointError:
    """A zip without torch.save's data.pkl, by the names of its members."""
    if names and all(name.endswith(".npy") for name in names):
        return CheckpointError(
            "The file is a numpy .npz archive, not a checkpoint.",
            "Load it with numpy.load and save tensors with torch.save.",
        )
    if any(name.endswith(".keras") or name == "model.weights.h5" for name in names):
        return CheckpointError("The file is a Keras model, not a PyTorch checkpoint.", WRONG)
    inside = [name for name in names if name.endswith((".pth", ".pt", ".ckpt", ".safetensors"))]
    if inside:
        return CheckpointError(
            f"The file is an ordinary zip that holds {inside[0][:120]}.",
            "Unpack it, and open the checkpoint inside.",
        )
    shown = ", ".join(names[:3])[:200] or "nothing"
    return CheckpointError(
        f"The file is an ordinary zip (it holds {shown}), not one that torch.save wrote.",
        "Unpack it, and open the checkpoint inside if there is one.",
    )


def ordinary_tar(names: list[str]) -> CheckpointError:
    """A tar without a checkpoint in it, by the names of its members."""
    shown = ", ".join(names[:3])[:200] or "nothing"
    return CheckpointError(
        f"The file is a tar archive without a checkpoint in it (it holds {shown}).",
        "Unpack it with `tar -xf`, and open the checkpoint inside if there is one.",
    )


def plain_pickle() -> CheckpointError:
    """A pickle that pickle.dump wrote, not torch.save."""
    return CheckpointError(
        "The file is a plain Python pickle, not a checkpoint that torch.save wrote.",
        "Save it again with torch.save, from the program that wrote it.",
    )


def no_tensors(what: str) -> CheckpointError:
    """A sound file without a tensor; `what` names what it holds."""
    return CheckpointError(
        f"The file is in order, but holds no tensor: only {what}.",
        "Choose the file with the weights; this one may hold options or a training log.",
    )
