"""Proves with numbers, on request, that a repaired state_dict is the model that it fits."""

from __future__ import annotations

import json
from collections.abc import Callable

import streamlit as st

from core.architectures import Architecture
from core.checkpoint import Checkpoint, StateDict
from core.fit.identify import hints_of
from core.fixes import Recipe
from core.plain_text import plain, plain_sentence
from core.predict.proof import Proof, proof_facts, proof_sentences, prove
from core.progress import Progress
from core.recipe import recipe_to_json
from pages.components.identified import identification
from pages.components.panels.panel import panel
from pages.components.pressed import pressed
from pages.components.shared_job import SharedJob


def proof_panel(
    checkpoint: Checkpoint,
    state_dict: StateDict,
    repaired: StateDict,
    recipe: Recipe,
    architecture: Architecture,
) -> None:
    """Draw the button, the job that it starts, and the proof, which all sessions share.

    `repaired` is `state_dict` after the recipe, and fits the architecture. Another recipe, file or
    architecture has a proof of its own.
    """
    _, body = panel("proof", "Proof")
    with body:
        _proof(checkpoint, state_dict, repaired, recipe, architecture)


def _proof(
    checkpoint: Checkpoint,
    state_dict: StateDict,
    repaired: StateDict,
    recipe: Recipe,
    architecture: Architecture,
) -> None:
    steps = recipe_to_json(recipe)
    identity = json.dumps([checkpoint.identity, state_dict.path, architecture.key, steps])
    job: SharedJob[Proof] = SharedJob("proof", identity, max_results=64)
    under_way, proof = job.under_way, job.result
    if proof is not None:
        _result(proof)
    else:
        st.caption(
            "Builds the model, checks that each tensor holds the right value, runs it on random "
            "images, and compares its outputs with those of the model that the file is from, if "
            "that is found by the file’s key names."
        )
    if under_way:
        if job.watch("Running both models") is not None:
            st.rerun()
        return
    job.draw_failure()
    if job.stopped:
        st.caption("The proof was cancelled.")
    if pressed("Prove again" if proof else "Prove", key=f"{job.widget_key}-start"):
        job.start(_work(checkpoint, state_dict, repaired, recipe, architecture))
        st.rerun()


def _work(
    checkpoint: Checkpoint,
    state_dict: StateDict,
    repaired: StateDict,
    recipe: Recipe,
    architecture: Architecture,
) -> Callable[[Progress], Proof]:
    identified = identification(checkpoint, state_dict)
    hints = hints_of(checkpoint, state_dict)

    def work(progress: Progress) -> Proof:
        return prove(
            state_dict,
            repaired,
            architecture,
            recipe,
            identification=identified,
            hints=hints,
            progress=progress,
        )

    return work


def _result(proof: Proof) -> None:
    verdict, *steps = proof_sentences(proof)
    if not proof.proved:
        st.error(plain_sentence(verdict), icon=":material/error:")
    elif proof.compared.verdict == "same outputs":
        st.success(plain_sentence(verdict), icon=":material/verified:")
    else:
        st.info(plain_sentence(verdict), icon=":material/info:")
    st.markdown("\n".join(f"- {plain_sentence(step)}" for step in steps))
    st.table({plain(name): plain(value) for name, value in proof_facts(proof)}, border="horizontal")
