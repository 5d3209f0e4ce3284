"""Files that were made to do harm: what each is called, and the bytes of it."""

from collections.abc import Callable, Mapping

from tests.core.checkpoint.files_by_hand import legacy_file, with_tensor, zip_file
from tests.core.checkpoint.hostile_containers import (
    Hostile,
    folders,
    hidden,
    packed_files,
    safetensors,
    zips,
)
from tests.core.checkpoint.hostile_pickles import (
    Payload,
    bombs,
    calls,
    names,
    nestings,
    persistent_ids,
    work,
)


def hostile_files() -> dict[str, Hostile]:
    """All of them by name."""
    return {
        **_packed("call", calls(), opens=True),
        **_packed("name", names()),
        **_packed("persistent id", persistent_ids()),
        **_packed("bomb", bombs(), in_turn=True),
        **_packed("nesting", nestings(), in_turn=True),
        **_packed("work", work(), in_turn=True),
        **{f"hidden: {name}": file for name, file in hidden().items()},
        **{f"packed: {name}": file for name, file in packed_files().items()},
        **{f"folder: {name}": file for name, file in folders().items()},
        **{f"zip: {name}": Hostile(make) for name, make in zips().items()},
        **{f"safetensors: {name}": Hostile(make) for name, make in safetensors().items()},
    }


def _packed(
    kind: str,
    payloads: Mapping[str, Payload],
    opens: bool | None = None,
    in_turn: bool = False,
) -> dict[str, Hostile]:
    """Each payload beside a tensor, in a zip and in a legacy stream, or in these two in turn."""
    files = {}
    packs = (zip_file, legacy_file)
    for number, (name, payload) in enumerate(payloads.items()):
        content, dangerous = payload if isinstance(payload, tuple) else (payload, ())
        for pack in packs[number % 2 :][:1] if in_turn else packs:

            def make(
                content: bytes | Callable[[], bytes] = content,
                pack: Callable[..., bytes] = pack,
            ) -> bytes:
                return pack(with_tensor(content if isinstance(content, bytes) else content()))

            container = pack.__name__.removesuffix("_file")
            files[f"{kind}: {name} ({container})"] = Hostile(make, dangerous, opens)
    return files
