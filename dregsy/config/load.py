"""The front door: a file's text becomes a Plan, or a list of all that is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TextIO

from dregsy.config import document, dregsy, notify, permissions, relays, source
from dregsy.config.files import Files
from dregsy.config.problems import Findings
from dregsy.errors import Problem
from dregsy.model.notify import Subscription
from dregsy.model.plan import Plan, RelayChoice


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a file asks for, and what there is to say about it that does not stop a run.

    ``relays`` are all that the file has settings for, whether or not it asks for them. ``read`` is the file as it
    stands, and ``notify`` who is told of its tasks.
    """

    plan: Plan
    warnings: tuple[Problem, ...] = ()
    relays: tuple[RelayChoice, ...] = ()
    read: source.Source | None = field(default=None, repr=False)  # it may hold logins
    notify: tuple[Subscription, ...] = ()


def load(
    file: str,
    *,
    environ: Mapping[str, str],
    strict: bool = False,
    stdin: TextIO | None = None,
    files: Files | None = None,
) -> Loaded:
    """Read the config ``file``, or ``stdin`` for ``-``; ConfigError holds all of its problems.

    ``environ`` is what ``${VAR}`` is taken from. Unknown keys are errors when ``strict``, else warnings.
    ``files`` notes what is read, also when there is an error in it.
    """
    read = source.read(file, stdin, files)
    content = document.resolve(read, environ, dregsy.VERBATIM, files, dregsy.NOT_VERBATIM)
    findings = Findings(content.file, content.data, read.problems)
    permissions.give(file, content.data, findings)
    plan = dregsy.plan(content, findings, strict=strict)
    return Loaded(plan, findings.sorted(), relays.given(content.data), read, notify.given(content.data))
