"""The dregsy dialect: each file of cases/ gives exactly the plan, or the problems, that stand beside it."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from dregsy.config.load import load
from dregsy.errors import ConfigError, Problem
from dregsy.model.ages import Ages
from dregsy.model.aws import Aws
from dregsy.model.endpoint import RateLimit, Secret
from dregsy.model.rewrite import Rewrite, Selection
from dregsy.model.tagnames import TagNames
from dregsy.model.tags import TagFilter, TagSet
from dregsy.model.timeouts import Timeouts

CASES = Path(__file__).parent / "cases"
ENVIRON = {
    "PARALLEL": "6",
    "WATCH": "true",
    "TOOLS": "/opt/tools/bin",
    "SOURCE_HOST": "source.example.com:5000",
    "SOURCE_AUTH": "eyJ1c2VybmFtZSI6InVzZXIiLCJwYXNzd29yZCI6Imh1bnRlcjIifQ==",
    "PLATFORM": "linux/amd64",
}
UPDATE = "UPDATE_CASES"
"""Set this variable to write the expected files anew; then read what changed."""


WRITTEN = str | int | float | Path | TagFilter | TagSet | Ages | TagNames | Selection | Rewrite | Secret
UNSET = (TagSet(), Ages(), TagNames(), Aws(), RateLimit(), Timeouts())
"""What few mappings have, and is told only where they do."""


def shown(value: Any, indent: str = "") -> Iterator[str]:
    """Print a plan so that a reader of a diff sees what changed; secrets stay masked."""
    for name, one in members(value):
        if one in UNSET or (name, one) in (("subset", ()), ("private", False)):
            continue
        if isinstance(one, WRITTEN) or one in (None, ()):
            yield f"{indent}{name}: {text(one)}"
        else:
            yield f"{indent}{name}: {type(one).__name__}".removesuffix(": tuple").removesuffix(": dict")
            yield from shown(one, indent + "  ")


def members(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the names and values that a part of a plan is made of."""
    if isinstance(value, BaseModel):
        yield from value
    elif is_dataclass(value):
        yield from ((field.name, getattr(value, field.name)) for field in fields(value))
    elif isinstance(value, Mapping):
        yield from value.items()
    else:
        yield from ((f"[{position}]", one) for position, one in enumerate(value))


def text(value: Any) -> str:
    """Print a single value."""
    if isinstance(value, TagFilter | TagSet):
        return repr(list(value.items))
    if isinstance(value, Selection | Rewrite):
        return repr(value.text)
    return str(value) if isinstance(value, Path | Secret) else repr(value)


def problems(found: tuple[Problem, ...]) -> Iterator[str]:
    """Print problems, each with its weight; who may read the files of cases/ is up to who checked them out."""
    told = (one for one in found if "is a login that everybody" not in one.message)
    yield from (f"{'warning' if one.warning else 'error'}: {one}" for one in told)


def outcome(file: str, *, strict: bool = False) -> str:
    """Load a file and print what comes of it."""
    try:
        loaded = load(file, environ=ENVIRON, strict=strict)
    except ConfigError as error:
        return "\n".join([*problems(error.problems), ""])
    return "\n".join([*problems(loaded.warnings), *shown(loaded.plan), ""])


