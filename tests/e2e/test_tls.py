"""Certificates, through the command and real TLS registries."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dregsy.embedded import images
from tests.testbed.certificates import Authority
from tests.testbed.command import Done, Dregsy, mirror
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry


@pytest.fixture
def target(tmp_path: Path, authority: Authority) -> Any:
    """A registry that wants certificates of clients."""
    server = authority.issue("server")
    with DockerRegistry(tmp_path / "tls", tls=server, client_ca=authority.ca_file) as registry:
        yield registry


def run(tmp_path: Path, source: DockerRegistry, target: DockerRegistry, repo: str, **location: Any) -> Done:
    """Mirror one repository to ``target`` with the certificates in tmp_path/certs.d."""
    (tmp_path / "certs.d").mkdir(exist_ok=True)
    push(source.host, repo, images.image(repo), "v1")
    config = mirror(source.host, target.host, {"from": repo})
    config["tasks"][0]["target"].update(location)
    config["native"] = {"certs-dir": str(tmp_path / "certs.d")}
    dregsy = Dregsy(tmp_path / "user")
    return dregsy.run("-config", dregsy.config(config))


def trust(tmp_path: Path, folder: str, authority: Authority, *, pair: bool) -> None:
    """Fill a folder of certs.d, with or without a client's certificate and key."""
    home = tmp_path / "certs.d" / folder
    home.mkdir(parents=True)
    shutil.copy(authority.ca_file, home / "ca.crt")
    if pair:
        certificate, key = authority.issue("client", client=True)
        shutil.copy(certificate, home / "client.cert")
        shutil.copy(key, home / "client.key")


@pytest.mark.parametrize("with_port", [True, False])
def test_mutual_tls(
    tmp_path: Path, authority: Authority, target: DockerRegistry, registry_a: DockerRegistry, repo: str, with_port: bool
) -> None:
    """A folder named host:port, or just host, opens a registry with its own CA that wants client certificates."""
    trust(tmp_path, target.host if with_port else "127.0.0.1", authority, pair=True)

    assert ((done := run(tmp_path, registry_a, target, repo)).code, done.err) == (0, "")


def test_no_client_certificate(
    tmp_path: Path, authority: Authority, target: DockerRegistry, registry_a: DockerRegistry, repo: str
) -> None:
    """Without the pair it fails, and the text says which files are wanted; http is not tried instead."""
    trust(tmp_path, target.host, authority, pair=False)

    done = run(tmp_path, registry_a, target, repo)

    assert done.code == 1
    assert "client.cert and client.key" in done.said


def test_unknown_authority(tmp_path: Path, target: DockerRegistry, registry_a: DockerRegistry, repo: str) -> None:
    """An authority that nobody trusts is refused, on loopback too, and the text says where to put it."""
    done = run(tmp_path, registry_a, target, repo)

    assert done.code == 1
    assert f"the certificate of {target.host} is signed by 'testbed authority', whom nobody here trusts" in done.said
    assert f"put its certificate into {tmp_path}/certs.d/{target.host}/ca.crt" in done.said


def test_expired_server(tmp_path: Path, authority: Authority, registry_a: DockerRegistry, repo: str) -> None:
    """A server certificate that has run out is refused and called by its name."""
    server = authority.issue("expired", start_days=-5, days=-1)
    trust(tmp_path, "127.0.0.1", authority, pair=False)
    with DockerRegistry(tmp_path / "tls", tls=server) as target:
        done = run(tmp_path, registry_a, target, repo)

    assert done.code == 1
    assert f"the certificate of {target.host} expired on 2" in done.said
    assert "ca.crt" not in done.said


def test_skip_tls_verify(tmp_path: Path, authority: Authority, registry_a: DockerRegistry, repo: str) -> None:
    """``skip-tls-verify`` accepts what nobody signed."""
    with DockerRegistry(tmp_path / "tls", tls=authority.issue("server")) as target:
        done = run(tmp_path, registry_a, target, repo, **{"skip-tls-verify": True})

    assert (done.code, done.err) == (0, "")


def test_key_without_certificate(
    tmp_path: Path, authority: Authority, target: DockerRegistry, registry_a: DockerRegistry, repo: str
) -> None:
    """Half a pair is an error that names the file."""
    trust(tmp_path, target.host, authority, pair=True)
    (tmp_path / "certs.d" / target.host / "client.cert").unlink()

    done = run(tmp_path, registry_a, target, repo)

    assert done.code == 1
    assert "client.key" in done.said


def test_the_wrong_client_certificate(
    tmp_path: Path, authority: Authority, target: DockerRegistry, registry_a: DockerRegistry, repo: str
) -> None:
    """A pair that the registry does not accept is named by its file."""
    trust(tmp_path, target.host, authority, pair=False)
    stranger = Authority(tmp_path / "stranger", "stranger")
    home = tmp_path / "certs.d" / target.host
    for file, name in zip(stranger.issue("client", client=True), ("client.cert", "client.key"), strict=True):
        shutil.copy(file, home / name)

    done = run(tmp_path, registry_a, target, repo)

    assert done.code == 1
    assert f"{target.host} refuses the client certificate {home}/client.cert: " in done.said


@pytest.mark.parametrize(
    ("issued", "told"),
    [
        ({"names": ["other.test", "10.0.0.1"]}, "is not for this name: it is for other.test, 10.0.0.1"),
        ({"start_days": 3}, "is not valid before 2"),
    ],
)
def test_a_wrong_server_certificate(
    tmp_path: Path, authority: Authority, registry_a: DockerRegistry, repo: str, issued: dict[str, Any], told: str
) -> None:
    """Another name and another time are told as what they are, and nobody is asked for a CA."""
    trust(tmp_path, "127.0.0.1", authority, pair=False)
    with DockerRegistry(tmp_path / "tls", tls=authority.issue(f"wrong-{tmp_path.name}", **issued)) as target:
        done = run(tmp_path, registry_a, target, repo)

    assert done.code == 1
    assert f"the certificate of {target.host} {told}" in done.said
    assert "ca.crt" not in done.said


def test_an_encrypted_key(
    tmp_path: Path, authority: Authority, target: DockerRegistry, registry_a: DockerRegistry, repo: str
) -> None:
    """A key with a passphrase is an error that tells how to remove it; nobody is asked for it, and nothing waits."""
    trust(tmp_path, target.host, authority, pair=True)
    key = tmp_path / "certs.d" / target.host / "client.key"
    command = ["openssl", "pkcs8", "-topk8", "-passout", "pass:secret", "-in", str(key), "-out", f"{key}.new"]
    subprocess.run(command, check=True, capture_output=True)
    shutil.move(f"{key}.new", key)

    done = run(tmp_path, registry_a, target, repo)

    assert done.code == 1
    assert f"the key {key} is protected by a passphrase" in done.said
    assert "openssl pkey" in done.said
