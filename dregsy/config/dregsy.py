"""The dregsy dialect: from the data of a file to the Plan that it asks for."""

from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import Field, ValidationError, create_model

from dregsy.config import advice, keys, locations, mappings, relays
from dregsy.config.document import Document
from dregsy.config.fields import LOCATION
from dregsy.config.problems import Findings, Loc, explained, value_at
from dregsy.config.source import Items, Scalar, Table, shown
from dregsy.errors import ConfigError
from dregsy.model.ages import Ages
from dregsy.model.aws import Aws, AwsIdentity, NewRepository
from dregsy.model.endpoint import Ambient, Credentials, EcrToken, Endpoint, RateLimit
from dregsy.model.plan import Cron, Every, Listing, Once, Plan, RelayChoice, Rule, Schedule, State, Task
from dregsy.model.tagnames import TagNames
from dregsy.model.tags import TagFilter
from dregsy.relay import Feature

VERBATIM = frozenset({"from", "to", "tags", "exclude", "skip-existing", "to-tag"})
"""Keys below which nothing is replaced: ``${1}`` belongs to the expression."""

NOT_VERBATIM = frozenset({"notify"})
"""Top-level keys below which they mean something else: whom a mail is from."""

OWN_KEYS = "x-"
"""What users' own keys at the top level start with; they hold anchors, and nobody looks at them."""

_Kind = TypeVar("_Kind", Items, Scalar)
_DEFAULT_LIMIT = 100
_DEFAULT_CACHE = 3600.0
_TOKEN_LIFE = 12 * 3600.0
"""How long tokens of AWS are good, in seconds."""


def plan(document: Document, findings: Findings, *, strict: bool = False) -> Plan:
    """Check a document and return what it asks for; adds all that is to be said about it to ``findings``.

    Raises ConfigError when there is an error among the findings. Unknown keys are errors when ``strict``.
    """
    data = document.data if document.data is not None else Table(1)
    if not isinstance(data, Table):
        findings.error((), "is a list or a single value", "a config has keys, such as 'tasks:'")
        raise ConfigError(findings.sorted())
    own = {(key,) for key in data if key.startswith(OWN_KEYS)}
    known = _with(*relays.section_names(), *(key for (key,) in own))
    ignored = own | findings.unknown_keys(known, data, strict=strict)
    for loc, why in document.unresolved.items():
        if not any(loc[:length] in ignored for length in range(1, len(loc) + 1)):
            findings.error(loc, why.message, why.hint)
    config = _validated(data, document, findings)
    relay = relays.choose(data, findings, strict=strict) if ("relay",) not in document.unresolved else None
    if relay is not None:
        _check_features(data, relay, findings)
    if config is not None:
        advice.give(config, relay.name if relay else "", findings)
    if config is None or relay is None or findings.has_errors:
        raise ConfigError(findings.sorted())
    return _Builder(config, relay, findings).plan()


def _with(*names: str) -> type[keys.Config]:
    """Return the model of the file with more keys, so that these are known ones; their values are not looked at."""
    fields: dict[str, Any] = {f"key_{number}": (Any, Field(None, alias=name)) for number, name in enumerate(names)}
    return create_model("Config", __base__=keys.Config, **fields)


def _validated(data: Table, document: Document, findings: Findings) -> keys.Config | None:
    try:
        return keys.Config.model_validate(data)
    except ValidationError as error:
        for loc, kind, message, hint in explained(error, data):
            if loc not in document.unresolved:
                at, text = _in_task(loc, kind, message, data)
                findings.error(at, text, hint)
    return None


def _in_task(loc: Loc, kind: str, message: str, data: Table) -> tuple[Loc, str]:
    """Say of which task and location a problem tells, where the problem alone would not."""
    if kind not in {LOCATION, keys.LISTER}:
        return loc, message
    name = value_at(data, (*loc[:2], "name"))
    task = f"task '{shown(name.written)}'" if isinstance(name, Scalar) else "a task without name"
    if kind == keys.LISTER:
        return (*loc[:2], "source", "lister"), f"cannot create repo list for {task}: {message}"
    side = "source" if loc[2] == "source" else "target"
    return loc, f"{side} registry in {task} invalid: {message}"


def _check_features(data: Table, relay: relays.Chosen, findings: Findings) -> None:
    """Say which mappings the relay cannot serve; looks at the data, to tell it along with all other problems."""
    for loc, _ in _given(data, "platforms", Items):
        if not relay.can(Feature.SOME_PLATFORMS):
            findings.error(loc, f"relay '{relay.name}' does not support mappings with 'platforms'", "use relay native")
    for loc, platform in _given(data, "platform", Scalar):
        text = platform.strip().lower()
        feature = Feature.ALL_PLATFORMS if text == mappings.ALL else Feature.ONE_PLATFORM
        if text and not relay.can(feature):
            what = f"'platform: {mappings.ALL}'" if text == mappings.ALL else "a 'platform'"
            hint = "use relay native or skopeo" if relay.name == relays.DOCKER else "use another relay"
            findings.error(loc, f"relay '{relay.name}' does not support mappings with {what}", hint)


