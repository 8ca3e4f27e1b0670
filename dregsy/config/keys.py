"""The dregsy dialect's keys: what each is called, what it may be, and what it is when left out."""

import platform as machine
from datetime import UTC, datetime
from typing import Annotated, Any

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator
from pydantic_core.core_schema import ValidationInfo

from dregsy.config.fields import (
    LOCATION,
    Age,
    Bool,
    Duration,
    Int,
    Section,
    Text,
    at_least,
    is_bool,
    not_null,
    problem,
    read_bool,
    read_text,
)
from dregsy.config.locations import Location
from dregsy.config.notify import Notifies
from dregsy.model.listen import Listen
from dregsy.model.platform import Platform
from dregsy.model.ref import HUB_API_NAME, is_repository, is_tag
from dregsy.model.rewrite import Rewrite, Selection
from dregsy.model.tagnames import TagNames
from dregsy.model.tags import TagFilter, TagSet

LISTER = "lister"
"""The type of errors which tell that a task cannot find out a registry's repositories."""

ALL = "all"
LEAST_INTERVAL = 30
MOST_INTERVAL = 10**9
LISTEN_HINT = "write ':8080', or '0.0.0.0:8080' to be reached from other machines"


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


class Mapping(Section):
    """Which images, and what they are called at the targets."""

    source: Annotated[Selection, PlainValidator(read_from)] = Field(alias="from")
    to: Annotated[Rewrite, PlainValidator(read_to)]
    tags: list[Annotated[str, PlainValidator(read_tag)]] = Field(default_factory=list)
    platform: Annotated[str, PlainValidator(read_platform)] = ""
    platforms: (
        Annotated[list[Annotated[Platform, PlainValidator(read_some_platform)]], AfterValidator(check_platforms)] | None
    ) = None
    exclude: Annotated[TagSet, PlainValidator(read_tag_set)] = TagSet()
    newer_than: Age | None = Field(None, alias="newer-than")
    older_than: Age | None = Field(None, alias="older-than")
    skip_existing: Annotated[TagSet, PlainValidator(read_skip_existing)] = Field(TagSet(), alias="skip-existing")
    to_tag: Annotated[str, PlainValidator(read_to_tag)] = Field("", alias="to-tag")
    tag_prefix: Annotated[str, PlainValidator(read_tag_part)] = Field("", alias="tag-prefix")
    tag_suffix: Annotated[str, PlainValidator(read_tag_part)] = Field("", alias="tag-suffix")


def read_name(value: Any) -> str:
    """The name of a task."""
    text = read_text(value)
    if not text:
        raise problem("name", "a task requires a name", "write 'name:', so that messages and '-run' can tell it")
    return text


def check_interval(seconds: int) -> int:
    """Intervals are never short, which keeps registries from being flooded."""
    if seconds < 0:
        raise problem("interval", "task interval needs to be 0 or a positive integer")
    if 0 < seconds < LEAST_INTERVAL:
        raise problem("interval", f"minimum task interval is {LEAST_INTERVAL} seconds")
    if seconds > MOST_INTERVAL:
        raise problem("interval", f"is longer than {MOST_INTERVAL} seconds")
    return seconds


def read_schedule(value: Any, info: ValidationInfo) -> str:
    """A cron expression."""
    text = read_text(value)
    try:
        CronSim(text, datetime(2000, 1, 1, tzinfo=UTC))
    except (CronSimError, ValueError):
        hint = "write minute, hour, day of month, month and day of week, such as '30 4 * * 1-5'"
        raise problem("schedule", "is no cron expression", hint) from None
    if info.data.get("interval"):
        raise problem("schedule", "a task has either a 'schedule' or an 'interval'", "remove one of them")
    return text


def check_target(value: Location | None, info: ValidationInfo) -> Location | None:
    """A task has one way to say where images go."""
    if "targets" in info.data and value is None and info.data["targets"] is None:
        raise problem(LOCATION, "location is nil", "write 'target:' with a 'registry:' below it, or a list 'targets:'")
    if value is not None and info.data.get("targets") is not None:
        raise problem("target", "a task has either a 'target' or 'targets'", "move it into the list")
    return value


