"""Says what a file is that is not a checkpoint, and what to do about it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice

from core.checkpoint.pickles.global_verdicts import GlobalUse
from core.errors import CheckpointError
from core.wording import count, counted, listed

HEAD = 4096
"""Bytes at a file's start that are compared with known formats."""

MAX_NAMES = 1_000
MAX_NAME = 300
"""Names of files in an archive, and characters of each, that are compared."""

MAX_SHOWN = 100
"""Characters of a global's name in a sentence."""

LFS_MAGIC = b"version https://git-lfs.github.com/spec/"
"""The start of a file that stands for a large one in a Git repository (Git LFS, docs/spec.md)."""

ELSEWHERE = "Loupe reads PyTorch's files: convert it with the library that wrote it."
JAX = "Loupe reads PyTorch's files: load it with JAX, and save its arrays as safetensors."
TENSORFLOW = (
    "Loupe reads PyTorch's files: load it with TensorFlow, and save its arrays as safetensors."
)

SIGNATURES: Mapping[bytes, tuple[str, str]] = {
    b"\x1f\x8b": ("a gzip archive", "Unpack it with `gunzip` and open what is inside."),
    b"BZh": ("a bzip2 archive", "Unpack it with `bunzip2` and open what is inside."),
    b"\xfd7zXZ": ("an xz archive", "Unpack it with `unxz` and open what is inside."),
    b"\x28\xb5\x2f\xfd": ("a zstd archive", "Unpack it with `unzstd` and open what is inside."),
    b"7z\xbc\xaf": ("a 7-Zip archive", "Unpack it and open what is inside."),
    b"Rar!": ("a RAR archive", "Unpack it and open what is inside."),
    b"\x04\x22\x4d\x18": ("an LZ4 file", "Unpack it with `lz4 -d` and open what is inside."),
    **dict.fromkeys(
        (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"),
        (
            "zlib-compressed data, as joblib writes",
            "Loupe reads PyTorch's files: load it with joblib, in the program that wrote it.",
        ),
    ),
    b"PK\x07\x08": (
        "the first part of a split zip",
        "Put all parts into one folder, join them with `zip -s 0 part.zip --out whole.zip`, and "
        "open that.",
    ),
    b"\x89HDF": ("an HDF5 file, as Keras writes", ELSEWHERE),
    b"GGUF": ("a GGUF file, as llama.cpp reads", "Open the PyTorch weights it was made from."),
    **dict.fromkeys(
        (b"lmgg", b"fmgg", b"tjgg"),
        ("an old GGML file, as llama.cpp read", "Open the PyTorch weights it was made from."),
    ),
    **dict.fromkeys(
        (b"ftrt", b"ptrt"),
        ("a TensorRT engine", "Open the PyTorch weights that it was built from."),
    ),
    b"\x12\x01\x00\x00\x00\x00\x00\x00": (
        "an MXNet parameter file",
        ELSEWHERE,
    ),
    b"SQLite format 3": ("a SQLite database", "Choose a checkpoint file."),
    b"PAR1": ("a Parquet table", "Choose a checkpoint file."),
    b"ARROW1": ("an Arrow table", "Choose a checkpoint file."),
    b"\x0c\xdb\x3a\x2a": ("a part of an Orbax checkpoint, as JAX writes", JAX),
    b"MATLAB 5.0 MAT-file": ("a MATLAB file", "Choose a checkpoint file."),
    b"CBM1": ("a CatBoost model", ELSEWHERE),
    b"\x00\x05\x16\x07": (
        "metadata that macOS keeps next to a file",
        "Open the file of the same name without the leading `._`.",
    ),
    b"\x93NUMPY": ("a numpy array", "Load it with numpy.load and save tensors with torch.save."),
    b"\x89PNG": ("a PNG image", "Images go to the Predict page."),
    b"\xff\xd8\xff": ("a JPEG image", "Images go to the Predict page."),
    **dict.fromkeys((b"II*\0", b"MM\0*"), ("a TIFF image", "Images go to the Predict page.")),
    b"GIF8": ("a GIF image", "Images go to the Predict page."),
    b"%PDF": ("a PDF document", "Choose a checkpoint file."),
    b"\x7fELF": ("a program", "Choose a checkpoint file."),
    b"MZ": ("a Windows program", "Choose a checkpoint file."),
}
"""The first bytes of files that people mistake for checkpoints, each with its kind and a remedy."""

_LENGTH = rb"(?:[\0-\x7f]|[\x80-\xff]{1,4}[\0-\x7f])"
"""A length in a protocol buffer."""

PATTERNS: Mapping[bytes, tuple[str, str]] = {
    rb".{4}TFL3": ("a TensorFlow Lite model", ELSEWHERE),
    rb".{4}ET\d\d": ("an ExecuTorch program", "Open the .pth that it was exported from."),
    rb"RIFF.{4}WEBP": ("a WebP image", "Images go to the Predict page."),
    rb"RIFF.{4}WAVE": ("a sound", "Choose a checkpoint file."),
    rb".{4}ftyp": ("a video or an image", "Choose a checkpoint file."),
    rb"..\0\0\{.{2,2000}?\}[fp]trt": (
        "a TensorRT engine, as Ultralytics writes",
        "Open the PyTorch weights that it was built from.",
    ),
    rb"\x08[\x01-\x20]\x12%(n)b\x0a%(n)b\x0a%(n)b[ -~]" % {b"n": _LENGTH}: (
        "a Core ML model",
        ELSEWHERE,
    ),
    rb"\x08[\x03-\x20](?:[\x12\x1a\x22\x32]%(n)b[ -~]|\x2a\0|[\x12\x1a\x22\x32]\0|\x3a)"
    % {b"n": _LENGTH}: ("an ONNX model", "Open the .pth that it was exported from."),
    rb"\x08\x01\x12": ("a TensorFlow SavedModel", TENSORFLOW),
    rb"\x0a%(n)b\x0a%(n)b[ -~]{1,200}?\x12.(?:Placeholder|Const|VariableV2|NoOp)"
    % {b"n": _LENGTH}: ("a TensorFlow graph", TENSORFLOW),
    rb"\0\0%(n)b\x08.{1,3}\x1a\x02\x08" % {b"n": _LENGTH}: (
        "the index of a TensorFlow checkpoint, without its data",
        TENSORFLOW,
    ),
    rb"\x0a%(n)b[ -~]{0,200}?\xa2\x06" % {b"n": _LENGTH}: ("a Caffe model", ELSEWHERE),
    rb"\x0a%(n)b\x08\0\x10" % {b"n": _LENGTH}: ("a PaddlePaddle program", ELSEWHERE),
    rb"[\x81-\x8f][\xa1-\xbf]\w|\xde..[\xa1-\xbf]\w": ("MessagePack data, as Flax writes", JAX),
    rb"\0{256}": (
        "nothing but zeros, like a download that never finished",
        "Get it again from where it came from.",
    ),
}
"""The start of files without a signature at offset 0: flatbuffers have one after their first
offset, protocol buffers are recognised by their first fields, MessagePack by a map whose first key
is text."""

NAMES: Mapping[str, tuple[str, str]] = {
    r"\.data-\d{5}-of-\d{5}": ("a part of a TensorFlow checkpoint", TENSORFLOW),
    r"\.pdiparams": ("a PaddlePaddle parameter file", ELSEWHERE),
}
"""The ends of the names of files whose first bytes do not show their kind."""

CHECKPOINTS = (".pth", ".pt", ".ckpt", ".safetensors", ".pth.tar")
"""The endings of files that are most likely PyTorch's; other programs use `.bin` too."""

MEMBERS: Mapping[str, tuple[str, str]] = {
    r"(?:.*/)?(?:com\.apple\.CoreML/.*|[^/]+\.mlpackage/.*|.*\.mlmodel)": (
        "a Core ML model",
        ELSEWHERE,
    ),
    r"(?:.*/)?model\.weights\.h5|.*\.keras": ("a Keras model", ELSEWHERE),
    r"(?:.*/)?saved_model\.pb": ("a TensorFlow SavedModel", TENSORFLOW),
    r"(?:.*/)?group\d+-shard\d+of\d+(?:\.bin)?": ("a TensorFlow.js model", TENSORFLOW),
    r"(?:.*/)?[^/]+\.data-\d{5}-of-\d{5}": ("a TensorFlow checkpoint", TENSORFLOW),
    r"(?:.*/)?(?:manifest\.ocdbt|_CHECKPOINT_METADATA)": ("an Orbax checkpoint of JAX", JAX),
    r"(?:.*/)?\.zarray": ("a zarr store of arrays", JAX),
    r"(?:.*/)?\.data/extern_modules": (
        "a torch.package archive: Python code with its own pickles",
        "Load it with torch.package in the program that wrote it, and save the model's state_dict "
        "with torch.save.",
    ),
    r"(?:[^/]+/)?model\.json": (
        "a TorchScript archive from before PyTorch 1.4, which stores its weights differently",
        "Load it with torch.jit.load, and save it again with torch.jit.save.",
    ),
    r"(?:.*/)?(?:AndroidManifest\.xml|META-INF/MANIFEST\.MF)": (
        "a program", "Choose a checkpoint file.",
    ),
    r"(?:word|xl|ppt)/.*": ("an Office document", "Choose a checkpoint file."),
}  # fmt: skip
"""The names of files in an archive or a folder that show its kind."""

PICKLES: Mapping[str, tuple[str, str]] = {
    "joblib.": ("a joblib file", "load it with joblib in the program that wrote it"),
    "sklearn.": ("a pickled scikit-learn model", "load it with scikit-learn"),
    "xgboost.": ("a pickled XGBoost model", "load it with XGBoost"),
    "lightgbm.": ("a pickled LightGBM model", "load it with LightGBM"),
    "pandas.": ("a pickled pandas table", ""),
    "paddle.": ("a pickled PaddlePaddle model", "load it with PaddlePaddle"),
    "jax": ("a pickled JAX object", "load it with JAX"),
    "torch.storage._load_from_bytes": (
        "a plain Python pickle of tensors, which pickle.dump wrote and not torch.save",
        "load it with pickle in the program that wrote it, save what you get with torch.save, and "
        "open that file",
    ),
    "numpy": (
        "a plain Python pickle of numpy arrays",
        "load it with pickle in the program that wrote it, save tensors with torch.save, and open "
        "that file",
    ),
}
"""The kind of a plain pickle, and what to do if one trusts it, by the start of a global that it
names; empty if nothing in it can become a checkpoint."""

READ = ("torch.storage._load_from_bytes", "numpy")
"""Those of PICKLES that Loupe reads, if they contain tensors or arrays under keys."""

NOT_SAVED = "Choose a file that torch.save or safetensors wrote."
"""What to do about a file that is nothing of the kind."""

_quotes: ContextVar[bool] = ContextVar("quotes", default=True)


@contextmanager
def quoting(allowed: bool) -> Iterator[None]:
    """A context that sets, for this thread, whether errors may quote a file's contents.

    A link can name a file on the server that is not a checkpoint, and its contents may be secret.
    """
    token = _quotes.set(allowed)
    try:
        yield
    finally:
        _quotes.reset(token)


def quoted(words: str, instead: str = "") -> str:
    """A part of a sentence that quotes the file, or `instead` where quotes are not allowed."""
    return words if _quotes.get() else instead


def empty() -> CheckpointError:
    """The error for a file without bytes."""
    return CheckpointError(
        "The file is empty: it has 0 bytes.",
        "The download or the copy failed: get it again.",
    )


def not_a_checkpoint(head: bytes, size: int, name: str = "") -> CheckpointError:
    """The error for a file that is not a checkpoint.

    It names the file's kind by its first bytes (`head`, up to HEAD), its size and its name.
    """
    if head.startswith(LFS_MAGIC):
        return _lfs_pointer(head)
    for magic, (kind, remedy) in SIGNATURES.items():
        if head.startswith(magic):
            return CheckpointError(f"The file is {kind}, not a checkpoint.", remedy)
    if head[257:262] == b"ustar":
        return CheckpointError(
            "The file is a tar archive that is cut off or damaged.",
            "Get it again from where it came from, and compare its size.",
        )
    for pattern, (kind, remedy) in PATTERNS.items():
        if re.match(pattern, head, re.DOTALL):
            return CheckpointError(f"The file is {kind}, not a PyTorch checkpoint.", remedy)
    for ending, (kind, remedy) in NAMES.items():
        if re.search(rf"{ending}\Z", name):
            return CheckpointError(f"The file is {kind}, not a PyTorch checkpoint.", remedy)
    text = _text(head)
    if text is None:
        return CheckpointError(
            f"The file is not a checkpoint: its {count(size)} bytes begin like no format known to "
            "Loupe.",
            NOT_SAVED,
        )
    return _text_file(text, size)


def _lfs_pointer(head: bytes) -> CheckpointError:
    text = head.decode("utf-8", "replace")
    oid = re.search(r"oid sha256:([0-9a-f]{64})", text)
    size = re.search(r"size (\d+)", text)
    original = (
        f"The real file has {count(int(size[1]))} bytes" if size else "The real file is elsewhere"
    )
    if oid:
        original += quoted(f" and the object id {oid[1]}")
    return CheckpointError(
        f"The file is a Git LFS pointer, not the checkpoint itself. {original}.",
        "Run `git lfs pull` in the repository, or download the file itself.",
    )


def _text(head: bytes) -> str | None:
    if b"\0" in head:
        return None
    try:
        # The end of the head may cut a character of up to four bytes.
        return head[: len(head) - 4].decode("utf-8") if len(head) == HEAD else head.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _text_file(text: str, size: int) -> CheckpointError:
    start = text.lstrip("\ufeff \t\r\n")
    lower = start[:200].lower()
    if lower.startswith("<?xml") and "<html" not in lower:
        return _xml(start)
    if lower.startswith(("<!doctype html", "<html", "<head", "<!--")) or "<html" in lower:
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.DOTALL | re.IGNORECASE)
        words = " ".join(html.unescape(title[1]).split())[:120] if title else ""
        called = quoted(f" titled “{words}”") if words else ""
        return CheckpointError(
            f"The file is a web page{called}, not a checkpoint: the download failed.",
            "Open the link in a browser, and download the file itself (sign in, or accept the "
            "terms, where the page asks).",
        )
    if '"weight_map"' in start:
        return CheckpointError(
            "The file is an index of shards: it says which file contains which tensor.",
            "Open the folder that contains it and its shards, or all of them together.",
        )
    if start.startswith("model_checkpoint_path:"):
        return CheckpointError(
            "The file names the latest TensorFlow checkpoint, and contains no weights itself.",
            TENSORFLOW,
        )
    if start[:1] == "{" and re.search(r'"(?:architectures|model_type|_class_name)"\s*:', start):
        return CheckpointError(
            "The file is a model's configuration, without its weights.",
            "Open the .safetensors or .bin file next to it, or the folder that contains both.",
        )
    if start[:1] in ("{", "["):
        message = quoted(_json_message(start))
        return CheckpointError(
            f"The file is JSON text, not a checkpoint{message}.",
            "If it was downloaded, the server sent an error instead of the file: try again.",
        )
    line = " ".join(start.splitlines()[0].split())[:80] if start else ""
    begins = quoted(f", which begins with “{line}”") if line else ""
    return CheckpointError(f"The file is plain text of {counted(size, 'byte')}{begins}.", NOT_SAVED)


