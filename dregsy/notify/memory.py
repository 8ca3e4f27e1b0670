"""What was told to whom, kept over restarts in a small file beside the journal; it is safe to delete."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from dregsy import atomic
from dregsy.errors import DregsyError
from dregsy.model.notify import Email, Subscription
from dregsy.notify.news import News, Told

_LARGEST = 2**24
_END_OF_TIME = 253_402_300_800
"""The first second of the year 10000, which has no date."""


class Memory:
    """What each subscription told of each task; without a ``file`` it lasts as long as this object.

    A file that makes no sense counts as none.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._told = _read(file) if file else {}
        self._owed: dict[str, News] = {}

    def owed(self, subscription: Subscription, task: str) -> News | None:
        """Return copies of a task that were to be told and could not; that is forgotten when dregsy ends."""
        return self._owed.get(_key(subscription, task))

    def owe(self, subscription: Subscription, task: str, news: News | None) -> None:
        """Note what is to be told yet; None for nothing."""
        self._owed.pop(_key(subscription, task), None)
        if news is not None:
            self._owed[_key(subscription, task)] = news

    def told(self, subscription: Subscription, task: str) -> Told:
        """Return what was told of a task."""
        return self._told.get(_key(subscription, task), Told())

    def keep(self, subscription: Subscription, task: str, told: Told) -> None:
        """Note what was told now; DregsyError when that cannot be written down, and it is noted all the same."""
        self._told[_key(subscription, task)] = told
        if self._file is None:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DregsyError(f"{self._file.parent} cannot be made: {error.strerror}") from None
        told_to = {key: asdict(one) for key, one in self._told.items()}
        atomic.write(self._file, json.dumps(told_to), private=True)


def file_for(folder: str, *identity: str) -> Path:
    """Return the file in a folder for runs of one ``identity``; others may have the same folder, each with its own."""
    return Path(folder) / f".dregsy-notified-{_hash(*identity)}.json"


def _key(subscription: Subscription, task: str) -> str:
    """Name a channel, its occasions and a task; what is secret in an address cannot be read out of it."""
    channel, on = subscription.channel, " ".join(sorted(subscription.on))
    if isinstance(channel, Email):
        return _hash(task, on, "email", channel.place, channel.sender, *channel.recipients)
    return _hash(task, on, type(channel).__name__, channel.url.reveal())


def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "backslashreplace")).hexdigest()[:24]


def _read(file: Path) -> dict[str, Told]:
    try:
        with file.open("rb") as stream:
            data: Any = json.loads(stream.read(_LARGEST))
    except (OSError, ValueError, RecursionError):
        return {}
    items = data.items() if isinstance(data, Mapping) else ()
    return {key: told for key, value in items if (told := _told(value)) is not None}


def _told(value: Any) -> Told | None:
    checks = {field.name: _is_text if field.type is str else _is_time for field in fields(Told)}
    if not isinstance(value, Mapping) or set(value) != set(checks):
        return None
    return Told(**value) if all(check(value[name]) for name, check in checks.items()) else None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_time(value: Any) -> bool:
    """Whether a date can be made of it: JSON as Python reads it has numbers that are none."""
    return isinstance(value, int | float) and 0 <= value < _END_OF_TIME
