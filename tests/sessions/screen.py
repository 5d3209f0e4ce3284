"""What one session's page shows, built from the messages of the server as the browser builds it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from typing import Any

from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.Delta_pb2 import Delta
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

Path = tuple[int, ...]

KEPT_RUNS = 2
"""Runs for which the browser keeps a message that the server may send by its hash alone
(`maxMessageAge` in Streamlit's ForwardMessageCache)."""

WORDS = ("label", "body", "title", "text", "message")
"""The fields that hold what a person reads of an element."""

ENDED = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_WITH_COMPILE_ERROR)


@dataclass(frozen=True, slots=True)
class Drawn:
    """An element or a block on the page: its kind by Streamlit's name, such as `button_group`, its
    message, the fragment that drew it, the script that drew it (the page's or the app's), and the
    number of the run."""

    kind: str
    proto: Any
    fragment: str
    script: str
    run: int

    @property
    def id(self) -> str:
        """The widget's id; empty where it is none."""
        return str(getattr(self.proto, "id", ""))

    @property
    def key(self) -> str:
        """The key that the page gave the widget; empty where it has none."""
        parts = self.id.split("-", 2)
        return parts[2] if self.id.startswith("$$ID-") and parts[2] != "None" else ""

    @property
    def label(self) -> str:
        """What a person reads on the widget."""
        return str(getattr(self.proto, "label", ""))

    @property
    def words(self) -> str:
        """All that a person reads of it in words, without what keeps them from being Markdown."""
        found = (getattr(self.proto, name, "") for name in WORDS)
        said = " ".join(each for each in found if isinstance(each, str) and each)
        return unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", said))


@dataclass
class Screen:
    """The state of one browser tab. `errors` are the sentences of all errors seen so far."""

    drawn: dict[Path, Drawn] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)
    page: str = ""
    script: str = ""
    query: str = ""
    session: str = ""
    reruns: dict[str, float] = field(default_factory=dict)
    """The fragments that ask to be run again, and after how many seconds."""

    urls: dict[str, Any] = field(default_factory=dict)
    """The answers to requests for the addresses of uploads, by the request's id."""

    changed_by_server: set[str] = field(default_factory=set)
    """The widgets whose value the last run set."""

    errors: list[str] = field(default_factory=list)
    run: int = 0
    _cache: dict[str, tuple[ForwardMsg, int]] = field(default_factory=dict)

    @property
    def cached(self) -> tuple[str, ...]:
        """The hashes of the messages that the server need not send again."""
        return tuple(self._cache)

    def take(self, message: ForwardMsg) -> bool:
        """Take a message in; whether it ended the run that was asked for."""
        kind = message.WhichOneof("type")
        if kind == "ref_hash":
            message = self._remembered(message)
            kind = message.WhichOneof("type")
        elif message.metadata.cacheable and message.hash:
            self._cache[message.hash] = message, self.run
        match kind:
            case "new_session":
                self._begin(message)
            case "delta":
                self._draw(message)
            case "navigation":
                self.pages = {
                    page.page_name: page.page_script_hash for page in message.navigation.app_pages
                }
                self.page = message.navigation.page_script_hash
            case "page_info_changed":
                self.query = message.page_info_changed.query_string
            case "page_not_found":
                self.errors.append(f"Page not found: {message.page_not_found.page_name}")
            case "auto_rerun":
                self.reruns[message.auto_rerun.fragment_id] = message.auto_rerun.interval
            case "stop_auto_rerun":
                for fragment in message.stop_auto_rerun.fragment_ids:
                    self.reruns.pop(fragment, None)
            case "file_urls_response":
                self.urls[message.file_urls_response.response_id] = message.file_urls_response
            case "session_event":
                failed = message.session_event.script_compilation_exception
                if failed.message:
                    self.errors.append(failed.message)
            case "script_finished":
                return self._end(message.script_finished)
        return False

    def _remembered(self, reference: ForwardMsg) -> ForwardMsg:
        """The whole message behind a hash, at the place where it is wanted now."""
        kept, _ = self._cache[reference.ref_hash]
        self._cache[reference.ref_hash] = kept, self.run
        message = ForwardMsg()
        message.CopyFrom(kept)
        message.metadata.CopyFrom(reference.metadata)
        return message

    def _begin(self, message: ForwardMsg) -> None:
        self.run += 1
        self.changed_by_server.clear()
        new = message.new_session
        self.script = new.main_script_hash
        self.session = new.initialize.session_id or self.session
        if not message.metadata.run.fragment_ids:
            self.page = new.page_script_hash
            self.reruns.clear()

    def _draw(self, message: ForwardMsg) -> None:
        delta: Delta = message.delta
        path = tuple(message.metadata.delta_path)
        kind, proto = _content(delta)
        if not kind:
            self.drawn.pop(path, None)
            return
        new = Drawn(kind, proto, delta.fragment_id, message.metadata.active_script_hash, self.run)
        self.drawn[path] = new
        if getattr(proto, "set_value", False):
            self.changed_by_server.add(new.id)
        if kind == "exception":
            self.errors.append(f"{proto.type}: {proto.message}")
        elif kind == "alert" and proto.format == Alert.ERROR:
            self.errors.append(proto.body)

    def _end(self, status: int) -> bool:
        if status == ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            return False
        if status in ENDED:
            self.drawn = {path: each for path, each in self.drawn.items() if each.run == self.run}
            self._cache = {
                key: (message, run)
                for key, (message, run) in self._cache.items()
                if self.run - run < KEPT_RUNS
            }
        else:
            self._clear_fragments()
        return True

    def _clear_fragments(self) -> None:
        """Drop what a fragment drew before and did not draw now, with all that stood in it."""
        drawn_now = {each.fragment for each in self.drawn.values() if each.run == self.run}
        gone = {
            path
            for path, each in self.drawn.items()
            if each.run != self.run and each.fragment and each.fragment in drawn_now
        }
        self.drawn = {
            path: each
            for path, each in self.drawn.items()
            if not any(path[:length] in gone for length in range(1, len(path) + 1))
        }

    def all(self, kind: str | None = None) -> Iterator[Drawn]:
        """What is drawn, from top to bottom; of one kind where it is given."""
        for path in sorted(self.drawn):
            if kind in (None, self.drawn[path].kind):
                yield self.drawn[path]

    def widget(self, name: str) -> Drawn:
        """The first widget of that key or label; raises LookupError where there is none."""
        widgets = [each for each in self.all() if each.id]
        for each in widgets:
            if name in (each.key, each.label):
                return each
        there = ", ".join(sorted({each.key or each.label for each in widgets}))
        raise LookupError(f"The page has no {name!r}; it has {there}. Errors: {self.errors}")

    def has(self, name: str) -> bool:
        """Whether a widget of that key or label is there."""
        return any(each.id and name in (each.key, each.label) for each in self.all())

    def shows(self, words: str) -> bool:
        """Whether these words are on the page."""
        return any(words in each.words for each in self.all())


def _content(delta: Delta) -> tuple[str, Any]:
    """The kind and message of what a delta draws; an empty kind where it draws nothing."""
    if delta.WhichOneof("type") == "new_element":
        kind = delta.new_element.WhichOneof("type") or ""
        return ("", None) if kind == "empty" else (kind, getattr(delta.new_element, kind, None))
    if delta.WhichOneof("type") == "add_block":
        kind = delta.add_block.WhichOneof("type") or "container"
        return kind, getattr(delta.add_block, kind, delta.add_block)
    return "", None
