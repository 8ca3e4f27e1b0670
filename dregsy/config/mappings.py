"""The keys of a mapping: which images, and what they are called at the targets."""

import platform as machine
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainValidator
from pydantic_core.core_schema import ValidationInfo

from dregsy.config.fields import Age, Section, is_bool, problem, read_bool, read_text, written
from dregsy.model.platform import Platform
from dregsy.model.ref import is_repository, is_tag
from dregsy.model.rewrite import Rewrite, Selection
from dregsy.model.tagnames import TagNames
from dregsy.model.tags import TagFilter, TagSet

ALL = "all"


def read_from(value: Any) -> Selection:
    """A repository, or an expression that selects several."""
    try:
        selection = Selection.parse(read_text(value))
    except ValueError as error:
        raise problem("from", str(error)) from None
    if selection.fixed is not None and not is_repository(selection.fixed):
        raise problem("from", "'from' is no legal repository name", "no tag, no host, small letters, no '/' at its end")
    return selection


def read_to(value: Any, info: ValidationInfo) -> Rewrite:
    """What repositories are called at the target."""
    selection = info.data.get("source") or Selection.parse("any")
    try:
        rewrite = Rewrite.parse(read_text(value), selection=selection)
    except ValueError as error:
        raise problem("to", str(error)) from None
    if "source" in info.data and selection.fixed is not None and not is_repository(rewrite.apply(selection.fixed)):
        raise problem("to", "'to' gives no legal repository name", "no tag, small letters, no '/' at its end")
    return rewrite


def read_tag(value: Any) -> str:
    """One item of a list of tags."""
    text = read_text(value)
    try:
        TagFilter.parse([text])
    except ValueError as error:
        raise problem("tags", str(error)) from None
    return text


def platforms_of(text: str) -> tuple[Platform, ...]:
    """Return the platforms of a mapping, none for everything; an OS alone is meant for this machine's processor."""
    text = text.strip().lower()
    if text in {"", ALL}:
        return ()
    return (Platform.parse(text if "/" in text else f"{text}/{machine.machine().lower()}"),)


def read_platform(value: Any) -> str:
    """A platform, or ``all``."""
    text = read_text(value)
    try:
        platforms_of(text)
    except ValueError:
        raise problem("platform", "is no platform", "write OS/ARCHITECTURE[/VARIANT] or 'all'") from None
    return text.strip().lower()


def read_some_platform(value: Any) -> Platform:
    """One of several platforms."""
    platforms = platforms_of(read_platform(value))
    if not platforms:
        raise problem("platform", "is no platform", "write OS/ARCHITECTURE[/VARIANT]")
    return platforms[0]


def read_tag_set(value: Any, info: ValidationInfo) -> TagSet:
    """Tags, ``semver:`` and ``regex:`` items: one or a list."""
    key = str(info.field_name).replace("_", "-")
    try:
        return TagSet.parse([read_text(item) for item in (value if isinstance(value, list) else [value])], key=key)
    except ValueError as error:
        raise problem("tags", str(error)) from None


def read_skip_existing(value: Any, info: ValidationInfo) -> TagSet:
    """``true`` for all tags, or those that never change."""
    if is_bool(value):
        return TagSet.parse(["regex: .*"] if read_bool(value) else [], key="skip-existing")
    return read_tag_set(value, info)


def read_to_tag(value: Any) -> str:
    """How tags are renamed."""
    text = read_text(value)
    try:
        TagNames.parse(text)
    except ValueError as error:
        raise problem("to-tag", str(error)) from None
    return text


def read_tag_part(value: Any) -> str:
    """What stands in front of tags, or behind them."""
    text = read_text(value)
    if not is_tag(f"x{text}x"):
        raise problem("tag", "cannot be a part of a tag", "tags have letters, digits, '_', '.' and '-'")
    return text


