"""A person's browser tab without the browser: a websocket client of a running server.

It speaks with the server as Streamlit's own page does, so many people can be had on one machine,
and what it measures is the server alone.
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect

from tests.sessions.screen import Drawn, Screen
from tests.waiting import PATIENCE

SLICE = 8 << 20
"""Bytes of one slice of an upload, as in the upload widget."""

KEPT_SESSIONS = 128
"""Closed tabs whose state the server keeps, for up to two minutes, so that a tab that lost its
connection finds its work again (Streamlit's MemorySessionStorage)."""

TRIGGERS = ("trigger_value", "string_trigger_value", "json_trigger_value")


@dataclass(frozen=True, slots=True)
class Run:
    """What one click cost: seconds until the first thing is drawn and until the run is finished,
    frames, bytes."""

    first_drawn: float
    seconds: float
    frames: int
    nbytes: int


class Session:
    """One open tab. Its methods do what a person does, and return when the run is finished.

    Each raises LookupError where the page has no such widget, TimeoutError where no run ends, and
    websockets' ConnectionClosed where the server hangs up.
    """

    def __init__(self, connection: ClientConnection, url: str, cookie: str) -> None:
        self.screen = Screen()
        self.url = url
        self.runs: list[Run] = []
        self._connection = connection
        self._cookie = cookie
        self._values: dict[str, WidgetState] = {}

    @property
    def errors(self) -> list[str]:
        """The sentences of all errors that the page has shown."""
        return self.screen.errors

    async def open(self, page: str = "", query: str = "") -> Run:
        """The first run, of the page with that name in its address."""
        return await self._rerun(ClientState(query_string=query, page_name=page))

    async def go(self, title: str) -> Run:
        """Choose a page of the navigation."""
        kept = {
            drawn.id: self._values[drawn.id]
            for drawn in self.screen.all()
            if drawn.id in self._values and drawn.script == self.screen.script
        }
        self._values = kept
        return await self._rerun(ClientState(page_script_hash=self.screen.pages[title]))

    async def click(self, name: str) -> Run:
        """Click the button of that key or label."""
        button = self.screen.widget(name)
        if button.proto.disabled:
            raise LookupError(f"{name!r} is greyed out")
        return await self._change(button, WidgetState(id=button.id, trigger_value=True))

    async def choose(self, name: str, option: str) -> Run:
        """Choose an option, by its words, of a selectbox, a radio, pills, a segmented control or
        a tab."""
        widget = self.screen.widget(name)
        state = WidgetState(id=widget.id)
        if widget.kind == "button_group":
            (content,) = (o.content for o in widget.proto.options if option in o.content)
            state.string_array_value.data.append(content)
        else:
            state.string_value = option
        return await self._change(widget, state)

    async def write(self, name: str, text: str) -> Run:
        """Write into a text field."""
        field = self.screen.widget(name)
        return await self._change(field, WidgetState(id=field.id, string_value=text))

    async def rerun(self) -> Run:
        """Run the page again as it is."""
        return await self._rerun(self._here())

    async def until(self, there: Callable[[Screen], bool]) -> None:
        """Run the fragments that ask for it, such as a job's progress, until `there`."""
        async with asyncio.timeout(PATIENCE):
            while not there(self.screen):
                if not self.screen.reruns:
                    raise LookupError(f"It will never be there. Errors: {self.errors}")
                fragment, interval = next(iter(self.screen.reruns.items()))
                await asyncio.sleep(interval)
                state = self._here()
                state.fragment_id, state.is_auto_rerun = fragment, True
                await self._rerun(state)

    async def upload(self, slot: str, name: str, data: bytes) -> Run:
        """Send a checkpoint into a slot by the server's own route, as the upload widget does."""
        widget = self.screen.widget(f"upload-{slot}")
        address = json.loads(widget.proto.json or widget.proto.mixed.json)["address"]
        answer: dict[str, Any] = {"received": 0}
        while "sha256" not in answer:
            offset = answer["received"]
            query = urlencode({"name": name, "size": len(data), "offset": offset, "id": "one"})
            answer = await self._put(f"{address}?{query}", data[offset : offset + SLICE])
        done = json.dumps([{"event": "done", "value": answer["sha256"]}])
        trigger = f"$$STREAMLIT_INTERNAL_KEY_{widget.id}__events"
        return await self._change(widget, WidgetState(id=trigger, json_trigger_value=done))

    async def _put(self, path: str, body: bytes) -> dict[str, Any]:
        request = urllib.request.Request(self.url + path, body, method="PUT")
        request.add_header("Origin", self.url)
        request.add_header("Cookie", self._cookie)
        answer: dict[str, Any] = json.loads(await asyncio.to_thread(_body, request))
        return answer

    async def _change(self, widget: Drawn, state: WidgetState) -> Run:
        self._values[state.id] = state
        asked = self._here()
        asked.fragment_id = widget.fragment
        for name in TRIGGERS:
            if state.HasField(name):
                del self._values[state.id]
        return await self._rerun(asked)

    def _here(self) -> ClientState:
        """A run of the page that is shown, with all that was chosen on it."""
        state = ClientState(query_string=self.screen.query, page_script_hash=self.screen.page)
        state.widget_states.widgets.extend(self._values.values())
        return state

    async def _rerun(self, state: ClientState) -> Run:
        state.cached_message_hashes.extend(self.screen.cached)
        state.context_info.timezone = "UTC"
        state.context_info.locale = "en-GB"
        state.context_info.url = self.url
        state.context_info.color_scheme = "light"
        started = time.perf_counter()
        await self._connection.send(BackMsg(rerun_script=state).SerializeToString())
        first, frames, nbytes, over = 0.0, 0, 0, False
        async with asyncio.timeout(PATIENCE):
            while not over:
                frame = await self._connection.recv(decode=False)
                frames, nbytes = frames + 1, nbytes + len(frame)
                message = ForwardMsg.FromString(frame)
                if not first and message.WhichOneof("type") in ("delta", "ref_hash"):
                    first = time.perf_counter()
                over = self.screen.take(message)
        ended = time.perf_counter()
        self._forget()
        run = Run((first or ended) - started, ended - started, frames, nbytes)
        self.runs.append(run)
        return run

    def _forget(self) -> None:
        """Values of widgets that are gone, or that the server has set itself, are not sent."""
        there = {drawn.id for drawn in self.screen.all()} - self.screen.changed_by_server
        self._values = {key: value for key, value in self._values.items() if key in there}


@asynccontextmanager
async def session(url: str, page: str = "", query: str = "") -> AsyncIterator[Session]:
    """Open a tab on the server at `url`, at the page of that name in the address, and wait for it;
    closes the tab at the end."""
    async with _tab(url, await asyncio.to_thread(_cookie, url)) as opened:
        await opened.open(page, query)
        yield opened


async def push_out(url: str) -> None:
    """Make the server forget every tab that was closed before, and leave it with as many closed
    tabs as it keeps, none of which has done anything but the last, which has drawn the page."""
    cookie = await asyncio.to_thread(_cookie, url)
    for _ in range(KEPT_SESSIONS - 1):
        async with _tab(url, cookie):
            pass
    async with session(url):
        pass


@asynccontextmanager
async def _tab(url: str, cookie: str) -> AsyncIterator[Session]:
    """A tab that is connected, before its first run."""
    token = dict(part.partition("=")[::2] for part in cookie.split("; ")).get("_streamlit_xsrf", "")
    async with connect(
        f"ws://{urlsplit(url).netloc}/_stcore/stream",
        origin=url,  # type: ignore[arg-type]
        subprotocols=["streamlit", token or "none"],  # type: ignore[list-item]
        additional_headers={"Cookie": cookie},
        compression=None,
        max_size=None,
        open_timeout=PATIENCE,
        ping_interval=None,
        proxy=None,
    ) as connection:
        yield Session(connection, url, cookie)


def _cookie(url: str) -> str:
    """The cookies that the server gives a browser which asks whether it is there."""
    with urllib.request.urlopen(f"{url}/_stcore/host-config", timeout=PATIENCE):
        pass
    with urllib.request.urlopen(f"{url}/_stcore/health", timeout=PATIENCE) as answer:
        given = answer.headers.get_all("Set-Cookie") or []
    return "; ".join(cookie.partition(";")[0] for cookie in given)


def _body(request: urllib.request.Request) -> bytes:
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            body: bytes = answer.read()
    except urllib.error.HTTPError as refused:
        raise LookupError(f"{refused.code}: {refused.read().decode()}") from refused
    return body
