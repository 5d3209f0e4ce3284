"""Reads YAML as lists, mappings and texts, within bounds and without building any object."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from core.predict.labels.label_texts import without_repeats
from core.predict.labels.name_lists import NotNamesError

MAX_CHARACTERS = 1 << 20
"""The longest text that is read; 21,843 names with their numbers take 0.7 MB."""

MAX_EVENTS = 200_000
"""Values, beginnings and ends that are read; the same names take 44,000."""

MAX_DEPTH = 16

LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
"""libyaml's parser where PyYAML has it, some ten times as fast. The base loader, safer than the
safe one, leaves every scalar a text: the classes `yes` and `no` stay names, not true and false."""


def yaml_value(text: str) -> object:
    """The value of the text's first document. Raises NotNamesError.

    It is built from the parser's events: an alias, by which a short text stands for a vast one, is
    refused before anything is built, and so are depth and number beyond the bounds.
    """
    if len(text) > MAX_CHARACTERS:
        raise NotNamesError("is too large for YAML with a list of names")
    try:
        events = _bounded(text)
        return next((_value(event, events) for event in events if _begins(event)), None)
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, NotNamesError):
            raise
        raise NotNamesError("is not valid YAML") from error


def _begins(event: yaml.Event) -> bool:
    return isinstance(event, yaml.ScalarEvent | yaml.SequenceStartEvent | yaml.MappingStartEvent)


def _bounded(text: str) -> Iterator[yaml.Event]:
    depth = 0
    for number, event in enumerate(yaml.parse(text, LOADER)):
        depth += isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent)
        depth -= isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise NotNamesError("uses YAML's aliases, which Loupe does not follow")
        if ":python/" in str(getattr(event, "tag", "")):
            raise NotNamesError("asks for objects of Python, which Loupe does not make")
        if depth > MAX_DEPTH or number > MAX_EVENTS:
            raise NotNamesError("has more parts than a list of names needs")
        yield event


def _value(event: yaml.Event, events: Iterator[yaml.Event]) -> object:
    if isinstance(event, yaml.ScalarEvent):
        return str(event.value)
    items = list(_items(events))
    if str(event.tag).endswith(":set"):
        return frozenset()
    if isinstance(event, yaml.SequenceStartEvent):
        return items
    pairs = zip(items[::2], items[1::2], strict=True)
    return without_repeats([(str(key), value) for key, value in pairs])


def _items(events: Iterator[yaml.Event]) -> Iterator[object]:
    for event in events:
        if not _begins(event):
            return
        yield _value(event, events)