def check_platforms(platforms: list[Platform], info: ValidationInfo) -> list[Platform]:
    """One image or an index of some, but not both."""
    if not platforms:
        raise problem("platforms", "needs at least one platform", "leave it out for everything")
    if info.data.get("platform"):
        raise problem("platforms", "a mapping has either a 'platform' or 'platforms'", "remove one of them")
    return platforms


_TO = written("name, path or expression", type="string", pattern=r"^/?regex:[^,]*,|^(?!/?regex:)")
_TEXT: dict[str, Any] = {"type": ["string", "number", "boolean"]}
_TAG_LIST: dict[str, Any] = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}
_TAG = written("text", **_TEXT)
_TAGS = written("tags: one or a list", **_TAG_LIST)
_ONE_PLATFORM = written("platform", type="string", pattern=r"^\s*[^/\s]+(/[^/\s]+){0,2}\s*$")


class Mapping(Section):
    """Which images, and what they are called at the targets."""

    source: Annotated[Selection, PlainValidator(read_from), written("repository or expression", type="string")] = Field(
        alias="from"
    )
    """A repository, or ``regex:EXPRESSION`` for all repositories whose whole name matches."""
    to: Annotated[Rewrite, PlainValidator(read_to), _TO]
    """What repositories are called at the targets.

    For one repository its new name; for an expression a path in front of the names; or
    ``regex:EXPRESSION,REPLACEMENT``.

    Left out: the same name
    """
    tags: list[Annotated[str, PlainValidator(read_tag), _TAG]] = Field(default_factory=list)
    """Which tags, see [Mappings](#mappings).

    Left out: all tags
    """
    platform: Annotated[str, PlainValidator(read_platform), _ONE_PLATFORM] = ""
    """``OS/ARCHITECTURE[/VARIANT]`` takes one image out of a multi-platform one.

    An ``OS`` alone means this machine's architecture; ``all`` takes everything.

    Left out: everything
    """
    platforms: (
        Annotated[
            list[Annotated[Platform, PlainValidator(read_some_platform), _ONE_PLATFORM]],
            AfterValidator(check_platforms),
        ]
        | None
    ) = Field(None, json_schema_extra={"minItems": 1})
    """Platforms, instead of ``platform``: a new index of their images and attestations is made.

    It has a digest of its own.

    Left out: everything
    """
    exclude: Annotated[TagSet, PlainValidator(read_tag_set), _TAGS] = TagSet()
    """Tags that are never taken, whatever ``tags`` says: names, ``semver:`` and ``regex:`` items.

    Left out: nothing
    """
    newer_than: Age | None = Field(None, alias="newer-than")
    """Only images younger than this, such as ``30d``.

    Left out: any age
    """
    older_than: Age | None = Field(None, alias="older-than")
    """Only images older than this, such as ``7d``: a quarantine for what is fresh.

    Left out: any age
    """
    skip_existing: Annotated[
        TagSet, PlainValidator(read_skip_existing), written("`true`, or tags: one or a list", **_TAG_LIST)
    ] = Field(TagSet(), alias="skip-existing")
    """``true``, or tags as for ``exclude``, by their names at the source: these never change.

    Where the target has one it is left alone unseen.

    Left out: ``false``
    """
    to_tag: Annotated[
        str, PlainValidator(read_to_tag), written("expression", type="string", pattern="^(regex:.*,.*)?$")
    ] = Field("", alias="to-tag")
    """``regex:EXPRESSION,REPLACEMENT``: what tags are called at the target, as in ``to``.

    Left out: the same tag
    """
    tag_prefix: Annotated[str, PlainValidator(read_tag_part), _TAG] = Field("", alias="tag-prefix")
    """Put in front of the tags' names at the target.

    Left out: nothing
    """
    tag_suffix: Annotated[str, PlainValidator(read_tag_part), _TAG] = Field("", alias="tag-suffix")
    """Put behind the tags' names at the target.

    Left out: nothing
    """
