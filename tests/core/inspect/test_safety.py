"""What a file could have run, in one sentence."""

import argparse
import logging
import os
import pickle
import uuid
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from core.checkpoint import Verdict, open_checkpoint
from core.inspect.safety import code_count, safety_summary


class Payload:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.fixture
def summary_of(tmp_path):
    def summarise(value):
        path = tmp_path / "file.pth"
        if isinstance(value, torch.Tensor):
            save_file({"w": value}, path)
        else:
            torch.save(value, path)
        checkpoint = open_checkpoint(path)
        return safety_summary(checkpoint)

    return summarise


def test_a_state_dict_can_run_nothing(summary_of):
    found = summary_of({"w": torch.ones(2)})
    assert found.worst is Verdict.PLAIN
    assert found.sentence == "Nothing in this file can run."


def test_a_safetensors_file_has_no_pickle_at_all(summary_of):
    found = summary_of(torch.ones(2))
    assert found.worst is None
    assert "contains no pickle" in found.detail


def test_an_unknown_class_is_named_and_kept_inert(summary_of):
    found = summary_of({"w": torch.ones(2), "model": Payload(Payload, len)})
    assert found.worst is not Verdict.PLAIN
    assert "Payload" in found.sentence
    assert "is not known" in found.sentence


def test_known_data_is_not_told_as_unknown(summary_of):
    found = summary_of({"w": torch.ones(2), "id": uuid.UUID(int=1), "log": logging.getLogger("a")})
    assert found.worst is Verdict.INERT
    assert "unknown" not in found.sentence
    assert "uuid.UUID" in found.sentence


def test_known_data_classes_are_no_reason_for_alarm(summary_of):
    found = summary_of({"w": torch.ones(2), "args": argparse.Namespace(lr=0.1)})
    assert found.worst is not Verdict.DANGEROUS


def test_code_that_would_have_run_is_named_and_did_not_run(summary_of, tmp_path):
    marker = tmp_path / "ran"
    found = summary_of({"w": torch.ones(2), "x": Payload(os.system, f"touch {marker}")})
    assert found.worst is Verdict.DANGEROUS
    assert found.sentence.startswith("This file would have run ")
    assert "system when loaded with torch.load" in found.sentence
    assert found.sentence.endswith("Loupe did not run it.")
    assert not marker.exists()


def test_what_hides_beside_the_pickle_is_told_apart_from_what_would_have_run(tmp_path):
    path = tmp_path / "file.pth"
    torch.save({"w": torch.ones(2)}, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("file/extra.pkl", pickle.dumps(Payload(os.system, "true"), protocol=2))
    checkpoint = open_checkpoint(path)
    found = safety_summary(checkpoint)
    assert found.worst is Verdict.DANGEROUS
    assert found.sentence.startswith("This file hides ")
    assert "torch.load does not look" in found.sentence


def test_where_not_all_was_searched_nothing_is_said_of_the_whole(summary_of, tmp_path):
    """Pickles in the bytes of pickles, deeper than Loupe looks."""
    inner = pickle.dumps(1)
    for _ in range(40):
        inner = pickle.dumps(inner)
    found = summary_of({"w": torch.ones(2), "blob": inner})
    assert found.worst is Verdict.INERT
    assert found.sentence.endswith("and not all of it was searched.")
    assert found.detail.startswith("Not everything in the byte strings of data.pkl was searched")
    code = code_count(open_checkpoint(tmp_path / "file.pth"))
    assert (code.words, code.worst) == ("calls found, not all was searched", Verdict.INERT)
