"""References to files lead where they say, and nowhere else."""

import gzip
import hashlib
import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from huggingface_hub import save_torch_state_dict

from core.checkpoint import FileSet, open_checkpoint
from core.checkpoint.containers import ServedFile
from core.errors import CheckpointError, SourceError
from core.server.files.references import locate
from core.server.files.store import Store
from core.server.files.upload_sets import set_manifest, set_reference
from core.server.settings import Settings
from core.tensors import read_tensor


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "data", quota=1000, largest_file=1000)


def test_an_upload_is_found_by_its_content_under_its_name(tmp_path: Path, store: Store) -> None:
    upload = store.begin(3)
    upload.write(b"abc")
    kept = upload.finish()
    located = locate(f"sha256:{kept.sha256}/my.pth", Settings(tmp_path), store)
    assert (located.path, located.name) == (kept.path, "my.pth")
    assert located.identity == f"sha256:{kept.sha256}"


def test_a_file_of_a_root_and_of_the_command_line_is_found(tmp_path: Path, store: Store) -> None:
    (tmp_path / "m.pth").write_bytes(b"x")
    settings = Settings(tmp_path, roots=(tmp_path,), bench=(tmp_path / "m.pth",))
    located = locate("root:0/m.pth", settings, store)
    assert located.path == ServedFile(tmp_path.resolve(), (tmp_path / "m.pth").resolve())
    assert located.files == ((tmp_path / "m.pth").resolve(),)
    assert locate("bench:0", settings, store).name == "m.pth"


def test_the_samples_open(tmp_path: Path, store: Store) -> None:
    for name in ("early", "final"):
        located = locate(f"sample:{name}", Settings(tmp_path), store)
        assert open_checkpoint(located.path).metadata["arch"] == "shufflenet_v2_x0_5"


@pytest.mark.parametrize(
    "reference",
    ["", "/etc/passwd", "file:/etc/passwd", "sha256:" + "a" * 64 + "/m.pth", "sha256:../x",
     "root:0/../outside", "root:1/m.pth", "root:-1/m.pth", "root:²/m.pth", "bench:0",
     "sample:other", "set:" + "a" * 64 + "/m", "set:../x"],
)  # fmt: skip
def test_any_other_reference_is_a_sentence(tmp_path: Path, store: Store, reference: str) -> None:
    with pytest.raises(SourceError):
        locate(reference, Settings(tmp_path, roots=(tmp_path / "data",)), store)


def sharded(folder: Path) -> dict[str, torch.Tensor]:
    tensors = {f"layer{index}.weight": torch.randn(64, 8) for index in range(6)}
    folder.mkdir(parents=True)
    save_torch_state_dict(tensors, folder, max_shard_size=5_000)
    return tensors


@pytest.mark.parametrize(
    "reference",
    ["root:0/runs/model", "root:0/runs/model/model.safetensors.index.json", "bench:0", "bench:1"],
)
def test_a_folder_of_shards_is_found_as_one_checkpoint(
    tmp_path: Path, store: Store, reference: str
) -> None:
    tensors = sharded(tmp_path / "runs" / "model")
    index = tmp_path / "runs" / "model" / "model.safetensors.index.json"
    settings = Settings(tmp_path, roots=(tmp_path,), bench=(index.parent, index))
    located = locate(reference, settings, store)
    assert isinstance(located.path, FileSet)
    assert located.name in {"model", index.name}
    checkpoint = open_checkpoint(located.path, name=located.name, identity=located.identity)
    assert set(checkpoint.state_dict()) == set(tensors)
    assert set(located.files) >= set(index.parent.glob("*.safetensors"))


def test_the_root_itself_may_be_the_checkpoint(tmp_path: Path, store: Store) -> None:
    sharded(tmp_path / "model")
    located = locate("root:0/", Settings(tmp_path, roots=(tmp_path / "model",)), store)
    assert located.name == "model"
    assert len(open_checkpoint(located.path).state_dict()) == 6


def stored(store: Store, data: bytes) -> str:
    upload = store.begin(len(data))
    upload.write(data)
    return upload.finish().sha256


def uploaded(store: Store, folder: Path) -> dict[str, str]:
    """A folder's files in the store: name → SHA-256."""
    return {path.name: stored(store, path.read_bytes()) for path in folder.iterdir()}


@pytest.fixture
def roomy(tmp_path: Path) -> Store:
    return Store(tmp_path / "data", quota=1 << 20, largest_file=1 << 20)


def keep_set(store: Store, files: Mapping[str, str]) -> str:
    """Keep the manifest of a set as a file; the set's reference."""
    manifest = set_manifest(files)
    upload = store.begin(len(manifest))
    upload.write(manifest)
    upload.finish()
    return set_reference(files)


