"""A job that sessions share: seen by all, kept for later, and begun again when somebody asks."""

import threading
from collections.abc import Callable, Iterator

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.progress import Progress
from pages.components.resources import jobs
from tests.waiting import PATIENCE, wait_until

WORK: list[Callable[[Progress], str]] = []
"""What the page's next job does."""


def page() -> None:
    import streamlit as st

    from pages.components.shared_job import SharedJob
    from tests.pages.test_shared_job import WORK

    job: SharedJob[str] = SharedJob("kind", "thing", max_results=4)
    if not job.under_way:
        if job.result is not None:
            st.success(job.result)
            return
        job.draw_failure()
        if job.stopped:
            st.info("Stopped.")
        if not st.button("Start"):
            return
        job.start(WORK[0])
        st.rerun()
    found = job.watch()
    if found is not None:
        st.success(found)


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Until it is set, the work goes on."""
    event = threading.Event()

    def work(progress: Progress) -> str:
        while not event.wait(0.01):
            progress(1, 4, "Reading")
        return "All read"

    WORK[:] = [work]
    yield event
    event.set()


def opened() -> AppTest:
    return AppTest.from_function(page, default_timeout=PATIENCE).run()


def started() -> AppTest:
    app = opened()
    app.button[0].click().run()
    return app


def until(app: AppTest, seen: Callable[[AppTest], bool]) -> None:
    """Run the page as its timer does."""
    wait_until(lambda: seen(app.run()))


def success(app: AppTest) -> list[str]:
    return [each.value for each in app.success]


def labels(app: AppTest) -> list[str]:
    return [each.label for each in app.button]


def test_whoever_opens_the_page_sees_the_job_of_another_and_its_result(
    release: threading.Event,
) -> None:
    first = started()
    assert labels(first) == ["Cancel"]
    second = opened()
    assert labels(second) == ["Cancel"]
    release.set()
    until(first, lambda app: success(app) == ["All read"])
    until(second, lambda app: success(app) == ["All read"])


def test_a_result_is_kept_where_nobody_looked_and_the_caches_are_emptied(
    release: threading.Event,
) -> None:
    started()
    release.set()
    wait_until(lambda: not jobs().under_way(("kind", "thing")))
    st.cache_resource.clear()
    assert success(opened()) == ["All read"]


def test_a_stopped_job_is_begun_again_only_when_asked(release: threading.Event) -> None:
    app = started()
    app.button[0].click().run()
    until(app, lambda app: [each.value for each in app.info] == ["Stopped."])
    assert labels(app.run()) == ["Start"]
    app.button[0].click().run()
    assert labels(app) == ["Cancel"]


@pytest.mark.parametrize("error", [MemoryError(), SystemExit(1), KeyError("w")])
def test_a_job_that_fails_says_so_and_can_be_begun_again(error: BaseException) -> None:
    def fails(progress: Progress) -> str:
        raise error

    WORK[:] = [fails]
    app = started()
    until(app, lambda app: len(app.error) == 1)
    assert not app.exception
    assert "again" in app.error[0].value
    WORK[:] = [lambda progress: "Well"]
    app.button[0].click().run()
    until(app, lambda app: success(app) == ["Well"])
    assert not app.error
