import hashlib
import json
from pathlib import Path

import pytest

from dregsy.errors import RelayUnavailable
from relays.dockerhost import USUAL, check_address, environment, ssh_command


def context(folder: Path, name: str, *, current: bool = True, **endpoint: object) -> Path:
    """Write a context as ``docker context create`` does; returns where its certificates would be."""
    key = hashlib.sha256(name.encode()).hexdigest()
    meta = folder / "contexts/meta" / key
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}))
    (folder / "config.json").write_text(json.dumps({"currentContext": name} if current else {}))
    return folder / "contexts/tls" / key / "docker"


def test_the_config_goes_before_the_environment(tmp_path: Path) -> None:
    """Then comes DOCKER_HOST, then the context, then the socket that docker uses."""
    context(tmp_path, "far", Host="tcp://far.test:2376")
    environ = {"DOCKER_CONFIG": str(tmp_path), "DOCKER_HOST": "tcp://environment.test:1"}

    assert environment("unix:///own.sock", environ)["DOCKER_HOST"] == "unix:///own.sock"
    assert environment(None, environ)["DOCKER_HOST"] == "tcp://environment.test:1"
    assert environment(None, {"DOCKER_CONFIG": str(tmp_path)})["DOCKER_HOST"] == "tcp://far.test:2376"
    assert environment(None, {"HOME": str(tmp_path)}) == {"DOCKER_HOST": USUAL}
    assert environment(None, {"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "default"}) == {"DOCKER_HOST": USUAL}


@pytest.mark.parametrize(("skips", "verify"), [(False, "1"), (True, "")])
def test_a_context_brings_its_certificates(tmp_path: Path, skips: bool, verify: str) -> None:
    """They count like those of DOCKER_CERT_PATH."""
    folder = context(tmp_path / ".docker", "far", current=False, Host="tcp://far.test:2376", SkipTLSVerify=skips)
    folder.mkdir(parents=True)

    assert environment(None, {"HOME": str(tmp_path), "DOCKER_CONTEXT": "far"}) == {
        "DOCKER_HOST": "tcp://far.test:2376",
        "DOCKER_CERT_PATH": str(folder),
        "DOCKER_TLS_VERIFY": verify,
    }


def test_a_context_that_is_not_there(tmp_path: Path) -> None:
    """To fall back to another daemon than the one that was chosen would be wrong."""
    (tmp_path / "config.json").write_text('{"currentContext": "gone"}')
    with pytest.raises(RelayUnavailable, match="'gone'"):
        environment(None, {"DOCKER_CONFIG": str(tmp_path)})


def test_a_broken_config_of_docker_names_no_context(tmp_path: Path) -> None:
    """It is docker's own to mend, and may hold logins: the usual socket counts."""
    (tmp_path / "config.json").write_text("{not json")

    assert environment(None, {"DOCKER_CONFIG": str(tmp_path)}) == {"DOCKER_HOST": USUAL}


def test_what_else_counts_is_passed_on() -> None:
    """TLS and a pinned version come from the environment; what is empty there counts as not set."""
    known = {"DOCKER_CERT_PATH": "/c", "DOCKER_TLS_VERIFY": "1", "DOCKER_API_VERSION": "1.40"}

    assert environment("tcp://h:1", {**known, "PATH": "/bin"}) == {**known, "DOCKER_HOST": "tcp://h:1"}
    assert environment("tcp://h:1", dict.fromkeys(known, "")) == {"DOCKER_HOST": "tcp://h:1"}
    with pytest.raises(RelayUnavailable, match="DOCKER_API_VERSION"):
        environment("tcp://h:1", {"DOCKER_API_VERSION": "newest"})


@pytest.mark.parametrize(
    "address", ["tcp://user:secret@h:1", "user:secret@h:1", "http://token@h", "ssh://root:secret@h", "tcp://u:p@h/x@y"]
)
def test_an_address_holds_no_login(address: str) -> None:
    """Addresses are shown in messages; a login in one is refused without repeating it."""
    with pytest.raises(ValueError, match="login") as refused:
        check_address(address)
    with pytest.raises(RelayUnavailable) as caught:
        environment(None, {"DOCKER_HOST": address})

    assert "secret" not in f"{refused.value} {caught.value}"


@pytest.mark.parametrize("address", ["unix:///a@b/d.sock", "tcp://h:2376", "ssh://root@h:22/run/d.sock", "h:2375", ""])
def test_other_addresses_are_fine(address: str) -> None:
    """A user's name is no secret where ssh needs one."""
    check_address(address)

    assert environment(address, {})["DOCKER_HOST"] == (address or USUAL)


@pytest.mark.parametrize(
    ("address", "options", "remote"),
    [
        ("ssh://h", [], "docker system dial-stdio"),
        ("ssh://root@h:2222", ["-l", "root", "-p", "2222"], "docker system dial-stdio"),
        ("ssh://h/run/my docker.sock", [], "docker --host 'unix:///run/my docker.sock' system dial-stdio"),
    ],
)
def test_ssh_is_asked_as_docker_asks_it(address: str, options: list[str], remote: str) -> None:
    """User, port and socket of the address reach ssh, which asks for no password and takes no host for an option."""
    command = ssh_command(address)

    assert command[-3:] == ["--", "h", remote]
    assert "BatchMode=yes" in command
    assert command[command.index("BatchMode=yes") + 1 : -3] == options