def test_several_uploads_are_found_as_one_checkpoint(tmp_path: Path, roomy: Store) -> None:
    tensors = sharded(tmp_path / "model")
    reference = keep_set(roomy, uploaded(roomy, tmp_path / "model"))
    assert reference.startswith("set:")
    assert reference.endswith("/model.safetensors")
    located = locate(reference, Settings(tmp_path), roomy)
    assert located.identity == reference.partition("/")[0]
    checkpoint = open_checkpoint(located.path, name=located.name, identity=located.identity)
    assert set(checkpoint.state_dict()) == set(tensors)
    assert checkpoint.name == "model.safetensors"
    for key, tensor in tensors.items():
        assert torch.equal(read_tensor(checkpoint.state_dict()[key]), tensor)


def test_the_same_uploads_are_the_same_set(tmp_path: Path, roomy: Store) -> None:
    sharded(tmp_path / "model")
    files = uploaded(roomy, tmp_path / "model")
    assert keep_set(roomy, files) == keep_set(roomy, dict(reversed(files.items())))


def test_trouble_with_an_upload_of_a_set_tells_its_own_name(tmp_path: Path, roomy: Store) -> None:
    sharded(tmp_path / "model")
    shard = next((tmp_path / "model").glob("*-00002-of-*"))
    files = uploaded(roomy, tmp_path / "model")
    located = locate(keep_set(roomy, files), Settings(tmp_path), roomy)
    state_dict = open_checkpoint(located.path).state_dict()
    inside = next(iter(open_checkpoint(shard).state_dict()))
    path = roomy.find(files[shard.name])
    assert path is not None
    with path.open("r+b") as file:
        file.truncate(100)
    with pytest.raises(SourceError, match=f"^{shard.name} changed while it was open"):
        read_tensor(state_dict[inside])
    with pytest.raises(CheckpointError, match=f"^In {shard.name}: .* cut off"):
        open_checkpoint(located.path)
    path.unlink()
    with pytest.raises(SourceError, match=f"^{shard.name} is not on this server any more"):
        locate(keep_set(roomy, files), Settings(tmp_path), roomy)


GOOD = {"loupe": "upload set 1", "files": {"a.pth": "0" * 64}}


@pytest.mark.parametrize(
    "document",
    [
        b"\x80\x04]\x94.", b"", b"[]", b"nothing", b"[" * 100_000, b" " * (2 << 20), b'"a"', b"1",
        *(
            json.dumps(each).encode()
            for each in (
                GOOD | {"more": 1},
                GOOD | {"loupe": "other"},
                GOOD | {"files": {}},
                GOOD | {"files": ["a.pth"]},
                GOOD | {"files": {"a.pth": 1}},
                GOOD | {"files": {"../a.pth": "0" * 64}},
                GOOD | {"files": {"/etc/passwd": "0" * 64}},
                GOOD | {"files": {f"{'a' * 300}.pth": "0" * 64}},
                GOOD | {"files": {f"{number}.pth": "0" * 64 for number in range(2_000)}},
            )
        ),
    ],
)  # fmt: skip
def test_a_link_to_any_other_stored_file_as_a_set_is_refused(
    tmp_path: Path, document: bytes
) -> None:
    store = Store(tmp_path / "data", quota=4 << 20, largest_file=4 << 20)
    digest = stored(store, document) if document else hashlib.sha256(b"").hexdigest()
    with pytest.raises(SourceError) as raised:
        locate(f"set:{digest}/model.pth", Settings(tmp_path), store)
    assert "not a set of uploads" in raised.value.problem or not document


def test_a_set_reaches_nothing_but_uploads(tmp_path: Path, roomy: Store) -> None:
    (tmp_path / "secret").write_text("no")
    for digest in ("../../secret", str(tmp_path / "secret"), "0" * 64):
        files = {"a.pth": stored(roomy, b"x"), "b.pth": digest}
        text = json.dumps(GOOD | {"files": files}).encode()
        with pytest.raises(SourceError, match=r"^b\.pth is not on this server"):
            locate(f"set:{stored(roomy, text)}/m", Settings(tmp_path), roomy)


def archive(kind: str, name: str) -> bytes:
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as opened:
            opened.writestr(name, b"x")
    else:
        with tarfile.open(fileobj=file, mode="w") as opened_tar:
            opened_tar.addfile(tarfile.TarInfo(name))
    return file.getvalue()


SECRETS = {
    "text": b"PASSWORD=hunter2\nmore\n",
    "packed text": gzip.compress(b"PASSWORD=hunter2\nmore\n"),
    "web page": b"<html><title>hunter2</title></html>",
    "JSON": b'{"error": "hunter2"}',
    "XML": b"<?xml version='1.0'?><Error><Code>hunter2</Code></Error>",
    "LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:"
    + b"0a" * 32
    + b"\nsize 9",
    "zip": archive("zip", "hunter2.txt"),
    "tar": archive("tar", "hunter2.txt"),
    "pickle": pickle.dumps({"hunter2": 1}),
    "pickle of nothing": pickle.dumps({"hunter2": [1.5]}, protocol=4),
}


