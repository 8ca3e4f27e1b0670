import base64
import json
from pathlib import Path

import pytest
import yaml

from dregsy.cli import main

AUTH = base64.b64encode(b'{"username": "alice", "password": "s3cret"}').decode()
TEXT = f"""
parallel: 3
tasks:
- name: nightly
  schedule: 0 3 * * *
  source: {{registry: a.example/team, auth: {AUTH}}}
  targets:
  - {{registry: b.example, auth: none}}
  - {{registry: c.example, skip-tls-verify: true}}
  mappings:
  - from: regex:app/.*
    to: mirror
    tags: ['semver: >=1.0.0', latest]
    platform: linux/arm64
- name: other
  interval: 60
  source: {{registry: a.example}}
  target: {{registry: b.example}}
  mappings:
  - from: x
  - {{from: y, platforms: [linux/amd64], exclude: ['1'], older-than: 7d, skip-existing: true, tag-prefix: a-}}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Write the config, and return its name."""
    file = tmp_path / "sync.yaml"
    file.write_text(TEXT)
    return str(file)


def test_yaml_and_json_say_the_same(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The plan is YAML for people and JSON for programs, with the same content."""
    codes = [main(["show", "-config", file])]
    text = capsys.readouterr().out
    codes.append(main(["show", "-config", file, "--json"]))
    data = capsys.readouterr().out

    assert codes == [0, 0]
    assert yaml.safe_load(text) == json.loads(data)


def test_everything_is_resolved(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Defaults are filled in and every setting is said."""
    main(["show", "-config", file, "--json"])

    plan = json.loads(capsys.readouterr().out)
    nightly = plan["tasks"][0]
    assert (plan["relay"], plan["parallel"], plan["retries"], plan["timeout"]) == ("native", 3, 2, "1 h 0 min")
    assert (nightly["runs"], plan["tasks"][1]["runs"]) == ("by cron: 0 3 * * *", "at the start and every 1 min 0 s")
    assert nightly["source"]["registry"] == "a.example/team"
    assert [one["login"] for one in nightly["targets"]] == [
        "none",
        "docker's config.json, if it has one for this registry",
    ]
    assert nightly["mappings"][0] == {
        "at": f"{file}:11",
        "from": "regex:app/.*",
        "to": "mirror",
        "tags": ["semver: >=1.0.0", "latest"],
        "platform": "linux/arm64",
    }
    assert plan["tasks"][1]["mappings"][0]["to"] == "(same name)"
    assert plan["tasks"][1]["mappings"][1] == {
        "at": f"{file}:21",
        "from": "y",
        "to": "(same name)",
        "tags": "all",
        "platforms": ["linux/amd64"],
        "exclude": ["1"],
        "older-than": "7d",
        "skip-existing": ["regex: .*"],
        "tag-prefix": "a-",
    }


def test_secrets_are_masked(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a password nor what it is encoded in is ever shown."""
    for option in ([], ["--json"]):
        main(["show", "-config", file, *option])

    shown = capsys.readouterr().out
    assert "alice" in shown
    assert "s3cret" not in shown
    assert AUTH not in shown


def test_only_some_tasks(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """``--run`` shows the tasks that a run would run."""
    main(["show", "-config", file, "-run", "!nightly", "--json"])

    assert [task["name"] for task in json.loads(capsys.readouterr().out)["tasks"]] == ["other"]


def test_who_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Channels are shown by their hosts, with their occasions; what is secret of them is not."""
    file = tmp_path / "sync.yaml"
    file.write_text(
        "notify:\n- slack: https://hooks.test/s3cret\n- {slack: 'https://h.test', on: change, repeat: 2h}\n"
    )
    file.chmod(0o600)

    main(["show", "-config", str(file)])

    shown = capsys.readouterr().out
    assert yaml.safe_load(shown)["notify"] == [
        {"channel": "slack hooks.test", "on": ["failure", "recovery"], "repeat": "24 h 0 min"},
        {"channel": "slack h.test", "on": ["change"], "repeat": "2 h 0 min"},
    ]
    assert "s3cret" not in shown


def test_the_token_of_the_status_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That there is one is shown, and not which."""
    file = tmp_path / "sync.yaml"
    file.write_text("listen: {address: ':8080', token: 0123456789abcdef}\ntasks: []\n")
    file.chmod(0o600)

    assert main(["show", "--json", "-config", str(file)]) == 0
    assert json.loads(capsys.readouterr().out)["listen"] == {"address": "127.0.0.1:8080", "token": "***"}
