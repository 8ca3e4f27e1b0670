"""Writes docs/config/dregsy.schema.json, by which editors check a config file, from the models that check it here.

What a key means stands below its field, as a docstring; that costs no time when the program starts.
"""

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError, create_model
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from dregsy import relay
from dregsy.config.dregsy import OWN_KEYS, VERBATIM
from dregsy.config.fields import Section
from dregsy.config.keys import Config
from dregsy.config.relays import DOCKER, NATIVE, SKOPEO
from dregsy.config.source import Scalar, Table

ROOT = Path(__file__).resolve().parent.parent
_UNITS = ((3600, "h"), (60, "m"), (1, "s"))
FILE = ROOT / "docs/config/dregsy.schema.json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

_NULL: Schema = {"type": "null"}
_REPLACED: Schema = {"type": "string", "pattern": r"\$\{"}
"""A ``${…}``: what it becomes nobody knows before the run."""
_WORDS = "y|Y|yes|Yes|YES|on|On|ON|n|N|no|No|NO|off|Off|OFF"
"""What only YAML 1.1 takes for true and false; editors see texts."""
_DIGITS = r"^[-+]?(0b[01_]+|[0-9][0-9a-fA-FxXo]*_[0-9a-fA-F_]*)$"
"""Numbers that only YAML 1.1 knows; a number in quotes is none of them."""
_NO_TEXT = {"model_type", "model_attributes_type", "dict_type", "list_type"}
"""What is said of a text where only a section or a list may stand."""
_ONE = {"target": {"type": "object"}}
_MANY = {"targets": {"type": "array"}}
_PERIODS = {"schedule": {"type": "string"}, "interval": {"type": "number", "exclusiveMinimum": 0}}
_RULES: Mapping[str, tuple[Schema, ...]] = {
    "Task": (
        {"anyOf": [{"required": ["target"], "properties": _ONE}, {"required": ["targets"], "properties": _MANY}]},
        {"not": {"required": ["target", "targets"], "properties": _ONE | _MANY}},
        {"not": {"required": ["schedule", "interval"], "properties": _PERIODS}},
    ),
    "Mapping": (
        {
            "not": {
                "required": ["platform", "platforms"],
                "properties": {"platform": {"type": "string", "minLength": 1}, "platforms": {"type": "array"}},
            }
        },
    ),
}
"""What keys have to do with each other, which no model tells in a way that can be read off."""
_RELAYS = (NATIVE, SKOPEO, DOCKER)


def schema(*, markdown: bool = False) -> Schema:
    """Return the JSON Schema (draft 2020-12) of a config file; it takes what ``--strict`` takes, as far as it can know.

    With ``markdown`` each key has its docstring as ``x-markdown``, for the manual.
    """
    sections: dict[str, Any] = {}
    for name in _RELAYS:
        settings = relay.load(name).Settings
        sections[name] = (create_model(name.capitalize(), __base__=settings) | None, None)
    whole = create_model("Config", __base__=Config, **sections)
    found = whole.model_json_schema(schema_generator=_Generator)
    found["properties"]["relay"]["anyOf"] = [{"enum": [*_RELAYS]}, _REPLACED, _NULL]  # those that everybody has
    whole_file = {
        "$schema": DIALECT,
        "title": "A config file of dregsy",
        "description": "Which container images are kept in step between which registries.",
        "type": ["object", "null"],
        "properties": found["properties"],
        "patternProperties": {f"^{OWN_KEYS}": {}},
        "additionalProperties": False,
        "$defs": {name: found["$defs"][name] for name in sorted(found["$defs"])},
    }
    for section in [] if markdown else [whole_file, *whole_file["$defs"].values()]:
        for one in section["properties"].values():
            one.pop("x-markdown", None)
    return whole_file


def text() -> str:
    """Return the file's content."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


class _Generator(GenerateJsonSchema):
    """Pydantic's generator, and what only this house knows about its keys."""

    ignored_warning_kinds = {"non-serializable-default", "skipped-choice"}  # noqa: RUF012 - pydantic's own attribute

    def field_title_should_be_set(self, _: Any) -> bool:
        """Titles tell how a value is written; a key is no news."""
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> Schema:
        """Return the schema of a section."""
        found = super().model_schema(schema)
        model: type[BaseModel] = schema["cls"]
        texts = meanings(model)
        properties = {
            name: _property(model, name, one, texts.get(name, "")) for name, one in found["properties"].items()
        }
        rules = _RULES.get(model.__name__, ())
        ruled = {name for rule in rules for one in rule.get("anyOf", ()) for name in one["required"]}
        needed = [name for name in _required(model) if name not in ruled]
        about = {"description": _plain((model.__doc__ or "").partition("\n")[0])}
        made = {**about, "type": "object", "properties": properties, "additionalProperties": False}
        return made | ({"required": needed} if needed else {}) | ({"allOf": [*rules]} if rules else {})


