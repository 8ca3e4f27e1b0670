"""Warnings about what a config file says without meaning it: legal, but hardly what anybody wants."""

from collections import Counter
from collections.abc import Iterator

from dregsy.config import keys, locations, mappings, relays
from dregsy.config.anchors import upstream_reading
from dregsy.config.problems import Findings, Loc
from dregsy.model import pattern
from dregsy.model.endpoint import Given
from dregsy.model.ref import is_repository
from dregsy.model.tags import TagFilter

LEAST_REFRESH = 3600.0
"""The shortest time, in seconds, between two tokens from AWS."""
_UNLIKELY = 0.001
_COUNT = pattern.compile_search(r"keep:\s*(latest|newest)\s[^|]*")


def give(config: keys.Config, relay: str, findings: Findings) -> None:
    """Add the warnings about ``config``, which is to be run by ``relay``."""
    for at, message, hint in _general(config):
        findings.warning(at, message, hint)
    names = Counter(task.name for task in config.tasks)
    for position, task in enumerate(config.tasks):
        loc: Loc = ("tasks", position)
        if names[task.name] > 1:
            findings.warning((*loc, "name"), "another task has the same name", "'-run' cannot tell them apart")
        if not task.mappings:
            findings.warning((*loc, "mappings"), "has no mappings, so this task does nothing", "add some")
        for key, place in _places(task):
            for inner, message, hint in _place(place, relay, is_source=key == ("source",)):
                findings.warning((*loc, *key, inner), message, hint)
        if task.source is not None and task.source.repository is not None:
            findings.warning((*loc, "source", "repository"), "is not used: nothing is written to a source", "remove it")
        for way, message, hint in (*_anchored(task), *_vain(task)):
            findings.warning((*loc, *way), message, hint)
        if _lists_docker_hub(task):
            message = "Docker Hub lists the repositories of one namespace only"
            hint = "write 'registry: docker.io/NAMESPACE', or give 'auth' for those of a user"
            findings.warning((*loc, "source", "registry"), message, hint)


def _general(config: keys.Config) -> Iterator[tuple[Loc, str, str]]:
    if config.lister.max_items < 0:
        yield ("lister", "maxItems"), "is negative: listings have no limit", ""
    if config.lister.cache_duration < 0:
        yield ("lister", "cacheDuration"), "is negative: listings are not kept", ""
    for position, one in enumerate(config.notify):
        if one.is_open:
            yield ("notify", position), "is sent in the clear: everybody on the way can read it", "write https://"
    durations: dict[Loc, float] = {
        ("lister", "cacheDuration"): config.lister.cache_duration,
        ("timeout",): config.timeout,
        ("state", "ttl"): config.state.ttl if config.state else 0.0,
    }
    for loc, seconds in durations.items():
        if 0 < seconds < _UNLIKELY:
            yield loc, "is less than a millisecond", "a number without unit counts nanoseconds: write 30s or 30m"


def _anchored(task: keys.Task) -> Iterator[tuple[Loc, str, str]]:
    """Point at expressions that select something else upstream."""
    for way, expression in _expressions(task):
        sign = "!" if way[-1] != "from" and expression.startswith("!") else ""
        text = expression.removeprefix(sign)
        if upstream := upstream_reading(text):
            upstream, meant = f"{sign}{upstream}", f"{sign}({text})"
            message = "has to match as a whole, but upstream dregsy anchors only its two ends"
            yield way, message, f"write '{meant}' if a whole match is meant, or '{upstream}' for what upstream selects"


def _vain(task: keys.Task) -> Iterator[tuple[Loc, str, str]]:
    """Point at what can never match, and at texts that look like something else."""
    for number, mapping in enumerate(task.mappings):
        for way, message, hint in _vain_in(mapping):
            yield ("mappings", number, *way), message, hint


def _vain_in(mapping: mappings.Mapping) -> Iterator[tuple[Loc, str, str]]:
    selects = mapping.source.fixed is None
    if selects and mapping.source.text.startswith("regex:!"):
        yield ("from",), "'!' inverts nothing here: it belongs to the names", "name what is to be taken"
    prefix = mapping.to.text.removeprefix("/")
    if selects and mapping.to.text and not prefix.startswith("regex:") and not is_repository(prefix):
        yield ("to",), "gives no legal repository name", "no tag, small letters, no '/' at its end"
    for position, item in enumerate(mapping.tags):
        if _COUNT.fullmatch(item.strip()) and not TagFilter.parse([item]).counts:
            message = "is an expression, and no tag has a blank"
            yield ("tags", position), message, "write 'keep: latest 5' or 'keep: newest 5', with a number"
    if {text.lower() for text in mapping.skip_existing.items} & {"true", "false"}:
        yield ("skip-existing",), "means a tag of that name", "write true or false without quotes, and not as a list"
    if mapping.newer_than is not None and mapping.older_than is not None and mapping.newer_than <= mapping.older_than:
        yield ("newer-than",), "leaves nothing of what is old enough for 'older-than'", "make it the longer of the two"


def _expressions(task: keys.Task) -> Iterator[tuple[Loc, str]]:
    """Yield the expressions that files written for upstream may have."""
    for number, mapping in enumerate(task.mappings):
        if mapping.source.fixed is None:
            yield ("mappings", number, "from"), mapping.source.text.removeprefix("regex:")
        for position, item in enumerate(mapping.tags):
            kind, colon, expression = item.strip().partition(":")
            if colon and kind in {"regex", "keep"}:
                yield ("mappings", number, "tags", position), expression.strip()


def _places(task: keys.Task) -> Iterator[tuple[Loc, locations.Location]]:
    if task.source is not None:
        yield ("source",), task.source
    if task.target is not None:
        yield ("target",), task.target
    for position, target in enumerate(task.targets or ()):
        yield ("targets", position), target


def _place(place: locations.Location, relay: str, *, is_source: bool) -> Iterator[tuple[str, str, str]]:
    if place.auth_refresh is not None and place.auth_refresh < LEAST_REFRESH:
        yield "auth-refresh", "is raised to 1h, the least there is", "write 1h or more; tokens last 12h"
    if place.auth_refresh is not None and place.auth is not None:
        yield "auth", "is not used: 'auth-refresh' asks for logins from AWS", "remove one of them"
    if place.rate_limit is not None and not is_source:
        yield "rate-limit", "is not used: what is written is no pull", "write it at the source"
    if place.skip_tls_verify and relay == relays.DOCKER:
        hint = "tell the daemon, with 'insecure-registries'"
        yield "skip-tls-verify", "does not reach the docker daemon, which pulls and pushes", hint


def _lists_docker_hub(task: keys.Task) -> bool:
    """Whether repositories of Docker Hub are selected that belong to nobody in particular."""
    source = task.source
    if source is None or not source.address.is_docker_hub or source.address.prefix or isinstance(source.auth, Given):
        return False
    searches = source.lister is not None and source.lister.kind == "index"
    return not searches and any(mapping.source.fixed is None for mapping in task.mappings)