def check_mappings(mappings: list[Mapping], info: ValidationInfo) -> list[Mapping]:
    """Expressions need a way to list repositories."""
    source: Location | None = info.data.get("source")
    if source is None or all(mapping.source.fixed is not None for mapping in mappings):
        return mappings
    kind = source.lister.kind if source.lister else "catalog"
    if kind == "index" and source.lister and not source.lister.search:
        raise problem(LISTER, "index lister requires a search expression", "write 'search:' beside 'type:'")
    if kind == "catalog" and source.address.host == HUB_API_NAME:
        hint = "write 'lister: {type: dockerhub}'"
        raise problem(LISTER, "DockerHub only supports list types 'dockerhub' and 'index'", hint)
    return mappings


def check_targets(targets: list[Location]) -> list[Location]:
    """An empty list is a mistake."""
    if not targets:
        raise problem("targets", "needs at least one location", "each with a 'registry:'")
    return targets


Place = Annotated[Location, BeforeValidator(not_null("location is nil", LOCATION))]


class Task(Section):
    """Images to keep in step between a source and its targets."""

    name: Annotated[str, PlainValidator(read_name)]
    interval: Annotated[Int, AfterValidator(check_interval)] = 0
    schedule: Annotated[str, PlainValidator(read_schedule)] | None = None
    verbose: Bool = False
    source: Annotated[Location | None, AfterValidator(not_null("location is nil", LOCATION))]
    targets: Annotated[list[Place], AfterValidator(check_targets)] | None = None
    target: Annotated[Location | None, AfterValidator(check_target)]
    mappings: Annotated[
        list[Annotated[Mapping, BeforeValidator(not_null("mapping is nil"))]], AfterValidator(check_mappings)
    ] = Field(default_factory=list)


class Limits(Section):
    """Bounds of all listings."""

    max_items: Int = Field(0, alias="maxItems")
    cache_duration: Duration = Field(0.0, alias="cacheDuration")


def check_ttl(seconds: float) -> float:
    """What is known has an age."""
    if seconds < 0:
        raise problem("ttl", "cannot be negative", "0 believes nothing; or such as 30m or 24h")
    return seconds


class State(Section):
    """The folder for temporary files and the journal, and how long the journal is believed."""

    path: Text
    ttl: Annotated[Duration, AfterValidator(check_ttl)] = 3600.0


def read_state(value: Any) -> Any:
    """A path alone is a state with nothing else said."""
    return {"path": value} if isinstance(value, str) else value


def check_state(state: State) -> State:
    """How long to believe what is kept nowhere makes no sense."""
    if not state.path and "ttl" in state.model_fields_set:
        raise problem("state", "needs a 'path'", "a folder that dregsy may write to")
    return state


def check_timeout(seconds: float) -> float:
    """A copy needs some time."""
    if seconds <= 0:
        raise problem("timeout", "needs to be longer than nothing", "such as 30m or 2h")
    return seconds


def read_listen(value: Any) -> Listen:
    """An address of this machine."""
    try:
        return Listen.parse(read_text(value))
    except ValueError as error:
        raise problem("listen", str(error), LISTEN_HINT) from None


class Config(Section):
    """The whole file, but for the relays' sections."""

    relay: Text = ""
    watch: Bool = False
    listen: Annotated[Listen, PlainValidator(read_listen)] | None = None
    notify: Notifies = Field(default_factory=list)
    dockerhost: Text = ""
    api_version: Text = Field("", alias="api-version")
    parallel: Annotated[Int, AfterValidator(at_least(1, 256))] | None = None
    retries: Annotated[Int, AfterValidator(at_least(0))] = 2
    timeout: Annotated[Duration, AfterValidator(check_timeout)] = 3600.0
    state: Annotated[State, BeforeValidator(read_state), AfterValidator(check_state)] | None = None
    lister: Limits = Limits.model_validate({})
    tasks: list[Annotated[Task, BeforeValidator(not_null("task is nil", "task"))]] = Field(default_factory=list)
