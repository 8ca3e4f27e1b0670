"""Which relay a config file asks for, and the relays' own sections, which their ``Settings`` models check."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from dregsy import relay
from dregsy.config import certs
from dregsy.config.problems import NEEDS_KEYS, Findings, Loc, explained, nearest
from dregsy.config.source import Data, Items, Scalar, Table, shown
from dregsy.errors import RelayUnavailable
from dregsy.model.plan import RelayChoice

NATIVE, SKOPEO, DOCKER = "native", "skopeo", "docker"
_DEPRECATED = ("dockerhost", "api-version")
_PUBLIC = "takes no '${…}': everybody on this machine can read what stands there"
_USUAL_CERTS = (Path("/etc/dregsy/certs.d"), Path("/etc/docker/certs.d"), Path("/etc/containers/certs.d"))


@dataclass(frozen=True, slots=True)
class Chosen:
    """The relay of a config file: its name, its class, and its checked settings."""

    name: str
    kind: type[relay.Relay]
    settings: BaseModel

    @property
    def certs(self) -> tuple[Path, ...]:
        """The certs.d folders that it takes certificates from: the one its settings name, or the usual ones."""
        given = getattr(self.settings, "certs_dir", None)
        return (Path(given),) if given else _USUAL_CERTS

    def can(self, feature: relay.Feature) -> bool:
        """Whether it has a feature."""
        return feature in self.kind.features


def section_names() -> tuple[str, ...]:
    """Return the top-level keys that belong to relays."""
    return tuple(sorted({NATIVE, SKOPEO, DOCKER, *relay.installed()}))


def choose(data: Table, findings: Findings, *, strict: bool) -> Chosen | None:
    """Find the relay of a file and check all relays' sections; None after a problem with the chosen one."""
    name = _name(data)
    _check_deprecated(name, data, findings)
    chosen = _checked(name, data, findings, strict=strict)
    for other in relay.installed():
        if other != name and data.get(other) is not None:
            _checked(other, data, findings, strict=strict)
    return chosen


def given(data: Data) -> tuple[RelayChoice, ...]:
    """Return all relays that a file without errors has settings for, whichever it chooses."""
    if not isinstance(data, Table):
        return ()
    found = [
        _checked(name, data, Findings("", data), strict=False)
        for name in relay.installed()
        if data.get(name) is not None
    ]
    return tuple(RelayChoice(one.name, one.settings) for one in found if one is not None)


def defaults(name: str, kind: type[relay.Relay]) -> RelayChoice:
    """Return a relay with the settings that count where a file gives none; RelayUnavailable when it needs some."""
    try:
        return RelayChoice(name, kind.Settings.model_validate({}))
    except ValidationError as error:
        keys = ", ".join(".".join(map(str, one["loc"])) for one in error.errors())
        hint = "put them into a config file, and name it with -config"
        raise RelayUnavailable(
            f"relay {name!r} has settings without a default: {keys}", relay=name, hint=hint
        ) from None


def _name(data: Table) -> str:
    """Return the relay that is asked for; files that were written for dregsy keep their meaning."""
    given = data.get("relay")
    if isinstance(given, Scalar) and given:
        return str(given)
    if DOCKER in data or data.get("dockerhost"):
        return DOCKER
    return SKOPEO if SKOPEO in data else NATIVE


def _check_deprecated(name: str, data: Table, findings: Findings) -> None:
    for key in _DEPRECATED:
        if not data.get(key):
            continue
        if name != DOCKER and key == "dockerhost":
            hint = "remove it, or write 'relay: docker'"
            findings.error((key,), "setting 'dockerhost' implies 'docker' relay", hint)
        elif name != DOCKER:
            findings.warning((key,), "has no effect: it belongs to the docker relay", "remove it")
        elif data.get(DOCKER) is not None:
            findings.warning((key,), "is dropped: there is a 'docker' section", "write it there")
        else:
            findings.warning((key,), "is deprecated at the top level", "write it in a 'docker' section")


def _checked(name: str, data: Table, findings: Findings, *, strict: bool) -> Chosen | None:
    if name not in relay.installed():
        _invalid(name, data, findings)
        return None
    try:
        kind = relay.load(name)
    except RelayUnavailable as error:
        findings.error(("relay",), error.message, error.hint)
        return None
    at, section = _section(name, data)
    if not isinstance(section, Table):
        findings.error(at, NEEDS_KEYS)
        return None
    unknown = findings.unknown_keys(kind.Settings, section, strict=strict, at=at) if at else ()
    for loc in _in_public(kind.Settings, section):
        findings.error((*at, *loc), _PUBLIC, "write it out; a login belongs into 'auth' of a source or target")
    settings = _settings(kind.Settings, section, findings, at, {str(loc[-1]) for loc in unknown if len(loc) == 2})
    if settings is None:
        return None
    certs.look(at, settings, findings)
    return Chosen(name, kind, settings)


def _invalid(name: str, data: Table, findings: Findings) -> None:
    given = data.get("relay")
    written = shown(given.written) if isinstance(given, Scalar) and given else name
    near, known = nearest(written, relay.installed()), ", ".join(relay.installed())
    guess = f"did you mean {near!r}? " if near else ""
    findings.error(("relay",), f"invalid relay type: {written}", f"{guess}installed relays: {known or 'none'}")


def _section(name: str, data: Table) -> tuple[Loc, Data]:
    """Return a relay's section and where it is; docker's may be spread over the top level."""
    section = data.get(name)
    if section is not None:
        return (name,), section
    spread = Table(data.line)
    if name == DOCKER:
        spread.update({key: data[key] for key in _DEPRECATED if data.get(key)})
        spread.lines.update({key: data.lines[key] for key in spread})
    return (), spread


def _settings(
    model: type[BaseModel], section: Table, findings: Findings, at: Loc, unknown: set[str]
) -> BaseModel | None:
    """Check a section as plain texts, lists and mappings; what is empty counts as not given."""
    given = {
        key: _plain(value) for key, value in section.items() if value is not None and value != "" and key not in unknown
    }
    try:
        return model.model_validate(given)
    except ValidationError as error:
        for loc, _, message, hint in explained(error, section):
            findings.error((*at, *loc), message, hint)
    return None


def _in_public(model: type[BaseModel], section: Table) -> Iterator[Loc]:
    """Find the values in which a ``${…}`` was replaced although everybody can read what comes of them."""
    for name, info in model.model_fields.items():
        if any(isinstance(mark, relay.Public) for mark in info.metadata):
            yield from _replaced(section.get(info.alias or name), (info.alias or name,))


def _replaced(value: Data, loc: Loc) -> Iterator[Loc]:
    if isinstance(value, Scalar) and value.written != value:
        yield loc
    elif isinstance(value, Items):
        for position, one in enumerate(value):
            yield from _replaced(one, (*loc, position))


def _plain(value: Data) -> Any:
    if isinstance(value, Items):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return None if value is None else str(value)
