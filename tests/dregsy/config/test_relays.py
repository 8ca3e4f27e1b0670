"""Which relay a file means, and how relays' sections are checked, those of guests too."""

from io import StringIO
from pathlib import Path

import pytest

from dregsy import relay
from dregsy.config.load import load
from dregsy.config.relays import defaults, section_names
from dregsy.errors import ConfigError, RelayUnavailable
from dregsy.model.plan import Plan

GUEST = '''
"""A relay that others could have written."""
from pydantic import BaseModel, Field
from dregsy.relay import Feature

class Settings(BaseModel):
    where: str
    speed: int = Field(1, alias="top-speed", ge=1)
    certs_dir: str | None = Field(None, alias="certs-dir")

class PigeonRelay:
    Settings = Settings
    features = frozenset({Feature.ALL_PLATFORMS})
'''
METADATA = {
    "METADATA": "Metadata-Version: 2.1\nName: pigeon\nVersion: 1\n",
    "entry_points.txt": "[dregsy.relays.v1]\npigeon = pigeon_relay:PigeonRelay\nbroken-relay = no_such_module:Relay\n",
}


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with two relays, installed beside ours: one that works, one that lacks a module."""
    (tmp_path / "pigeon_relay.py").write_text(GUEST)
    package = tmp_path / "pigeon-1.dist-info"
    package.mkdir()
    for name, text in METADATA.items():
        (package / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))


def plan(text: str) -> Plan:
    """Load a text."""
    return load("-", environ={}, stdin=StringIO(text)).plan


def problems(text: str) -> list[tuple[int, str, str]]:
    """Return line, field and message of what is wrong with a text."""
    with pytest.raises(ConfigError) as caught:
        plan(text)
    return [(one.line, one.field, one.message) for one in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "native"),
        ("relay:\n", "native"),
        ("relay: ''\n", "native"),
        ("native:\n", "native"),
        ("parallel: 2\n", "native"),
        ("skopeo: {}\n", "skopeo"),
        ("docker:\n", "docker"),
        ("docker: {}\nskopeo: {}\n", "docker"),
        ("dockerhost: tcp://127.0.0.1:2375\n", "docker"),
        ("dockerhost:\n", "native"),
        ("api-version: 1.41\n", "native"),
        ("relay: native\nskopeo: {}\n", "native"),
        ("relay: skopeo\ndocker: {}\n", "skopeo"),
    ],
)
def test_which_relay(text: str, expected: str) -> None:
    """A file without ``relay`` means native, unless its sections say that it was written for another one."""
    assert expected == plan(text).relay.name


def test_deprecated_keys_reach_the_relay() -> None:
    """Docker's old top-level keys mean the same as in its section."""
    old = plan("dockerhost: tcp://127.0.0.1:2375\napi-version: 1.40\n").relay
    new = plan("docker: {dockerhost: 'tcp://127.0.0.1:2375', api-version: 1.40}\n").relay
    assert new == old
    assert (old.settings.dockerhost, old.settings.api_version) == ("tcp://127.0.0.1:2375", "1.40")


@pytest.mark.parametrize("relay", ["skopeo", "native"])
def test_dockerhost_belongs_to_docker(relay: str) -> None:
    """A docker host with another relay is a contradiction."""
    expected = [(2, "dockerhost", "setting 'dockerhost' implies 'docker' relay")]
    assert expected == problems(f"relay: {relay}\ndockerhost: tcp://127.0.0.1:2375\n")


TASK = """tasks:
  - name: a
    source: {registry: a.example.com}
    target: {registry: b.example.com}
    mappings: [{from: a}]
"""


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("relay: native\n", ["/etc/dregsy/certs.d", "/etc/docker/certs.d", "/etc/containers/certs.d"]),
        ("native: {certs-dir: /run/certs}\n", ["/run/certs"]),
        ("native: {certs-dir: }\n", ["/etc/dregsy/certs.d", "/etc/docker/certs.d", "/etc/containers/certs.d"]),
        ("relay: skopeo\n", ["/etc/skopeo/certs.d"]),
        ("skopeo: {certs-dir: /run/certs}\n", ["/run/certs"]),
        ("relay: docker\n", ["/etc/docker/certs.d"]),
    ],
)
def test_certificates(section: str, expected: list[str]) -> None:
    """Every relay looks for certificates where its tool does, or where its section says."""
    [task] = plan(section + TASK).tasks
    assert [tuple(map(Path, expected))] * 2 == [task.source.certs, task.targets[0].certs]


