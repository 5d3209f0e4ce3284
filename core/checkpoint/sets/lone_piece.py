"""Says of a single file that it is one piece of a checkpoint, by its name and what is in it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from core.checkpoint.pickles.inert import Tree
from core.checkpoint.sets.rank_files import has_sharding, is_rank_file
from core.checkpoint.sets.shards import numbered

ZERO = "run `python zero_to_fp32.py . out` in its folder, and open the result."

PIECES: Mapping[str, str] = {
    r"(?:.*_)?zero_pp_rank_\d+_mp_rank_\d+_(?:model|optim)_states\.pt": (
        "This is one rank's file of a DeepSpeed checkpoint, whose tensors ZeRO distributed over "
        f"the ranks: {ZERO}"
    ),
    r"layer_\d+-model_\d+-model_states\.pt": (
        "This is one layer of a DeepSpeed checkpoint, which has a file for each: put them together "
        "with the program that wrote them, and open the result."
    ),
    r"consolidated\.\d\d\.pth": (
        "Files with such a name are one for each model-parallel rank. If there are others, such as "
        "consolidated.01.pth, this one has only a part of each large tensor."
    ),
    r"(?:model_optim_rng|model_rng)\.pt": (
        "Megatron writes such a file for each model-parallel rank, in a folder mp_rank_NN. If "
        "there are others, this one has only a part of the model: convert them together, and open "
        "the result."
    ),
    r".*[_-]rank[_-]?\d+\.(?:pt|pth|bin|ckpt)": (
        "By its name, this is the file of one of several ranks: open the folder that contains "
        "them all, or what the program that wrote them makes of them together."
    ),
}
"""The names of files that are pieces, and what to say of each. They are those of
deepspeed/runtime/engine.py (_get_ckpt_name, _get_zero_ckpt_name) and runtime/pipe/module.py
(ckpt_layer_path), of Llama's download, of megatron/training/checkpointing.py
(get_checkpoint_name), and of torch's FSDP as accelerate and fairseq name its local state_dicts."""

MODEL_PARALLEL = re.compile(r"mp_rank_(\d+)_model_states\.pt")
"""DeepSpeed's model file of one model-parallel rank."""

SPLIT = (
    re.compile(r"consolidated\.\d\d\.pth"),
    re.compile(r"mp_rank_\d\d(?:_\d{3})*/model_(?:optim_)?rng\.pt"),
)
"""The files of one model that tensor parallelism split across ranks, as Llama's download and
megatron/training/checkpointing.py name them."""

WORLD = "mp_world_size"
"""The key under which that file has the number of these ranks."""


def are_ranks_of_one_model(names: Collection[str]) -> bool:
    """Whether several files in one folder are those of one model's ranks, by their names."""
    folders = {name.partition("mp_rank_")[0].rpartition("/")[0] for name in names}
    within = [name.removeprefix(f"{folder}/") for folder in folders for name in names]
    return (
        len(names) > 1
        and len(folders) == 1
        and any(all(pattern.fullmatch(name) for name in within) for pattern in SPLIT)
    )


def piece_notes(name: str, tree: Tree) -> tuple[str, ...]:
    """The note on a file that was opened by itself but is one piece of a checkpoint."""
    if is_rank_file(name) or has_sharding(tree):
        return (
            "torch.distributed.checkpoint wrote this file for one rank, so its tensors may be "
            "parts of larger ones: open the folder that contains the files of all ranks to see "
            "the whole checkpoint.",
        )
    shard = numbered(name)
    if shard is not None and shard.of > 1:
        return (
            f"This is shard {shard.number} of {shard.of}: open the folder that contains them all, "
            "or all of them together, to see the whole checkpoint.",
        )
    rank = MODEL_PARALLEL.fullmatch(name)
    world = tree.get(WORLD) if isinstance(tree, dict) else None
    if rank is not None and isinstance(world, int) and world > 1:
        return (
            f"This is the file of model-parallel rank {int(rank[1])} of {world}, so its tensors "
            f"may be parts of larger ones: {ZERO}",
        )
    return tuple(words for pattern, words in PIECES.items() if re.fullmatch(pattern, name))[:1]