@pytest.mark.parametrize("case", sorted(path.stem for path in CASES.glob("*.yaml")))
def test_case(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A config file means exactly what stands in its expected file, and says exactly what is wrong with it."""
    monkeypatch.chdir(CASES)
    expected = Path(f"{case}.expected")
    actual = outcome(f"{case}.yaml")
    if os.environ.get(UPDATE):
        expected.write_text(actual, encoding="utf-8")
    assert expected.read_text(encoding="utf-8") == actual


FRAGMENTS = {
    "c01-relay-unknown": "invalid relay type",
    "c02-skopeo-with-dockerhost": "setting 'dockerhost' implies 'docker' relay",
    "c03-task-without-name": "a task requires a name",
    "c04-interval-too-short": "minimum task interval is 30 seconds",
    "c05-interval-negative": "task interval needs to be 0 or a positive integer",
    "c06-source-null": "source registry in task 'test' invalid: location is nil",
    "c07-no-target": "target registry in task 'test' invalid: location is nil",
    "c08-registry-null": "source registry in task 'test' invalid: registry not set",
    "c09-refresh-without-ecr": "wants authentication refresh, but is not an ECR registry",
    "c10-from-null": "mapping without 'From' path",
    "c13-docker-all-platforms": "relay 'docker' does not support mappings with 'platform: all'",
    "c17-interval-29": "minimum task interval is 30 seconds",
    "c18-auth-not-base64": "invalid Auth: ",
    "c25-lister-without-type": "no lister type set",
    "c25b-lister-bad-type": "invalid lister type: foo",
    "c25c-lister-empty-on-target": "no lister type set",
    "c26-index-without-search": "cannot create repo list for task 'test': index lister requires a search expression",
    "c27-docker-hub-catalog": "DockerHub only supports list types",
    "c29-from-bad-expression": "'from' uses invalid regular expression",
    "c29b-to-without-replacement": "replacement expression missing in 'to'",
    "c29c-to-bad-expression": "'to' uses invalid regular expression",
    "null-items": "mapping is nil",
}


@pytest.mark.parametrize(("case", "fragment"), FRAGMENTS.items())
def test_known_fragments(case: str, fragment: str) -> None:
    """Whoever searches logs for the original program's messages still finds them."""
    with pytest.raises(ConfigError) as caught:
        load(str(CASES / f"{case}.yaml"), environ=ENVIRON)
    assert fragment in str(caught.value)


def test_every_bad_tag_is_told() -> None:
    """Each bad item of a list of tags is a problem of its own, in its own line."""
    with pytest.raises(ConfigError) as caught:
        load(str(CASES / "c30-tags-bad.yaml"), environ=ENVIRON)
    told = [(one.line, one.field.rpartition(".")[2]) for one in caught.value.problems]
    expected = [(10, "tags[0]"), (11, "tags[1]"), (12, "tags[2]"), (13, "tags[3]"), (14, "tags[4]"), (16, "tags[6]")]
    assert expected == told
    assert all("'tags' uses invalid format" in one.message for one in caught.value.problems)


@pytest.mark.parametrize("case", sorted(path.stem for path in CASES.glob("*.yaml")))
def test_secrets_stay_secret(case: str) -> None:
    """No text that a file or the environment holds as a secret is in what is printed or represented."""
    try:
        loaded = load(str(CASES / f"{case}.yaml"), environ=ENVIRON)
        printed = "".join([f"{loaded!r} {loaded}", *problems(loaded.warnings), *shown(loaded.plan)])
    except ConfigError as error:
        printed = f"{error!r} {error} {error.problems!r}"
    for secret in (
        "hunter2",
        "source-password",
        "target-password",
        "100%s",
        'a"b',
        "pässwörd",
        "pass:word",
        "old-token",
    ):
        assert secret not in printed
    assert ENVIRON["SOURCE_AUTH"] not in printed


def test_environment_stays_out_of_messages() -> None:
    """A value that came from the environment is in no message, even where it is what is wrong."""
    with pytest.raises(ConfigError) as caught:
        load(str(CASES / "environment-missing.yaml"), environ=ENVIRON)
    assert not [value for value in ENVIRON.values() if len(value) > 1 and value in str(caught.value)]


def test_strict_refuses_unknown_keys() -> None:
    """Under strict an unknown key stops the run; the nearest key that exists is told."""
    text = "paralel: 3\nskopeo: {cert-dir: /etc}\ntasks: []\n"
    assert [one.warning for one in load("-", environ={}, stdin=StringIO(text)).warnings] == [True, True]
    with pytest.raises(ConfigError) as caught:
        load("-", environ={}, stdin=StringIO(text), strict=True)
    told = [(one.line, one.field, one.hint, one.warning) for one in caught.value.problems]
    assert told == [
        (1, "", "did you mean 'parallel'?", False),
        (2, "skopeo", "did you mean 'certs-dir'?", False),
    ]