def test_sections_of_other_relays_are_checked() -> None:
    """A mistake in the section of a relay that is not used now is still a mistake."""
    assert problems("relay: native\nskopeo: {binary: [a]}\n") == [(2, "skopeo.binary", "needs a text")]


@pytest.mark.usefixtures("guest")
def test_guest() -> None:
    """A guest's section is checked by its own model; its settings and its features count."""
    read = plan("relay: pigeon\npigeon: {where: loft, top-speed: 3, certs-dir: /run/c}\n" + TASK)
    assert (read.relay.name, read.relay.settings.where, read.relay.settings.speed) == ("pigeon", "loft", 3)
    assert (Path("/run/c"),) == read.tasks[0].source.certs
    assert "pigeon" in section_names()


@pytest.mark.usefixtures("guest")
def test_wrong_sections_of_guests() -> None:
    """Whatever is wrong in a guest's section is told like everything else, missing keys too."""
    expected = [
        (1, "where", "is missing"),
        (2, "pigeon", "unknown key 'topspeed'"),
        (2, "pigeon.where", "is missing"),
        (2, "pigeon.top-speed", "should be greater than or equal to 1"),
    ]
    assert expected[1:] == problems("relay: pigeon\npigeon: {topspeed: 1, top-speed: 0}\n")
    assert expected[:1] == problems("relay: pigeon\n")


@pytest.mark.usefixtures("guest")
def test_guest_without_feature() -> None:
    """What a relay cannot do is told before anything runs."""
    text = "relay: pigeon\npigeon: {where: x}\n" + TASK.replace("{from: a}", "{from: a, platform: linux/arm64}")
    expected = [(7, "tasks[0].mappings[0].platform", "relay 'pigeon' does not support mappings with a 'platform'")]
    assert expected == problems(text)
    assert len(plan(text.replace("linux/arm64", "all")).tasks) == 1


@pytest.mark.usefixtures("guest")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pidgeon", "invalid relay type: pidgeon"),
        ("broken-relay", "relay 'broken-relay' cannot be loaded: No module named 'no_such_module'"),
    ],
)
def test_relays_that_cannot_be_had(name: str, message: str) -> None:
    """An unknown relay and one that lacks a part of its own are told at the key that names them."""
    assert [(1, "relay", message)] == problems(f"relay: {name}\n")


@pytest.mark.usefixtures("guest")
def test_hint_for_unknown_relays() -> None:
    """Whoever misspells a relay reads which there are."""
    with pytest.raises(ConfigError) as caught:
        plan("relay: pidgeon\n")
    assert caught.value.problems[0].hint.startswith("did you mean 'pigeon'? installed relays: ")


@pytest.mark.usefixtures("guest")
def test_settings_of_all_relays() -> None:
    """What a file says of relays that it does not choose is known, too; a file without any says nothing."""
    loaded = load("-", environ={}, stdin=StringIO("relay: pigeon\npigeon: {where: x}\nskopeo: {binary: y}\n"))
    assert {one.name: one.settings.model_dump().get("binary") for one in loaded.relays} == {
        "pigeon": None,
        "skopeo": "y",
    }
    assert load("-", environ={}, stdin=StringIO("")).relays == ()


@pytest.mark.usefixtures("guest")
def test_settings_without_a_file() -> None:
    """A relay has its defaults; one that cannot do without a setting says which."""
    assert defaults("native", relay.load("native")).settings == relay.load("native").Settings()
    with pytest.raises(RelayUnavailable, match="where"):
        defaults("pigeon", relay.load("pigeon"))
