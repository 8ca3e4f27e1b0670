"""Plan files: a Proposal as JSON that people and programs can read, and back again with all of it in doubt.

Whoever changed such a file on its way gets no further than this and ``dregsy.applying``. It holds no secret.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from dregsy import __version__, atomic
from dregsy.errors import UsageError
from dregsy.model.digest import Digest
from dregsy.model.proposal import Mount, PlannedCopy, PlannedTarget, PlannedTask, Proposal
from dregsy.model.ref import Ref, is_host, is_repository, is_tag
from dregsy.model.report import Moved, Outcome, Reason

VERSION = 1
LIMIT = 32 * 2**20
"""The most bytes that a plan file may have: some 40,000 copies."""
VALUES = 1_500_000
"""The most values that it may have: no plan of that size has more."""
_MOST = f"{LIMIT // 2**20} MiB, or {VALUES} values"
_SIGNS = (b",", b"[", b"{")
"""What begins each value of JSON but the first; there may be others in texts."""
_ANEW = "make a new plan with 'dregsy plan'"
_REASONS = {str(reason): reason for reason in (Reason.MISSING, Reason.CHANGED)}


@dataclass(frozen=True, slots=True)
class Origin:
    """The config file that a plan was made from: its name as it was given, and the digest of its bytes."""

    file: str
    digest: Digest


def document(proposal: Proposal, origin: Origin, created: str) -> dict[str, Any]:
    """Return a plan file as plain data; it is always the same for the same proposal."""
    reasons = proposal.reasons
    return {
        "version": VERSION,
        "dregsy": __version__,
        "created": created,
        "config": {"file": origin.file, "digest": str(origin.digest)},
        "relay": proposal.relay,
        "totals": {
            **{text: reasons[reason] for text, reason in _REASONS.items()},
            "current": proposal.current,
            "failed": len(proposal.failures),
            **{name: sum(getattr(one, name) for one in proposal.traffic) for name in _TRAFFIC},
        },
        "registries": [
            {"host": one.host, **{name: getattr(one, name) for name in _TRAFFIC}, "pulls_left": one.left}
            for one in proposal.traffic
        ],
        "tasks": [
            {"name": task.name, "position": task.position, "copies": [_copy(copy) for copy in task.copies]}
            for task in proposal.tasks
        ],
        "mounts": [
            {"host": mount.host, "repository": mount.repository, "blob": str(mount.blob)} for mount in proposal.mounts
        ],
        "failures": [_failure(outcome) for outcome in proposal.failures],
    }


_TRAFFIC = ("requests", "pulls", "bytes_read", "bytes_written")
_MOVED = ("bytes_read", "bytes_written", "blobs_moved", "blobs_mounted", "blobs_skipped")


def _copy(copy: PlannedCopy) -> dict[str, Any]:
    return {
        "source": str(copy.source.with_tag(copy.source.tag)),
        "digest": str(copy.source.digest),
        "origin": str(copy.origin),
        "by_digest": copy.by_digest,
        "platforms": list(copy.platforms),
        "where": copy.where,
        "targets": [
            {
                "target": str(target.ref),
                "position": target.to,
                "reason": str(target.reason),
                "before": None if target.before is None else str(target.before),
                **{name: getattr(target.expected, name) for name in _MOVED},
            }
            for target in copy.targets
        ],
    }


def _failure(outcome: Outcome) -> dict[str, Any]:
    failure = outcome.failure
    return {
        "task": outcome.copy.task,
        "source": str(outcome.copy.origin),
        "target": None if outcome.target is None else str(outcome.target),
        "where": outcome.copy.where,
        **({"kind": failure.kind, "error": failure.message, "hint": failure.hint} if failure else {}),
    }


def write(path: str, content: Mapping[str, Any]) -> None:
    """Write a plan file so that there is the whole of it or what was there before; DregsyError when that fails.

    UsageError where it would be larger than a plan may be.
    """
    text = json.dumps(content, indent=2) + "\n"
    if _is_large(text.encode()):
        hint = "plan a part of the tasks with --run, and then the others"
        raise UsageError(f"the plan for {path!r} is larger than a plan may be, which is {_MOST}", hint=hint)
    atomic.write(Path(path), text)


def check_place(path: str) -> Path:
    """Return where a plan file is to be; UsageError where none can be written."""
    atomic.prove(Path(path), "-o")
    return Path(path).resolve()


def _is_large(raw: bytes) -> bool:
    """Whether a text has more bytes or, as JSON, more values than a plan; no memory is spent on them to tell."""
    return len(raw) > LIMIT or sum(map(raw.count, _SIGNS)) > VALUES


def _read_digest(value: Any) -> Digest:
    return Digest.parse(_read_text(value))


def _read_ref(value: Any) -> Ref:
    """Read a reference as ``str`` writes it, always with its host: ``registry/app`` is no image of Docker Hub here."""
    rest, at, digest = _read_text(value).partition("@")
    host, _, path = rest.partition("/")
    repository, colon, tag = path.partition(":")
    if colon and not is_tag(tag):
        raise ValueError("not a legal tag")
    ref = Ref.of(host, repository).with_tag(tag if colon else None, Digest.parse(digest) if at else None)
    if str(ref) != value:
        raise ValueError(f"not the whole name of an image, which is {ref}")
    return ref


def _read_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text")
    return value


def _read_host(value: Any) -> str:
    if not is_host(_read_text(value)):
        raise ValueError("not a host")
    return str(value)


def _read_repository(value: Any) -> str:
    if not is_repository(_read_text(value)):
        raise ValueError("not a repository")
    return str(value)


def _read_reason(value: Any) -> Reason:
    if value not in _REASONS.values():
        raise ValueError(f"none of {', '.join(_REASONS)}")
    return Reason(value)


_Digest = Annotated[Digest, PlainValidator(_read_digest)]
_Ref = Annotated[Ref, PlainValidator(_read_ref)]
_Count = Annotated[int, Field(ge=0, lt=2**63)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class _Target(_Section):
    target: _Ref
    position: _Count
    reason: Annotated[Reason, PlainValidator(_read_reason)]
    before: _Digest | None
    bytes_read: _Count | None
    bytes_written: _Count | None
    blobs_moved: _Count | None
    blobs_mounted: _Count | None
    blobs_skipped: _Count | None

    def planned(self, digest: Digest) -> PlannedTarget:
        moved = Moved(digest, *(getattr(self, name) for name in _MOVED))
        return PlannedTarget(self.target, self.position, self.reason, self.before, moved)


class _Copy(_Section):
    source: _Ref
    digest: _Digest
    origin: _Digest
    by_digest: bool
    platforms: list[str]
    where: str
    targets: Annotated[list[_Target], Field(min_length=1)]

    def planned(self) -> PlannedCopy:
        return PlannedCopy(
            self.source.with_tag(self.source.tag, self.digest),
            self.origin,
            self.by_digest,
            tuple(target.planned(self.digest) for target in self.targets),
            tuple(self.platforms),
            self.where,
        )


class _Task(_Section):
    name: str
    position: _Count
    copies: list[_Copy]


class _Mount(_Section):
    host: Annotated[str, PlainValidator(_read_host)]
    repository: Annotated[str, PlainValidator(_read_repository)]
    blob: _Digest


class _Config(_Section):
    file: str
    digest: _Digest


class _Plan(_Section):
    version: int
    dregsy: str
    created: str
    config: _Config
    relay: str
    totals: dict[str, _Count]
    registries: list[dict[str, str | _Count | None]]
    tasks: list[_Task]
    mounts: list[_Mount]
    failures: list[dict[str, str | None]]

    def proposal(self) -> Proposal:
        tasks = (
            PlannedTask(task.name, task.position, tuple(one.planned() for one in task.copies)) for task in self.tasks
        )
        mounts = (Mount(mount.host, mount.repository, mount.blob) for mount in self.mounts)
        return Proposal(self.relay, tuple(tasks), mounts=tuple(mounts), unplanned=len(self.failures))


def read(path: str) -> tuple[Proposal, Origin]:
    """Read what a plan file wants copied, and from which config it was made; UsageError when it is none.

    That the config means the same is not looked at here.
    """
    try:
        with Path(path).open("rb") as stream:
            raw = stream.read(LIMIT + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is no legal file name"
        raise UsageError(f"the plan {path!r} cannot be read: {why}", hint=_ANEW) from None
    if _is_large(raw):
        raise UsageError(f"the plan {path!r} is larger than {_MOST}", hint="is this really a plan?")
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        raise UsageError(f"{path!r} is no plan: it is not JSON", hint=_ANEW) from None
    version = data.get("version") if isinstance(data, dict) else None
    if version != VERSION:
        text = f"{path!r} is no plan of version {VERSION}, which is what this dregsy knows"
        raise UsageError(text, hint=f"{_ANEW} of the version that is to apply it")
    try:
        plan = _Plan.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(f"{path!r} is no plan: {place}: {first['msg']}", hint=_ANEW) from None
    return plan.proposal(), Origin(plan.config.file, plan.config.digest)
