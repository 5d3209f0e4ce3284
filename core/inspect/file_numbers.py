"""A file at a glance: six numbers with their words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from core.checkpoint import Checkpoint, StateDict, Verdict
from core.inspect.safety import code_count
from core.inspect.stated_training import stated_metrics, stated_step
from core.wording import count, parameters, share_text, size

Tone = Literal["", "good", "doubt", "danger"]


@dataclass(frozen=True, slots=True)
class FileNumber:
    """A number of a file, or a word in its place, and the words below it.

    `tone` says whether the number itself is good news, and `detail` what it rests on; both may be
    empty.
    """

    value: str
    words: str
    tone: Tone = ""
    detail: str = ""


TONES: Mapping[Verdict, Tone] = {
    Verdict.PLAIN: "good",
    Verdict.INERT: "doubt",
    Verdict.DANGEROUS: "danger",
}


def file_numbers(checkpoint: Checkpoint, state_dict: StateDict) -> tuple[FileNumber, ...]:
    """The tensors, parameters and dtype of a state_dict; the size, the epoch and the calls that
    could run code of its file. A file that states no epoch has no such number."""
    numbers = [
        FileNumber(count(len(state_dict)), "tensor" if len(state_dict) == 1 else "tensors"),
        FileNumber(parameters(state_dict.numel), "parameters"),
        FileNumber(
            size(checkpoint.size),
            "file" if checkpoint.files == 1 else f"in {count(checkpoint.files)} files",
        ),
    ]
    if total := state_dict.nbytes:
        dtype, most = dtype_bytes(state_dict)[0]
        numbers.append(FileNumber(dtype, f"{share_text(most / total)} of bytes"))
    step, metrics = stated_step(checkpoint.metadata), stated_metrics(checkpoint.metadata)
    if step is not None:
        words = f"{metrics[0].name} {metrics[0].words}" if metrics else "as the file states"
        numbers.append(FileNumber(f"{step.name.replace('_', ' ')} {step.words}", words))
    elif metrics:
        numbers.append(FileNumber(metrics[0].words, metrics[0].name))
    code = code_count(checkpoint)
    numbers.append(FileNumber(count(code.number), code.words, TONES[code.worst], code.detail))
    return tuple(numbers)


def dtype_bytes(state_dict: StateDict) -> tuple[tuple[str, int], ...]:
    """Each dtype with the bytes of its tensors, the one with most first."""
    nbytes: Counter[str] = Counter()
    for entry in state_dict.values():
        nbytes[entry.dtype] += entry.nbytes
    return tuple(nbytes.most_common())
