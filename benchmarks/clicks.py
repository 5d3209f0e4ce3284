"""How long a click takes, at the server alone and in a real browser.

Starts the real app with the sample and with made files of 1,000 and 20,000 keys on the bench, and
prints for each click the median, the 95th percentile, and the CPU of the server and of the page's
own thread beside what is aimed at:

- server: a session without a browser runs each page again, from the click to the end of the run;
- browser: Chromium, from the click to the page as it is then drawn, timed inside the page;
- together: runs a second of eight sessions that click without a pause.

    .venv/bin/python -m benchmarks.clicks
    .venv/bin/python -m benchmarks.clicks --only browser --repeats 20
"""

import argparse
import asyncio
import math
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import torch
from playwright.sync_api import CDPSession, Page, sync_playwright

from core.server import Bench, SlotState, bench_to_query
from tests.browser.chromium import FLAGS, find_chromium
from tests.browser.driver import SETTLED_WITHIN, Server, settled
from tests.sessions.client import Run, Session, session
from tests.sessions.server_process import cpu_seconds, wait_until_idle
from tests.sessions.whole_job import whole_job

PAGES = ("Open", "Inspect", "Compare", "Fit", "Predict")
TOGETHER, TOGETHER_FOR = 8, 15.0
"""Sessions that click without a pause, and for how many seconds."""

RERUN = {"sample": 50.0, "1,000 keys": 50.0, "20,000 keys": None}
CLICK = {"sample": 150.0, "1,000 keys": 150.0, "20,000 keys": 300.0}
PAGE_TO_PAGE = {"sample": 250.0, "1,000 keys": 250.0, "20,000 keys": 400.0}
RUNS_A_SECOND = 20.0
"""What is aimed at on a quiet machine with two cores, in milliseconds and runs a second."""

SAME, SEARCH = "again", "inspect-search"

TABLES = ("Inspect", "Compare")
"""Pages whose table is drawn last."""

DEEP = """const deep = selector => [...document.querySelectorAll("div")]
    .flatMap(each => each.shadowRoot ? [...each.shadowRoot.querySelectorAll(selector)] : [])"""
"""Finds elements in the shadow trees of Loupe's own components."""

TIMED = (
    """([find, ready]) => new Promise((done, fail) => {
  """
    + DEEP
    + """
  const run = words => new Function("deep", "clicked", "return " + words)
  const target = run(find)(deep)
  const isReady = run(ready)
  const app = document.querySelector("[data-testid=stApp]")
  const started = performance.now()
  const look = () => {
    if (app.dataset.testScriptState === "notRunning" && isReady(deep, target)) {
      requestAnimationFrame(() => setTimeout(() => done(performance.now() - started)))
    } else if (performance.now() - started > 60000) fail(new Error("Never drawn: " + ready))
    else requestAnimationFrame(look)
  }
  target.click()
  look()
})"""
)
"""Clicks, and gives the milliseconds until the page is as `ready` says and has been painted. `find`
and `ready` are JavaScript; `deep` finds elements in the shadow trees of Loupe's own components, and
`clicked` is what was clicked."""

ROW = (
    "(rows => rows[(window.turns = (window.turns ?? 0) + 1) % rows.length])"
    "(deep('[role=row][aria-selected=false]'))"
)
"""A row of the page's table that is not chosen, another at each click."""


@dataclass(frozen=True, slots=True)
class Within:
    """A click within a page: what is clicked, and what the page then has, as for TIMED; and the
    click that takes it back, with its `back_ready`."""

    page: str
    title: str
    find: str
    ready: str
    back: str = ""
    back_ready: str = ""


def button(text: str) -> str:
    """A button of the page by a part of its words."""
    return f"[...document.querySelectorAll('button')].find(b => b.textContent.includes('{text}'))"


def tab(name: str) -> str:
    """A tab by its name."""
    return f"[...document.querySelectorAll('[role=tab]')].find(t => t.textContent === '{name}')"


def shown(selector: str) -> str:
    """Whether the page has such an element."""
    return f"document.querySelector('{selector}') !== null"


FILTERED = "/ of .* tensors/.test(deep('.note')[0]?.textContent)"
CARD = (
    "[...document.querySelectorAll('.st-key-pair-card code')]"
    ".some(code => code.textContent === clicked.querySelector('.key').title)"
)

WITHIN = (
    Within("Inspect", "a dtype", button("int64"), FILTERED, button("int64"), f"!{FILTERED}"),
    Within(
        "Inspect",
        "a row, and back",
        ROW,
        shown(".st-key-inspect-back button"),
        button("Back to overview"),
        shown(".st-key-inspect-overview"),
    ),
    Within(
        "Inspect",
        "a tab",
        tab("Checksums"),
        f"{button('Verify')} !== undefined",
        tab("Tensors"),
        "deep('[role=row]').length > 2",
    ),
    Within("Compare", "a row", ROW, CARD),
    Within(
        "Compare",
        "a tab",
        tab("Evidence"),
        "deep('[role=treegrid]').length === 0",
        tab("Tensors"),
        "deep('[role=row]').length > 2",
    ),
)
"""Typical clicks within a page."""


