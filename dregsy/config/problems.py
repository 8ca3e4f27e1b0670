"""What is wrong with a config file, told by line and field: pydantic's errors in words for users.

The words are chosen by an error's type, never by its text, and never repeat a value: it may be a secret.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import AliasChoices, AliasPath, BaseModel, ValidationError
from pydantic_core import ErrorDetails

from dregsy.config.source import Data, Items, Scalar, Table, shown
from dregsy.errors import Problem, printable

Loc = tuple[str | int, ...]
"""The way from a file's root to a value: keys, and positions in lists."""

NEEDS_KEYS = "needs keys and values below it"
_WORDS = {
    "missing": "is missing",
    "list_type": "needs a list",
    "model_type": NEEDS_KEYS,
    "model_attributes_type": NEEDS_KEYS,
    "dict_type": NEEDS_KEYS,
    "string_type": "needs a text",
    "path_type": "needs the path of a file or folder",
    "bool_type": "needs true or false",
    "bool_parsing": "needs true or false",
    "int_type": "needs a whole number",
    "int_parsing": "needs a whole number",
    "int_from_float": "needs a whole number",
    "float_type": "needs a number",
    "float_parsing": "needs a number",
    "extra_forbidden": "unknown key",
}
_MOST_GUESSES = 100
"""For how many unknown keys the nearest known one is looked up, which takes its time."""
_LEAST_SECRET = 4
"""Texts shorter than this are found in any sentence by chance."""


@dataclass(slots=True)
class Findings:
    """Collects the problems of one file, whose data tells their lines."""

    file: str
    data: Data
    found: list[Problem] = field(default_factory=list)

    def error(self, loc: Loc, message: str, hint: str = "") -> None:
        """Note what stops a run."""
        self._add(loc, message, hint, warning=False)

    def warning(self, loc: Loc, message: str, hint: str = "") -> None:
        """Note what a user should know, but does not stop a run."""
        self._add(loc, message, hint, warning=True)

    def unknown_keys(self, model: type[BaseModel], data: Data, *, strict: bool, at: Loc = ()) -> set[Loc]:
        """Note the keys below ``at`` that ``model`` does not know, as errors when ``strict``; return where they are."""
        unknown = dict(_unknown_keys(model, data, at))
        for number, (loc, known) in enumerate(unknown.items()):
            self._unknown_key(loc, known if number < _MOST_GUESSES else (), strict=strict)
        return set(unknown)

    def _unknown_key(self, loc: Loc, known: Iterable[str], *, strict: bool) -> None:
        near = nearest(str(loc[-1]), known)
        message = f"unknown key {shown(str(loc[-1]))!r}"
        hint = f"did you mean {near!r}?" if near else "it has no effect"
        line, field_name = line_of(self.data, loc), name_of(loc[:-1])
        self.found.append(Problem(self.file, line, field_name, message, hint, warning=not strict))

    def sorted(self) -> tuple[Problem, ...]:
        """All of them in the order of the file; what aliases repeat is told once."""
        once: dict[tuple[int, str, str], Problem] = {}
        for one in self.found:
            once.setdefault((one.line, one.field.rpartition(".")[2], one.message), one)
        return tuple(sorted(once.values(), key=lambda one: one.line))

    @property
    def has_errors(self) -> bool:
        """Whether there is more than warnings."""
        return not all(one.warning for one in self.found)

    def where(self, loc: Loc) -> str:
        """``file:line`` of a value; a name that is no text, or would steer a terminal, is written with escapes."""
        return f"{printable(self.file)}:{line_of(self.data, loc)}"

    def _add(self, loc: Loc, message: str, hint: str, *, warning: bool) -> None:
        line = line_of(self.data, loc)
        self.found.append(Problem(self.file, line, name_of(loc), shown(message, 300), hint, warning))


def line_of(data: Data, loc: Loc) -> int:
    """Return the line of a value, or of what is nearest above it; 0 for an empty file."""
    line = data.line if isinstance(data, Table | Items) else int(data is not None)
    for step in loc:
        if isinstance(data, Table) and step in data:
            line, data = data.lines[str(step)], data[str(step)]
        elif isinstance(data, Items) and isinstance(step, int) and step < len(data):
            line, data = data.lines[step], data[step]
        else:
            break
    return line


def value_at(data: Data, loc: Loc) -> Data:
    """Return the value at ``loc``, None where there is none."""
    for step in loc:
        if isinstance(data, Table):
            data = data.get(str(step))
        elif isinstance(data, Items) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            return None
    return data


def name_of(loc: Loc) -> str:
    """Return how users write it: ``tasks[0].source.registry``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{shown(step)}" for step in loc).removeprefix(".")


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that was probably meant, or an empty text."""
    by_fold = {one.casefold(): one for one in known}
    near = difflib.get_close_matches(word[:60].casefold(), by_fold, n=1)
    return by_fold[near[0]] if near else ""


def _unknown_keys(model: type[BaseModel], data: Data, loc: Loc) -> Iterator[tuple[Loc, Iterable[str]]]:
    """Find the keys that ``model`` and the models in it do not know; yields where, and the keys known there."""
    if isinstance(data, Items):
        for position, item in enumerate(data):
            yield from _unknown_keys(model, item, (*loc, position))
    elif isinstance(data, Table) and model.model_config.get("extra") != "allow":
        fields = _fields(model)
        for key, value in data.items():
            if key not in fields:
                yield (*loc, key), fields
            elif (inner := fields[key]) is not None:
                yield from _unknown_keys(inner, value, (*loc, key))


def _fields(model: type[BaseModel]) -> Mapping[str, type[BaseModel] | None]:
    """Return a model's keys, each with the model that its value or its list's items have."""
    fields: dict[str, type[BaseModel] | None] = {}
    by_name = model.model_config.get("populate_by_name") or model.model_config.get("validate_by_name")
    for name, info in model.model_fields.items():
        alias = info.validation_alias
        names = alias.choices if isinstance(alias, AliasChoices) else [alias or name]
        for one in [*names, name] if by_name else names:
            fields[str(one.path[0] if isinstance(one, AliasPath) else one)] = _model_in(info.annotation)
    return fields


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _model_in(part)) is not None), None)


def explained(error: ValidationError, data: Data) -> Iterator[tuple[Loc, str, str, str]]:
    """Yield loc, type, message and hint of every error; ``data`` is what was validated."""
    for details in error.errors(include_url=False, include_input=False):
        loc, context = tuple(details["loc"]), details.get("ctx") or {}
        if "hint" in context:  # made by fields.problem(), for users to read
            yield loc, details["type"], context["message"], context["hint"]
        else:
            yield loc, details["type"], _message(details, value_at(data, loc)), ""


def _message(details: ErrorDetails, value: Data) -> str:
    if details["type"] in _WORDS:
        return _WORDS[details["type"]]
    message = details["msg"].removeprefix("Value error, ").removeprefix("Input ")
    leaks = any(len(text) >= _LEAST_SECRET and text in message for text in _scalars(value))
    return "has a value that cannot be used" if leaks else message


def _scalars(value: Data) -> Iterator[str]:
    if isinstance(value, Scalar):
        yield value
    elif isinstance(value, Items | Table):
        for one in value.values() if isinstance(value, Table) else value:
            yield from _scalars(one)
