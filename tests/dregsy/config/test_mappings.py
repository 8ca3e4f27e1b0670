"""The rules of single keys of mappings, beyond what cases/ show."""

from io import StringIO

import pytest

from dregsy.config import mappings
from dregsy.config.load import load
from dregsy.errors import ConfigError
from dregsy.model.platform import Platform

FILE = """relay: native
tasks:
  - name: a
    source: {{registry: a.example.com}}
    target: {{registry: b.example.com}}
    mappings: [{{from: {source}, {mapping}}}]
"""


def problems(source: str = "a/b", mapping: str = "") -> list[tuple[str, str]]:
    """Return field and message of what is wrong with a mapping that is right but for what is given."""
    try:
        load("-", environ={}, stdin=StringIO(FILE.format(source=source, mapping=mapping)))
    except ConfigError as error:
        return [(one.field.removeprefix("tasks[0]."), one.message) for one in error.problems]
    return []


@pytest.mark.parametrize("source", ["/library/busybox", "busybox", "a/b/c/d", "a__b/c-d.e"])
def test_sources(source: str) -> None:
    """Legal names, with or without the slash in front."""
    assert problems(source=source) == []


@pytest.mark.parametrize(
    "source", ["Upper/case", "a:1.0", "a@sha256", "a//b", "a/", "'a b'", "registry.example.com:5000/a"]
)
def test_no_sources(source: str) -> None:
    """What no registry could have is told when the file is read."""
    assert problems(source=source) == [("mappings[0].from", "'from' is no legal repository name")]


@pytest.mark.parametrize("to", ["x/", "X", "a:b", "'regex:a,A'", "'regex:/a/b,'"])
def test_no_targets(to: str) -> None:
    """A name that no registry takes is told when the file is read, rewritten ones too."""
    assert problems(mapping=f"to: {to}") == [("mappings[0].to", "'to' gives no legal repository name")]


def test_wrong_from_and_to() -> None:
    """Both expressions of a mapping are checked, also when the first one is wrong."""
    found = problems(source="'regex:('", mapping="to: 'regex:a'")
    assert [field for field, _ in found] == ["mappings[0].from", "mappings[0].to"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("all", ()),
        ("ALL", ()),
        ("linux/amd64", (Platform("linux", "amd64"),)),
        ("linux/arm64/v8", (Platform("linux", "arm64"),)),
        ("linux/x86_64", (Platform("linux", "amd64"),)),
    ],
)
def test_platforms(text: str, expected: tuple[Platform, ...]) -> None:
    """No platform and ``all`` mean everything; others are one, in its usual spelling."""
    assert expected == mappings.platforms_of(text)


def test_os_alone() -> None:
    """An operating system alone is meant for this machine's processor."""
    [platform] = mappings.platforms_of("linux")
    assert platform.os == "linux"
    assert platform.architecture not in {"", "x86_64", "aarch64"}


@pytest.mark.parametrize("text", ["/", "linux/", "a/b/c/d", "linux//v7"])
def test_no_platforms(text: str) -> None:
    """What is no platform is told, without repeating it."""
    assert problems(mapping=f"platform: {text}") == [("mappings[0].platform", "is no platform")]
