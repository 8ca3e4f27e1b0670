"""The dregsy dialect's keys: what each is called, what it may be, and what it is when left out."""

from datetime import UTC, datetime
from typing import Annotated, Any

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator
from pydantic_core.core_schema import ValidationInfo

from dregsy.config.fields import (
    LOCATION,
    Bool,
    Duration,
    Int,
    Section,
    Text,
    at_least,
    not_null,
    problem,
    read_text,
    whole_number,
    written,
)
from dregsy.config.listen import Listening, read_listening
from dregsy.config.locations import Location
from dregsy.config.mappings import Mapping
from dregsy.config.notify import Notifies
from dregsy.config.timeouts import TimeoutsSection
from dregsy.model.ref import HUB_API_NAME

LISTER = "lister"
"""The type of errors which tell that a task cannot find out a registry's repositories."""

LEAST_INTERVAL = 30
MOST_INTERVAL = 10**9


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


_INTERVAL = written(
    "whole number", anyOf=[{"const": 0}, {"type": "number", "minimum": LEAST_INTERVAL, "maximum": MOST_INTERVAL}]
)
_SCHEDULE = written("cron expression", type="string", pattern=r"^\s*(\S+\s+){4,5}\S+\s*$")


class Task(Section):
    """Images to keep in step between a source and its targets."""

    name: Annotated[str, PlainValidator(read_name), written("text", type=["string", "number", "boolean"], minLength=1)]
    """What messages and ``-run`` call the task."""
    interval: Annotated[Int, AfterValidator(check_interval), _INTERVAL] = 0
    """Seconds between two starts, 30 or more.

    Left out: 0: run once, at the start
    """
    schedule: Annotated[str, PlainValidator(read_schedule), _SCHEDULE] | None = None
    """Cron expression in local time, instead of ``interval``.

    It has the fields minute, hour, day of month, month and day of week; a sixth field in front is seconds.

    Left out: ``interval`` counts
    """
    verbose: Bool = False
    """``true``: the log also has what is up to date, and what the skopeo relay's skopeo says."""
    source: Annotated[Location | None, AfterValidator(not_null("location is nil", LOCATION))]
    """Where images come from."""
    targets: Annotated[list[Place], AfterValidator(check_targets)] | None = Field(
        None, json_schema_extra={"minItems": 1}
    )
    """Where images go, instead of ``target``: each image is read once and written to all.

    skopeo, which copies to one place, reads it once for each.

    Left out: ``target`` counts
    """
    target: Annotated[Location | None, AfterValidator(check_target)]
    """Where images go.

    Left out: required, or ``targets``
    """
    mappings: Annotated[
        list[Annotated[Mapping, BeforeValidator(not_null("mapping is nil"))]], AfterValidator(check_mappings)
    ] = Field(default_factory=list)
    """Which images.

    Left out: the task does nothing
    """


class Limits(Section):
    """Bounds of all listings."""

    max_items: Int = Field(0, alias="maxItems")
    """The most repositories to take from a listing; negative: no limit.

    Left out: 100
    """
    cache_duration: Duration = Field(0.0, alias="cacheDuration")
    """How long a listing is kept; negative: not at all.

    Left out: 1h
    """


def check_ttl(seconds: float) -> float:
    """What is known has an age."""
    if seconds < 0:
        raise problem("ttl", "cannot be negative", "0 believes nothing; or such as 30m or 24h")
    return seconds


class State(Section):
    """The folder for temporary files and the journal, and how long the journal is believed."""

    path: Text
    """The folder; ``state: /var/lib/dregsy`` is the same without a ``ttl``.

    Left out: required
    """
    ttl: Annotated[Duration, AfterValidator(check_ttl)] = 3600.0
    """For how long it is believed that a target's tag is what was seen there; ``0``: not at all; 30 days at most."""


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


class Config(Section):
    """The whole file, but for the relays' sections."""

    relay: Text = ""
    """What moves the images: ``native`` (ours), ``skopeo``, ``docker``, or another relay that is installed.

    Left out: ``docker`` if there is a ``docker`` section or ``dockerhost``, else ``skopeo`` if there is a ``skopeo``
    section, else ``native``
    """
    watch: Bool = False
    """``true``: read the file again when it changes, see [When the file changes](#when-the-file-changes)."""
    listen: Annotated[Listening, BeforeValidator(read_listening)] | None = None
    """Serve the status page, metrics and health at this address, or ``address`` and ``token``, see
    [Status page, metrics and health](#status-page-metrics-and-health-).

    Left out: nothing is served
    """
    notify: Notifies = Field(default_factory=list)
    """Who is told of failures, recoveries and changes, see [Reports and notifications](#reports-and-notifications-).

    Left out: nobody
    """
    dockerhost: Text = ""
    """Deprecated: write it in the ``docker`` section.

    Left out: see there
    """
    api_version: Text = Field("", alias="api-version")
    """Deprecated: write it in the ``docker`` section.

    Left out: see there
    """
    parallel: Annotated[Int, AfterValidator(at_least(1, 256)), whole_number(1, 256)] | None = None
    """How many images are copied at once, 1 to 256; how much of that a registry gets to see adapts to it.

    Left out: 16; 4 with relays other than ``native``
    """
    retries: Annotated[Int, AfterValidator(at_least(0)), whole_number(0)] = 2
    """How many more rounds failed copies, listings and tags without a readable date get after all else, 0 or more."""
    timeout: Annotated[Duration, AfterValidator(check_timeout)] = 3600.0
    """The longest that one copy may take, or one list of tags or repositories."""
    timeouts: TimeoutsSection = TimeoutsSection.model_validate({})
    """How long what a registry sends, or takes, is waited for."""
    state: Annotated[State, BeforeValidator(read_state), AfterValidator(check_state)] | None = None
    """Folder for temporary files and the journal, or ``path`` and ``ttl``, see [The journal](#the-journal-).

    Left out: the system's temporary folder, and no journal
    """
    lister: Limits = Limits.model_validate({})
    """Bounds of all listings."""
    tasks: list[Annotated[Task, BeforeValidator(not_null("task is nil", "task"))]] = Field(default_factory=list)
    """What to do.

    Left out: no tasks
    """
