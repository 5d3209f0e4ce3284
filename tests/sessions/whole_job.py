"""The whole job of a person, click by click, through a session without a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator

from tests.sessions.client import Session
from tests.sessions.screen import Screen


async def whole_job(person: Session, own: bytes | None = None) -> AsyncIterator[str]:
    """From an empty bench to the classes of pictures; yields what was done after each click.

    A gets `own`, a checkpoint of the sample's network, sent by the upload's route; where there is
    none both slots get the sample.
    """
    if own is None:
        await person.click("next")
        yield "open the sample"
    else:
        await person.upload("A", "own.pth", own)
        yield "upload a checkpoint"
        await person.click("sample-B-final")
        yield "open the sample"
    await person.go("Inspect")
    yield "page to Inspect"
    await person.choose("inspect-dtypes", "int64")
    _expect(person, " tensors, ")
    yield "filter on Inspect"
    await person.go("Compare")
    yield "page to Compare"
    await person.go("Fit")
    yield "page to Fit"
    await person.click("next")
    _expect(person, " shufflenet_v2_x0_5 with 10 classes: ")
    yield "take the repair"
    await person.click("fit-A-load")
    await person.until(lambda screen: screen.shows("A random input gave 1 × 10"))
    yield "load the model"
    await person.go("Predict")
    yield "page to Predict"
    await person.until(_predicted)
    yield "predict"


def _predicted(screen: Screen) -> bool:
    return screen.shows("Results as CSV")


def _expect(person: Session, words: str) -> None:
    if not person.screen.shows(words):
        raise LookupError(f"The page does not say {words!r}. Errors: {person.errors}")