def keys_of(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Yield the names of a model's fields, and what users call them."""
    for name, info in model.model_fields.items():
        yield name, str(info.validation_alias or info.alias or name)


@lru_cache
def meanings(model: type[BaseModel]) -> Mapping[str, str]:
    """Return what each key of a model means: the docstring below its field, or the field's description."""
    told: dict[str, str] = {}
    for one in reversed(model.__mro__):
        if issubclass(one, BaseModel) and one.__module__ not in {"pydantic.main", __name__}:
            told |= _docstrings(one)
    descriptions = {name: info.description for name, info in model.model_fields.items() if info.description}
    return {key: (told | descriptions).get(name, "") for name, key in keys_of(model)}


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    except (OSError, TypeError):  # made by create_model
        return {}
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    told = {}
    for field, below in pairwise(body):
        is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
            told[field.target.id] = inspect.cleandoc(str(below.value.value))  # type: ignore[attr-defined]  # see is_text
    return told


def _property(model: type[BaseModel], name: str, given: Schema, meaning: str) -> Schema:
    """Return what a key may be: what its model says, a ``${…}``, or nothing."""
    about = {"title": _plain(_title(given)), "description": _plain(meaning), "x-markdown": meaning.replace("``", "`")}
    known = {key: one for key, one in given.items() if key not in {"title", "default", "minItems"}}
    choices = known.get("anyOf", [known]) if "type" not in known else [known]
    is_ours = issubclass(model, Section)
    written = [form for one in choices if one != _NULL for form in _forms(one, name, is_ours=is_ours)]
    if ("$ref" in choices[0] or choices[0].get("type") == "array") and _takes_text(model, name):
        written.append({"type": "string"})
    if name not in _required(model):
        written.append(_NULL)
    more = {"minItems": given["minItems"]} if "minItems" in given else {}
    if (default := _default(given)) is not None:
        more["default"] = default
    told = {key: one for key, one in about.items() if one}
    return {**told, **(written[0] if len(written) == 1 else {"anyOf": written}), **more}


def _title(given: Schema) -> str:
    """Say in words how a value is written; empty for a section."""
    if not set(given) - {"default"} or given.get("anyOf") == [{}, _NULL]:
        return "text"  # a validator of which nothing is told: whatever the file has
    for one in (given, *given.get("anyOf", ())):
        if "items" in one and (item := _title(one["items"])):
            return f"list of {item}s"
        if "title" in one:
            return str(one["title"])
    kinds = {"boolean": "`true` or `false`", "integer": "whole number", "string": "text"}
    return next(
        (kinds[str(one["type"])] for one in (given, *given.get("anyOf", ())) if str(one.get("type")) in kinds), ""
    )


def _default(given: Schema) -> Any:
    """Return what counts where a key is left out, as a user would write it; None where that takes words."""
    default = given.get("default")
    if given.get("title") == "duration" and default:
        size, unit = next((size, unit) for size, unit in _UNITS if default % size == 0 or size == 1)
        return f"{default / size:g}{unit}"
    return default if isinstance(default, bool | int) else default if default and isinstance(default, str) else None


def _forms(given: Schema, name: str, *, is_ours: bool) -> Iterator[Schema]:
    """Yield the ways in which a value is written: as its model says, in words of YAML 1.1, as ``${…}``."""
    given = {key: value for key, value in given.items() if key not in {"title", "format"}}
    kind = given.get("type")
    if kind == "array":
        (*items,) = _forms(given["items"], name, is_ours=is_ours)
        yield {**given, "items": items[0] if len(items) == 1 else {"anyOf": items}}
        return
    if kind == "string" and not is_ours:  # a relay's texts are taken as they stand, 1.40 too
        given["type"] = ["string", "number"]
    yield given
    if kind == "boolean":
        yield {"type": "string", "pattern": f"^({_WORDS})$"}
    if kind == "number" or "const" in given:
        yield {"type": "string", "pattern": _DIGITS}
    is_limited = {"pattern", "enum", "const", "minLength"} & set(given) or kind in ["boolean", "integer", "number"]
    if is_limited and name not in VERBATIM:
        yield _REPLACED


@lru_cache
def _required(model: type[BaseModel]) -> list[str]:
    """Return the keys that a section is told to lack when it has none at all."""
    try:
        model.model_validate(Table(1))
    except ValidationError as error:
        return [key for _, key in keys_of(model) if any(one["loc"][:1] == (key,) for one in error.errors())]
    return []


@lru_cache
def _takes_text(model: type[BaseModel], name: str) -> bool:
    """Whether a text may stand where a section or a list is meant, as in ``state: /var/lib/dregsy``."""
    try:
        model.model_validate({name: Scalar.of("x")})
    except ValidationError as error:
        return not any(one["loc"][:1] == (name,) and one["type"] in _NO_TEXT for one in error.errors())
    return True


def _plain(markdown: str) -> str:
    """Return a docstring's text for an editor: links become what they say."""
    return re.sub(r"\[([^\[\]]+)\]\([^)]*\)", r"\1", markdown.replace("``", "`"))


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