@pytest.mark.parametrize("kind", SECRETS)
def test_an_error_quotes_a_file_that_was_uploaded_and_none_of_a_server_folder(
    tmp_path: Path, roomy: Store, kind: str
) -> None:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "m.pth").write_bytes(SECRETS[kind])
    settings = Settings(tmp_path, roots=(tmp_path / "served",))
    said = {}
    for reference in ("root:0/m.pth", f"sha256:{stored(roomy, SECRETS[kind])}/m.pth"):
        located = locate(reference, settings, roomy)
        with pytest.raises(CheckpointError) as raised:
            open_checkpoint(located.path, name=located.name, quotes=located.quotes)
        said[reference[:4]] = str(raised.value)
    words = ("hunter2", "0a0a")
    assert not any(word in said["root"] for word in words)
    assert any(word in said["sha2"] for word in words) or kind.startswith("pickle")


def test_an_odd_name_of_a_server_folder_is_told_as_text(tmp_path: Path, store: Store) -> None:
    name = "caf\udce9\n.pth"
    torch.save({"w": torch.ones(2)}, tmp_path / name)
    located = locate("root:0//caf%E9%0A.pth", Settings(tmp_path, roots=(tmp_path,)), store)
    assert located.name == "caf\\xe9\\n.pth"
    assert open_checkpoint(located.path, name=located.name).name == located.name


def test_a_fingerprint_is_another_once_a_file_was_written_to(tmp_path: Path, store: Store) -> None:
    sharded(tmp_path / "caf\udce9")
    settings = Settings(tmp_path, roots=(tmp_path,))
    first = locate("root:0//caf%E9", settings, store).fingerprint()
    assert locate("root:0//caf%E9", settings, store).fingerprint() == first
    shard = next((tmp_path / "caf\udce9").glob("*-00001-*"))
    shard.write_bytes(shard.read_bytes() + b"1")
    assert locate("root:0//caf%E9", settings, store).fingerprint() != first


def test_the_configurations_beside_a_file_of_a_root_come_with_it(
    tmp_path: Path, store: Store
) -> None:
    (tmp_path / "run").mkdir()
    torch.save({"w": torch.ones(2)}, tmp_path / "run" / "m.pth")
    (tmp_path / "run" / "config.json").write_text('{"tag": "a1_in1k"}')
    settings = Settings(tmp_path, roots=(tmp_path,))
    located = locate("root:0/run/m.pth", settings, store)
    opened = open_checkpoint(located.path, around=located.around)
    assert opened.configs == {"config.json": {"tag": "a1_in1k"}}
    assert opened.folder == f"{tmp_path.name}/run"
    before = located.fingerprint()
    (tmp_path / "run" / "config.json").write_text('{"tag": "another"}')
    assert located.fingerprint() != before


def test_a_configuration_that_a_link_puts_outside_a_root_is_not_read(
    tmp_path: Path, store: Store
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    torch.save({"w": torch.ones(2)}, root / "m.pth")
    (tmp_path / "secret.json").write_text('{"secret": 1}')
    (root / "config.json").symlink_to(tmp_path / "secret.json")
    located = locate("root:0/m.pth", Settings(tmp_path, roots=(root,)), store)
    assert open_checkpoint(located.path, around=located.around).configs == {}
    # A link that takes the file's place after the check leads nowhere either.
    (root / "config.json").unlink()
    (root / "config.json").write_text("{}")
    located = locate("root:0/m.pth", Settings(tmp_path, roots=(root,)), store)
    (root / "config.json").unlink()
    (root / "config.json").symlink_to(tmp_path / "secret.json")
    opened = open_checkpoint(located.path, around=located.around)
    assert opened.configs == {"config.json": None}


def test_an_upload_has_nothing_around_it(tmp_path: Path, store: Store) -> None:
    """What lies beside it in the store is other people's."""
    torch.save({"w": torch.ones(2)}, tmp_path / "m.pth")
    data = (tmp_path / "m.pth").read_bytes()
    large = Store(tmp_path / "large", quota=10**6, largest_file=10**6)
    upload = large.begin(len(data))
    upload.write(data)
    kept = upload.finish()
    (kept.path.parent / "config.json").write_text('{"secret": 1}')
    located = locate(f"sha256:{kept.sha256}/m.pth", Settings(tmp_path), large)
    opened = open_checkpoint(located.path, around=located.around)
    assert (opened.configs, opened.folder) == ({}, "")