def _given(data: Table, key: str, kind: type[_Kind]) -> Iterator[tuple[Loc, _Kind]]:
    """Find the mappings' values of a key, those of the right kind."""
    tasks = data.get("tasks")
    for i, _ in enumerate(tasks if isinstance(tasks, Items) else ()):
        mappings = value_at(data, ("tasks", i, "mappings"))
        for j, _ in enumerate(mappings if isinstance(mappings, Items) else ()):
            loc = ("tasks", i, "mappings", j, key)
            if isinstance(value := value_at(data, loc), kind):
                yield loc, value


def _parallel(relay_name: str) -> int:
    """How many copies run at once where the file does not say; other relays need processes or a daemon for each."""
    return 16 if relay_name == relays.NATIVE else 4


class _Builder:
    """Makes the Plan of a config that has no errors."""

    def __init__(self, config: keys.Config, relay: relays.Chosen, findings: Findings) -> None:
        self._config = config
        self._relay = relay
        self._findings = findings

    def plan(self) -> Plan:
        config = self._config
        return Plan(
            tasks=tuple(self._task(position, task) for position, task in enumerate(config.tasks)),
            relay=RelayChoice(self._relay.name, self._relay.settings),
            parallel=config.parallel or _parallel(self._relay.name),
            retries=config.retries,
            timeout=config.timeout,
            state=State(config.state.path, config.state.ttl) if config.state and config.state.path else None,
            watch=config.watch,
            listen=config.listen.settings() if config.listen else None,
            timeouts=config.timeouts.timeouts(),
        )

    def _task(self, position: int, task: keys.Task) -> Task:
        loc: Loc = ("tasks", position)
        places = task.targets or [one for one in (task.target,) if one is not None]
        assert task.source is not None
        return Task(
            name=task.name,
            schedule=_schedule(task),
            source=self._endpoint(task.source),
            targets=tuple(self._endpoint(one) for one in places),
            rules=tuple(self._rule((*loc, "mappings", i), mapping) for i, mapping in enumerate(task.mappings)),
            listing=self._listing(task.source.lister),
            verbose=task.verbose,
            where=self._findings.where(loc),
        )

    def _rule(self, loc: Loc, mapping: mappings.Mapping) -> Rule:
        return Rule(
            source=mapping.source,
            rewrite=mapping.to,
            tags=TagFilter.parse(mapping.tags),
            platforms=mappings.platforms_of(mapping.platform),
            where=self._findings.where(loc),
            subset=tuple(mapping.platforms or ()),
            exclude=mapping.exclude,
            ages=Ages(mapping.newer_than, mapping.older_than),
            immutable=mapping.skip_existing,
            names=TagNames.parse(mapping.to_tag, mapping.tag_prefix, mapping.tag_suffix),
        )

    def _endpoint(self, location: locations.Location) -> Endpoint:
        limit = location.rate_limit
        return Endpoint(
            host=location.address.host,
            prefix=location.address.prefix,
            credentials=_credentials(location),
            verify=not location.skip_tls_verify,
            private=location.private_addresses,
            certs=self._relay.certs,
            aws=_aws(location),
            rate_limit=RateLimit(limit.least, limit.retry) if limit else RateLimit(),
        )

    def _listing(self, lister: locations.Lister | None) -> Listing:
        limits = self._config.lister
        count, cache = limits.max_items or _DEFAULT_LIMIT, limits.cache_duration or _DEFAULT_CACHE
        return Listing(
            kind=lister.kind if lister else "catalog",
            search=lister.search if lister else "",
            limit=count if count > 0 else None,
            cache_seconds=max(cache, 0.0),
        )


def _schedule(task: keys.Task) -> Schedule:
    if task.schedule is not None:
        return Cron(task.schedule)
    return Every(task.interval) if task.interval else Once()


def _credentials(location: locations.Location) -> Credentials:
    if location.auth_refresh is not None:
        return EcrToken(max(location.auth_refresh, advice.LEAST_REFRESH))
    if location.auth is None and (location.aws_profile or location.role_arn):
        return EcrToken(_TOKEN_LIFE)
    return location.auth or Ambient()


def _aws(location: locations.Location) -> Aws:
    new = location.repository.settings() if location.repository else NewRepository()
    return Aws(AwsIdentity(location.aws_profile, location.role_arn), new)