@dataclass
class Clicks:
    """Clicks of one kind: their milliseconds, and those of CPU that the server and the page's own
    thread took, which other work on the machine makes little longer."""

    process: int
    milliseconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    page_cpu: list[float] = field(default_factory=list)

    async def add(self, click: Awaitable[Run]) -> None:
        """Do a click of a session without a browser."""
        before = cpu_seconds(self.process)
        run = await click
        self.milliseconds.append(1000 * run.seconds)
        self.cpu.append(1000 * (cpu_seconds(self.process) - before))

    def add_in_browser(self, browser: CDPSession, click: Callable[[], float]) -> None:
        """Do a click in a browser, which gives its milliseconds."""
        before, page_before = cpu_seconds(self.process), page_seconds(browser)
        self.milliseconds.append(click())
        self.cpu.append(1000 * (cpu_seconds(self.process) - before))
        self.page_cpu.append(1000 * (page_seconds(browser) - page_before))


def page_seconds(browser: CDPSession) -> float:
    """Seconds of CPU that the page's main thread has used."""
    metrics = browser.send("Performance.getMetrics")["metrics"]
    return float(next(each["value"] for each in metrics if each["name"] == "ThreadTime"))


def line(what: str, clicks: Clicks, goal: float | None) -> str:
    """One line of the table; `goal` is the most that the median may be, None where nothing is
    aimed at."""
    median, late = statistics.median(clicks.milliseconds), percentile(clicks.milliseconds, 95)
    page = f"{statistics.mean(clicks.page_cpu):8.0f}" if clicks.page_cpu else " " * 8
    said = f"{what:<44} {median:8.0f} {late:8.0f} {statistics.mean(clicks.cpu):8.0f} {page}"
    if goal is None:
        return said
    return f"{said}   <= {goal:.0f}  {'yes' if median <= goal else 'NO'}"


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of a hundred are not above."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def make_pair(folder: Path, keys: int) -> dict[str, str]:
    """Write two checkpoints of that many small tensors, a tenth of them integers, of which a
    third differs; the query of a link that puts them on the bench."""
    generator = torch.Generator().manual_seed(keys)
    parts = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc")
    state: dict[str, torch.Tensor] = {}
    for number in range(keys):
        layer, place = divmod(number, 2 * len(parts))
        part, kind = parts[place // 2], ("weight", "bias")[place % 2]
        shape = (8, 8) if kind == "weight" and not part.startswith("norm") else (8,)
        state[f"blocks.{layer}.{part}.{kind}"] = torch.randn(shape, generator=generator)
        if place == 9:
            counter = f"blocks.{layer}.mlp.steps"
            del state[f"blocks.{layer}.{part}.{kind}"]
            state[counter] = torch.tensor(layer)
    names = []
    for slot in "ab":
        names.append(f"{slot}_{keys}.pth")
        torch.save(state, folder / names[-1])
        state = {
            key: tensor + 0.01 if number % 3 == 0 and tensor.is_floating_point() else tensor
            for number, (key, tensor) in enumerate(state.items())
        }
    a, b = (SlotState(f"root:0/{name}") for name in names)
    return dict(bench_to_query(Bench(a, b)))


async def prepared(person: Session) -> str:
    """Do the whole job on the sample, so that its model is loaded; the bench's link."""
    async for _ in whole_job(person):
        pass
    return person.screen.query


async def at_the_server(server: Server, query: str, repeats: int) -> dict[str, Clicks]:
    """Clicks of a session without a browser, after one round that does not count."""
    found: dict[str, Clicks] = defaultdict(lambda: Clicks(server.process.pid))
    async with session(server.url, query=query) as person:
        for turn in range(repeats + 1):
            for page in PAGES:
                if turn == 0:
                    await person.go(page)
                    continue
                await found[f"to {page}"].add(person.go(page))
                await found[f"{page} again"].add(person.rerun())
                if page == "Inspect":
                    await found["a filter on Inspect"].add(person.write(SEARCH, f"{turn}"))
    return dict(sorted(found.items()))


async def together(server: Server, query: str) -> tuple[float, Clicks]:
    """Runs a second of all sessions, and the clicks of all."""
    ready, start = asyncio.Semaphore(0), asyncio.Event()
    clicks = Clicks(server.process.pid)

    async def clicking(first: int) -> None:
        async with session(server.url, query=query) as person:
            ready.release()
            await start.wait()
            until = time.perf_counter() + TOGETHER_FOR
            while time.perf_counter() < until:
                run = await person.go(PAGES[(first + len(person.runs)) % len(PAGES)])
                clicks.milliseconds.append(1000 * run.seconds)

    people = [asyncio.create_task(clicking(number)) for number in range(TOGETHER)]
    for _ in people:
        await ready.acquire()
    started = time.perf_counter()
    start.set()
    await asyncio.gather(*people)
    return len(clicks.milliseconds) / (time.perf_counter() - started), clicks


def in_the_browser(
    page: Page, server: Server, query: str, name: str, repeats: int
) -> Iterator[str]:
    """Clicks in Chromium, from the click to the page as it is drawn, after one round unmeasured."""
    page.goto(f"{server.url}/inspector?{query}")
    settled(page)
    browser = page.context.new_cdp_session(page)
    browser.send("Performance.enable")
    found = {title: Clicks(server.process.pid) for title in PAGES}
    for turn in range(repeats + 1):
        for title in PAGES:
            if turn:
                found[title].add_in_browser(browser, lambda title=title: go_to(page, title))
            else:
                go_to(page, title)
    for title, clicks in found.items():
        yield line(f"browser, {name}: to {title}", clicks, PAGE_TO_PAGE[name])
    go_to(page, "Inspect")
    if not page.evaluate(f"() => {{ {DEEP}; return {ROW} !== undefined }}"):
        page.evaluate(TIMED, [button("By module"), f"{ROW} !== undefined"])
    in_view = "Inspect"
    for each in WITHIN:
        if each.page != in_view:  # to go where one is would be a run that nothing here waits for
            go_to(page, each.page)
            in_view = each.page
        clicks = Clicks(server.process.pid)
        for turn in range(repeats + 1):
            for find, ready in ((each.find, each.ready), (each.back, each.back_ready)):
                if find and turn:
                    click = partial(page.evaluate, TIMED, [find, ready])
                    clicks.add_in_browser(browser, lambda click=click: float(click()))
                elif find:
                    page.evaluate(TIMED, [find, ready])
        yield line(f"browser, {name}: {each.title} on {each.page}", clicks, CLICK[name])


def go_to(page: Page, title: str) -> float:
    """Choose a page of the navigation; the milliseconds until it is drawn."""
    links = "[...document.querySelectorAll('[data-testid=stTopNavLink]')]"
    find = f"{links}.find(link => link.textContent.endsWith('{title}'))"
    ready = f"document.querySelector('.st-key-page-{title.lower()} h1') !== null"
    if title in TABLES:
        ready += " && deep('[role=row]').length > 2"
    return float(page.evaluate(TIMED, [find, ready]))


def lines(server: Server, only: str | None, repeats: int) -> Iterator[str]:
    """All that is measured, one after the other."""
    made = {f"{keys:,} keys": urlencode(make_pair(server.root, keys)) for keys in (1_000, 20_000)}

    async def first() -> str:
        async with session(server.url) as person:
            return await prepared(person)

    benches = {"sample": asyncio.run(first()), **made}
    if only in (None, "server"):
        for name, query in benches.items():
            for what, clicks in asyncio.run(at_the_server(server, query, repeats)).items():
                yield line(f"server, {name}: {what}", clicks, RERUN[name] if SAME in what else None)
    if only in (None, "browser"):
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
            for name, query in benches.items():
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                page.set_default_timeout(SETTLED_WITHIN)
                yield from in_the_browser(page, server, query, name, repeats)
                page.close()
            browser.close()
    if only in (None, "together"):
        before = cpu_seconds(server.process.pid)
        rate, clicks = asyncio.run(together(server, benches["sample"]))
        cpu = 1000 * (cpu_seconds(server.process.pid) - before) / len(clicks.milliseconds)
        clicks.cpu.append(cpu)
        yield line(f"{TOGETHER} sessions without a pause: a click", clicks, None)
        reached = "yes" if rate >= RUNS_A_SECOND else "NO"
        what = f"{TOGETHER} sessions without a pause: runs a second"
        yield f"{what:<44} {rate:8.1f} {'':26}   >= {RUNS_A_SECOND:.0f}  {reached}"


def first_page(server: Server, started: float) -> float:
    """Milliseconds from the start of the server, as `make run` starts it, to its first page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        page = browser.new_page()
        page.goto(server.url)
        page.locator("h1").wait_for(timeout=SETTLED_WITHIN)
        taken = 1000 * (time.perf_counter() - started)
        browser.close()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("server", "browser", "together"), help="one part alone")
    parser.add_argument("--repeats", type=int, default=10, help="measured clicks of each kind (10)")
    chosen = parser.parse_args()
    print(f"load average at the start {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores\n")
    print(f"{'milliseconds':<44} {'median':>8} {'p95':>8} {'server':>8} {'page':>8}   goal")
    print(f"{'':<62} {'CPU':>8} {'CPU':>8}")
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        server = Server(Path(folder))
        try:
            if chosen.only in (None, "browser"):
                print(
                    f"{'from the start to the first page':<44} {first_page(server, started):8.0f}"
                )
            wait_until_idle(server)
            for each in lines(server, chosen.only, chosen.repeats):
                print(each, flush=True)
        finally:
            server.stop()
    print(f"\nload average at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
