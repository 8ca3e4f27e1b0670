import json
import logging
from collections.abc import Mapping

import pytest

from dregsy.cli.voice import Manner
from tests.dregsy.cli.conftest import Dregsy


@pytest.mark.parametrize(
    ("environ", "level", "form", "manner"),
    [
        ({}, None, None, Manner()),
        ({"LOG_LEVEL": "", "LOG_FORMAT": "", "LOG_FORCE_COLORS": "false", "LOG_METHODS": "0"}, None, None, Manner()),
        ({"LOG_LEVEL": "Warning"}, None, None, Manner(logging.WARNING, asked_for=True)),
        ({"LOG_LEVEL": "debug"}, "error", None, Manner(logging.ERROR, asked_for=True)),
        ({"LOG_FORMAT": "json"}, None, None, Manner(as_json=True, asked_for=True)),
        ({"LOG_FORMAT": "json"}, None, "text", Manner(asked_for=True)),
        ({"LOG_FORCE_COLORS": "true"}, None, None, Manner(colour=True, asked_for=True)),
        ({"LOG_FORCE_COLORS": "true", "LOG_FORMAT": "json"}, None, None, Manner(as_json=True, asked_for=True)),
        ({"LOG_METHODS": "true"}, None, None, Manner(methods=True, asked_for=True)),
    ],
)
def test_manner(environ: Mapping[str, str], level: str | None, form: str | None, manner: Manner) -> None:
    """The environment says how lines look, and flags win over it."""
    assert Manner.of(environ, level, form) == manner


@pytest.mark.parametrize("name", ["panic", "fatal", "error", "warn", "warning", "info", "debug", "trace"])
def test_all_levels_are_known(name: str) -> None:
    """Every level of upstream's is one here."""
    assert Manner.of({"LOG_LEVEL": name}).mistakes == ()


async def test_mistakes_in_the_environment(dregsy: Dregsy, config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A level or format that is none is told as an error, and the run goes on at level info in text."""
    monkeypatch.setenv("LOG_LEVEL", "bogus")
    monkeypatch.setenv("LOG_FORMAT", "xml")

    ran = await dregsy("-config", config, "-run", "first")

    lines = ran.out.splitlines()
    assert ran.code == 0
    assert [line.split()[1:3] for line in lines[:2]] == [["error", "LOG_LEVEL"], ["error", "LOG_FORMAT"]]
    assert {"info"} == {line.split()[1] for line in lines[2:]}


async def test_flag_that_is_no_level(dregsy: Dregsy, config: str) -> None:
    """A flag with a value that is none is a mistake that ends the command."""
    ran = await dregsy("-config", config, "-log-level", "bogus")

    assert (ran.code, ran.out) == (1, "")
    assert "--log-level" in ran.err


async def test_lines_of_json(dregsy: Dregsy, config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With LOG_FORMAT=json each line is an object, failures included; LOG_METHODS adds who logs."""
    monkeypatch.setenv("LOG_FORMAT", "json")
    monkeypatch.setenv("LOG_METHODS", "true")

    ran = await dregsy("-config", config)

    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert (ran.code, ran.err) == (1, "")
    assert {"info", "error"} == {line["level"] for line in lines}
    assert {line["method"] for line in lines} == {"orchestrator.run", "orchestrator._finish"}


async def test_debug_tells_of_decisions_and_requests(dregsy: Dregsy, config: str) -> None:
    """At level debug there is a line for each image, why it is copied, and each request."""
    ran = await dregsy("-config", config, "--log-level=debug", "-run", "first")

    assert f"test/a:1.0 ({config}:" in ran.out
    assert "mirror/a:1.0 (missing)" in ran.out
    assert "/v2/test/a/manifests/1.0: 200 in " in ran.out
    assert "/v2/mirror/a/manifests/1.0: 201 in " in ran.out


async def test_check_has_the_flags_too(dregsy: Dregsy, config: str) -> None:
    """A check that asks registries tells of its requests on stderr."""
    ran = await dregsy("check", "--diff", "-config", config, "--log-level", "debug", "--log-format", "json")

    assert any("/manifests/1.0: 200 in " in json.loads(line)["message"] for line in ran.err.splitlines())
