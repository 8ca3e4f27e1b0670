"""Which files of certs.d folders count; what is wrong with them is proved in test_tls.py, where they are used."""

from pathlib import Path

import pytest

from dregsy.errors import CredentialsError
from dregsy.model.endpoint import Endpoint
from dregsy.registry import certificates
from tests.testbed.certificates import Authority


def test_the_folder_of_a_host(tmp_path: Path) -> None:
    """The first root that has a folder for the host counts, whichever of its names it has there."""
    for name in ("one", "two/reg.test", "three/reg.test:5000"):
        (tmp_path / name).mkdir(parents=True)
    roots = tuple(tmp_path / name for name in ("none", "one", "two", "three"))

    assert certificates.folder_of(Endpoint("reg.test:5000", certs=roots)) == tmp_path / "two/reg.test"
    assert certificates.folder_of(Endpoint("other.test", certs=roots)) is None


def test_the_files_of_a_host(tmp_path: Path) -> None:
    """Certificates and keys are found by their endings, in the order of their names; the rest is left alone."""
    folder = tmp_path / "reg.test"
    folder.mkdir()
    for name in ("b.crt", "a.key", "a.cert", "README.md", "x.crt.example", ".hidden.crt"):
        (folder / name).touch()
    found = certificates.files_of(Endpoint("reg.test", certs=(tmp_path,)))

    assert [file.name for file in found] == [".hidden.crt", "a.cert", "a.key", "b.crt"]
    assert certificates.pairs(found) == [(folder / "a.cert", folder / "a.key")]
    assert certificates.files_in(None) == []


def test_halves_of_pairs(tmp_path: Path) -> None:
    """A certificate without its key and a key without its certificate are both told, with what is missing."""
    files = [tmp_path / name for name in ("a.cert", "a.key", "b.cert", "c.key")]
    found = list(certificates.halves(files, "reg.test"))

    assert [(one.host, one.message, one.hint) for one in found] == [
        ("reg.test", f"the client certificate {files[2]} has no key", "put its key into b.key beside it"),
        ("reg.test", f"the key {files[3]} has no client certificate", "put the certificate into c.cert beside it"),
    ]


def test_a_pair_in_which_nothing_is_wrong(tmp_path: Path, authority: Authority) -> None:
    """Certificates are looked at, not changed: what comes back is what openssl calls DER."""
    certificate, key = authority.issue(f"fine-{tmp_path.name}", client=True)
    certificates.check_pair(certificate, key, "reg.test")

    assert certificates.authorities(authority.ca_file, "reg.test").startswith(b"\x30\x82")


def test_a_root_that_is_no_folder(tmp_path: Path) -> None:
    """A file in the place of a root holds nothing; a name too long for one is an error."""
    (tmp_path / "file").touch()

    assert certificates.files_of(Endpoint("reg.test", certs=(tmp_path / "file",))) == []
    with pytest.raises(CredentialsError, match="make the folder readable"):
        certificates.files_of(Endpoint("reg.test", certs=(tmp_path / ("x" * 300),)))


def test_whose_folder_counts(tmp_path: Path) -> None:
    """A server that a registry names has its own folder, or else the registry's; another port is another server."""
    for name in ("reg.test:5000", "auth.test"):
        (tmp_path / name).mkdir()
    registry = Endpoint("reg.test:5000", certs=(tmp_path,))
    hosts = ("reg.test:5000", "auth.test", "auth.test:5001", "cdn.test", "reg.test:5001", "x" * 300)

    assert [certificates.counting(registry, host).host for host in hosts] == [
        "reg.test:5000",
        "auth.test",
        "auth.test:5001",
        "reg.test:5000",
        "reg.test:5000",
        "x" * 300,
    ]


def test_docker_hubs_folder_counts_for_its_api(tmp_path: Path) -> None:
    """Docker Hub answers under a name of its own, and sends its clients elsewhere for logins."""
    (tmp_path / "docker.io").mkdir()
    hub = Endpoint("docker.io", certs=(tmp_path,))
    found = [certificates.counting(hub, host) for host in ("registry-1.docker.io", "auth.docker.io")]

    assert [certificates.folder_of(one) for one in found] == [tmp_path / "docker.io"] * 2
