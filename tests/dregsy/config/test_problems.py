"""From pydantic's errors and unknown keys to sentences with file, line and field."""

from io import StringIO
from typing import Literal

import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator

from dregsy.config import document, source
from dregsy.config.problems import Findings, explained, line_of, name_of, nearest, value_at
from dregsy.config.source import Table
from dregsy.errors import Problem


def table(text: str) -> Table:
    """Read a text that is a mapping."""
    data = document.resolve(source.read("-", StringIO(text)), {}).data
    assert isinstance(data, Table)
    return data


class Inner(BaseModel):
    """A model within another."""

    certs_dir: str = Field("", alias="certs-dir")


class Open(BaseModel):
    """A model that takes any key."""

    model_config = ConfigDict(extra="allow")


class Outer(BaseModel):
    """A model with all ways to have others within."""

    model_config = ConfigDict(populate_by_name=True)

    one: Inner | None = None
    many: list[Inner] = []
    other: Open | None = None
    size: int = Field(0, validation_alias=AliasChoices("size-a", "size-b"))
    mode: Literal["fast", "safe"] = "fast"


DATA = "one:\n  certs-dir: a\nmany:\n  - certs-dir: b\n  -\n"


@pytest.mark.parametrize(
    ("loc", "line"),
    [
        ((), 1),
        (("one",), 1),
        (("one", "certs-dir"), 2),
        (("one", "missing"), 1),
        (("many", 0, "certs-dir"), 4),
        (("many", 1), 5),
        (("many", 7), 3),
        (("many", 0, "certs-dir", "deeper"), 4),
    ],
)
def test_lines(loc: tuple[str | int, ...], line: int) -> None:
    """A problem is told in the line of its key or item, or of what is nearest above it."""
    assert line == line_of(table(DATA), loc)


def test_no_line() -> None:
    """A file without content has no line."""
    assert line_of(None, ("a",)) == 0


def test_values() -> None:
    """Values are found by the way to them, and only there."""
    data = table(DATA)
    found = [value_at(data, loc) for loc in (("many", 0, "certs-dir"), ("many", 1), ("many", 7), ("one", "x", "y"))]
    assert found == ["b", None, None, None]


def test_names() -> None:
    """Fields are written as users would write them, and cannot garble a terminal."""
    assert name_of(("tasks", 0, "source", "registry")) == "tasks[0].source.registry"
    assert name_of((0,)) == "[0]"
    assert name_of(("a\x1bb",)) == "a\\x1bb"


def test_nearest() -> None:
    """Misspelt words find what was meant; foreign ones find nothing."""
    known = ("maxItems", "cacheDuration")
    assert [nearest(word, known) for word in ("maxitems", "cache-duration", "zebra", "")] == [
        "maxItems",
        "cacheDuration",
        "",
        "",
    ]


def test_unknown_keys() -> None:
    """Unknown keys are found at every depth, but not where a section is open, and the nearest key is told."""
    data = table(
        "one: {cert-dir: a}\nmany: [{certs-dir: a, x: 1}]\nother: {any: 1}\nsize-a: 1\n"
        "size-b: 1\nsize: 1\nmodus: safe\n"
    )
    findings = Findings("f", data)
    assert findings.unknown_keys(Outer, data, strict=False) == {("one", "cert-dir"), ("many", 0, "x"), ("modus",)}
    expected = (
        Problem("f", 1, "one", "unknown key 'cert-dir'", "did you mean 'certs-dir'?", warning=True),
        Problem("f", 2, "many[0]", "unknown key 'x'", "it has no effect", warning=True),
        Problem("f", 7, "", "unknown key 'modus'", "did you mean 'mode'?", warning=True),
    )
    assert expected == findings.sorted()
    assert not findings.has_errors
    findings.unknown_keys(Outer, data, strict=True)
    assert findings.has_errors


def test_order() -> None:
    """Problems come in the order of the file, and what aliases repeat comes once."""
    data = table("a: &a {x: 1}\nb: {x: 2, y: 3}\nc: *a\n")
    findings = Findings("f", data)
    findings.error(("c", "x"), "wrong")
    findings.error(("b", "y"), "wrong")
    findings.warning(("b", "x"), "odd")
    findings.error(("a", "x"), "wrong")
    assert [(one.line, one.field) for one in findings.sorted()] == [(1, "c.x"), (2, "b.y"), (2, "b.x")]
    assert findings.where(("b",)) == "f:2"


def test_messages_cannot_garble_a_terminal() -> None:
    """Control characters never reach the terminal, and no message fills it."""
    findings = Findings("f", None)
    findings.error((), "\x1b[31m" + "x" * 5000)
    [problem] = findings.sorted()
    assert problem.message.isprintable()
    assert len(problem.message) < 400


class Guest(BaseModel):
    """A model as the author of a relay would write it."""

    count: int = 0
    flag: bool = False
    word: str = ""
    words: list[str] = []
    mode: Literal["fast", "safe"] = "fast"
    name: str

    @field_validator("word")
    @classmethod
    def check(cls, word: str) -> str:
        """Refuse every word, once with and once without quoting it."""
        if word == "quoting":
            raise ValueError(f"{word} is what was given")
        if word:
            raise ValueError("has to be left out")
        return word


def test_explained() -> None:
    """Errors are told in plain words by their type; what a guest's own check says is kept unless it quotes a value."""
    data = table("count: x\nflag: perhaps\nword: other\nwords: 1\nmode: slow\n")
    with pytest.raises(ValidationError) as caught:
        Guest.model_validate(dict(data))
    expected = {
        "count": "needs a whole number",
        "flag": "needs true or false",
        "word": "has to be left out",
        "words": "needs a list",
        "mode": "should be 'fast' or 'safe'",
        "name": "is missing",
    }
    assert expected == {str(loc[0]): message for loc, _, message, _ in explained(caught.value, data)}


def test_explained_without_values() -> None:
    """A check that quotes the value it refuses is not passed on."""
    data = table("word: quoting\nname: x\n")
    with pytest.raises(ValidationError) as caught:
        Guest.model_validate(dict(data))
    assert [message for _, _, message, _ in explained(caught.value, data)] == ["has a value that cannot be used"]