def _xml(text: str) -> CheckpointError:
    """The error for XML: the answer of an object store, an OpenVINO model, or other text."""
    code = re.search(r"<Error>.*?<Code>(\w{1,60})</Code>", text, re.DOTALL)
    if code:
        return CheckpointError(
            f"The file is a server's error message{quoted(f' ({code[1]})')}, not a checkpoint: the "
            "download failed.",
            "Sign in, or ask for access, and download the file again.",
        )
    if re.search(r"<net\s[^>]*>", text[:1000]):
        return CheckpointError(
            "The file is an OpenVINO model, not a PyTorch checkpoint.", ELSEWHERE
        )
    return CheckpointError("The file is XML text, not a checkpoint.", NOT_SAVED)


def _json_message(text: str) -> str:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    for key in ("message", "error", "detail"):
        if isinstance(document, dict) and isinstance(document.get(key), str):
            return f" (“{document[key][:120]}”)"
    return ""


def of_another_kind(names: Iterable[str], subject: str) -> CheckpointError | None:
    """The error for an archive or folder of another kind, judged by the names of its files.

    None where no name shows a kind, or one has the ending of a checkpoint. `subject` is the archive
    or folder as the start of a sentence.
    """
    listed = list(islice(names, MAX_NAMES))
    if any(name.endswith(CHECKPOINTS) for name in listed):
        return None
    for pattern, (kind, remedy) in MEMBERS.items():
        if any(re.fullmatch(pattern, name[:MAX_NAME], re.DOTALL) for name in listed):
            return CheckpointError(f"{subject} is {kind}, not a PyTorch checkpoint.", remedy)
    return None


