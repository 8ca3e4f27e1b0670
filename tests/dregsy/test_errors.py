"""Errors are for people: they say what to do, and cannot be used to fool a terminal or a log."""

import inspect

import pytest

from dregsy import errors
from dregsy.errors import (
    ConfigError,
    CredentialsError,
    DregsyError,
    ImageError,
    NotFound,
    Problem,
    RateLimited,
    RegistryError,
    RelayError,
    RelayUnavailable,
    Unauthorized,
    printable,
)

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, DregsyError)]


def test_an_error_says_what_happened_and_what_to_do() -> None:
    """The hint follows the message on the same line, where there is one."""
    assert str(ImageError("it is too large", hint="raise the limit")) == "it is too large — raise the limit"
    assert str(ImageError("it is too large")) == "it is too large"


def test_every_kind_of_error_has_a_name_of_its_own() -> None:
    """Reports and JSON tell errors apart by it; the docstring that draws the tree has them all."""
    assert len(KINDS) == len({kind.kind for kind in KINDS})
    assert [kind.__name__ for kind in KINDS if kind.__name__ not in (errors.__doc__ or "")] == []
    assert {1} == {kind.exit_code for kind in KINDS}


@pytest.mark.parametrize(
    "error",
    [
        Unauthorized("no", url="https://h.io/", status=401, hint="log in"),
        CredentialsError("broken", host="h.io"),
        RelayError("late", relay="native", output="x", retryable=True),
        ConfigError([Problem("a.yaml", 1, "relay", "no such relay")]),
    ],
    ids=lambda error: error.kind,
)
def test_an_error_that_is_raised_again(error: DregsyError) -> None:
    """It says and knows the same, and keeps nothing of what was under way where it was raised before."""
    try:
        raise error from ValueError("why")
    except DregsyError:
        other = error.afresh()
    assert (type(other), str(other), vars(other)) == (type(error), str(error), vars(error))
    assert (other is error, other.__traceback__, other.__cause__) == (False, None, None)


def test_errors_of_a_registry_keep_the_facts() -> None:
    """What a program needs to decide is there as data, not only as text."""
    error = NotFound("no such tag", method="GET", url="https://h.io/v2/a", status=404, codes=["MANIFEST_UNKNOWN"])

    assert isinstance(error, RegistryError)
    assert (
        error.method,
        error.url,
        error.status,
        error.codes,
        error.retryable,
    ) == ("GET", "https://h.io/v2/a", 404, ("MANIFEST_UNKNOWN",), False)
    assert RateLimited("slow down").retry_after is None


def test_errors_of_a_relay_keep_its_output() -> None:
    """The tail of what a tool printed goes along."""
    error = RelayUnavailable("no skopeo", relay="skopeo", output="not found", hint="install it")

    assert isinstance(error, RelayError)
    assert (error.relay, error.output, error.retryable) == ("skopeo", "not found", False)


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (
            Problem("a.yaml", 8, "tasks[0].target", "unknown key", "did you mean 'x'?"),
            "a.yaml:8: tasks[0].target: unknown key — did you mean 'x'?",
        ),
        (Problem("a.yaml", 8, "", "odd"), "a.yaml:8: odd"),
        (Problem("a.yaml", 0, "", "empty"), "a.yaml: empty"),
        (Problem("\udcff\x1b.yaml", 1, "", "odd"), "\\udcff\\x1b.yaml:1: odd"),
    ],
)
def test_a_problem_names_its_place(problem: Problem, expected: str) -> None:
    """File, line and field stand in front, as far as they are known; an odd file name can be printed."""
    assert expected == str(problem)


def test_a_config_error_lists_all_problems() -> None:
    """One line each, in the order given."""
    problems = [Problem("a.yaml", line, "", "odd") for line in (1, 2)]

    assert str(ConfigError(problems)) == "a.yaml:1: odd\na.yaml:2: odd"
    assert tuple(problems) == ConfigError(problems).problems


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain — ä 漢 …", "plain — ä 漢 …"),
        ("a\nb\tc", "a\nb\tc"),
        ("\x1b[2Jgone\r\x07", "\\x1b[2Jgone\\r\\x07"),
        ("half \ud800", "half \\ud800"),
        ("\u202eevil", "\\u202eevil"),
        ("", ""),
    ],
)
def test_what_a_registry_says_cannot_steer_a_terminal(text: str, expected: str) -> None:
    """Control characters, and what cannot be printed at all, are written as escapes."""
    assert expected == printable(text)
    assert (expected, expected) == (ImageError(text, hint=text).message, ImageError(text, hint=text).hint)
    assert f"{expected} — {expected}".removesuffix(" — ") == str(ImageError(text, hint=text))
    str(ImageError(text, hint=text)).encode()