def ordinary_zip(names: list[str]) -> CheckpointError:
    """The error for a zip without torch.save's data.pkl, from the names of its members."""
    if names and all(name.endswith(".npy") for name in names):
        return CheckpointError(
            "The file is a numpy .npz archive, not a checkpoint.",
            "Load it with numpy.load and save tensors with torch.save.",
        )
    inside = [name for name in names if name.endswith(CHECKPOINTS)]
    if inside:
        return CheckpointError(
            f"The file is an ordinary zip that contains {quoted(inside[0][:120], 'a checkpoint')}.",
            "Unpack it, and open the checkpoint inside.",
        )
    return CheckpointError(
        f"The file is an ordinary zip{_examples(names)}, not one that torch.save wrote.",
        "Unpack it, and open the checkpoint inside if there is one.",
    )


def _examples(names: Sequence[str]) -> str:
    return quoted(f" (it contains {', '.join(names[:3])[:200] or 'nothing'})")


def ordinary_tar(names: list[str]) -> CheckpointError:
    """The error for a tar without a checkpoint, from the names of its members."""
    return CheckpointError(
        f"The file is a tar archive without a checkpoint in it{_examples(names)}.",
        "Unpack it with `tar -xf`, and open the checkpoint inside if there is one.",
    )


def is_of_another_library(uses: Sequence[GlobalUse]) -> bool:
    """Whether the globals of a plain pickle are those of a library that Loupe cannot read."""
    return _library(uses) not in (None, *READ)


def _library(uses: Sequence[GlobalUse]) -> str | None:
    return next((start for start in PICKLES if any(u.name.startswith(start) for u in uses)), None)


def plain_pickle(uses: Sequence[GlobalUse]) -> CheckpointError:
    """The error for a pickle that pickle.dump wrote, not torch.save, from its globals."""
    for start, (kind, remedy) in PICKLES.items():
        if any(use.name.startswith(start) for use in uses):
            return CheckpointError(
                f"The file is {kind}.", f"If you trust it, {remedy}." if remedy else NOT_SAVED
            )
    unknown = [use.name[:MAX_SHOWN] for use in uses if not use.is_known]
    names = quoted(
        f" It names {listed(unknown)}, unknown to Loupe: what that would run is not known."
    )
    return CheckpointError(
        "The file is a plain Python pickle, not a checkpoint that torch.save wrote."
        + (names if unknown else ""),
        "Save it again with torch.save, from the program that wrote it.",
    )


def empty_pickle(size: int) -> CheckpointError:
    """The error for a pickle that ends before its first object."""
    return CheckpointError(
        f"The file is an empty pickle: it ends after {counted(size, 'byte')}, without an object.",
        NOT_SAVED,
    )


def repeated_parts() -> CheckpointError:
    """The error for a pickle without tensors whose parts repeat one another endlessly."""
    return CheckpointError(
        "The file contains no tensor, but parts that repeat one another: written out, they would "
        "have more than a billion values. It was made to fill the memory of a program that copies "
        "or prints them.",
        "Do not load it: get the weights from a source you trust.",
    )


def lone_chunks(name: str) -> CheckpointError:
    """The error for a data file of torch.distributed.checkpoint that was opened by itself."""
    return CheckpointError(
        f"{name} is one of the data files of a distributed checkpoint. What is where in them is "
        "said in a file .metadata.",
        "Open the folder that contains .metadata and all data files.",
    )


def lone_metadata() -> CheckpointError:
    """The error for the `.metadata` of torch.distributed.checkpoint that was opened by itself."""
    return CheckpointError(
        "The file is the .metadata of a distributed checkpoint: it says where the tensors are, "
        "but contains none.",
        "Open the folder that contains it and the .distcp files.",
    )


def no_tensors(description: str, inner: Sequence[str] = ()) -> CheckpointError:
    """The error for a valid file without a tensor; `description` says what it contains.

    `inner` are sentences on the files in its byte strings.
    """
    return CheckpointError(
        f"The file can be read, but contains no tensor{quoted(f': only {description}')}.",
        quoted(" ".join(inner))
        or "Choose the file with the weights; this one may contain options or a training log.",
    )
