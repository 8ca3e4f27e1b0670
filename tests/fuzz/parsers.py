"""What is fuzzed: for each parser the errors that it may raise, and what must hold of all that it accepts."""

import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from dregsy.config import planfile as plans
from dregsy.config.load import load
from dregsy.credentials.dockerconfig import DockerConfig
from dregsy.errors import ConfigError, CredentialsError, DregsyError, ImageError, RegistryError, UsageError
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Login, Secret
from dregsy.model.manifest import Manifest
from dregsy.model.ref import Ref, is_repository, is_tag
from dregsy.registry import certificates, challenge
from dregsy.registry.addresses import is_safe
from dregsy.registry.paging import next_query

HOST = "registry.example.com"
LOGIN = Login("user", Secret("hunter2"))


@contextmanager
def refused(kind: type[DregsyError]) -> Iterator[list[str]]:
    """Note what an error of a kind says, line by line."""
    told: list[str] = []
    try:
        yield told
    except kind as error:
        told += str(error).splitlines()
        raise


def reference(data: bytes) -> None:
    """A reference that was read is printed so that it is read as the same, and its parts are legal."""
    with suppress(ValueError):
        ref = Ref.parse(data.decode("utf-8", "surrogateescape"))
        assert Ref.parse(str(ref)) == ref
        assert is_repository(ref.repository)
        assert ref.tag is None or is_tag(ref.tag)


def header(data: bytes) -> None:
    """A challenge leads to a safe address only, and never carries a password in it."""
    for one in challenge.parse([data.decode("utf-8", "surrogateescape")]):
        with suppress(RegistryError):
            wanted = challenge.token_request(one, LOGIN, ["repository:a/b:pull"])
            assert is_safe(wanted.url, verify=True)
            assert urlsplit(wanted.url).username is None
            assert "hunter2" not in wanted.url
            wanted.url.encode("ascii")


def token(data: bytes) -> None:
    """A token holds for a bounded time, and can be sent."""
    with suppress(RegistryError):
        found = challenge.parse_token(data, 1000.0)
        assert 1000.0 < found.expires_at < 1000.0 + 10**8
        found.secret.reveal().encode("ascii")
        assert found.secret.reveal().isprintable()


def manifest(data: bytes) -> None:
    """A manifest keeps its bytes and is digested from them; what it names has a digest and a size."""
    with suppress(ImageError):
        found = Manifest.parse(data)
        assert found.raw == data
        assert found.digest == Digest.of(data)
        for one in (*found.children, *found.blobs):
            assert Digest.parse(str(one.digest)) == one.digest
            assert one.size >= -1


def link(data: bytes) -> None:
    """A next page is a query of plain texts, on the same host."""
    with suppress(RegistryError):
        query = next_query([data.decode("utf-8", "surrogateescape")], f"https://{HOST}/v2/_catalog")
        assert query is None or all(map(str.isascii, query.values()))


def config(data: bytes) -> None:
    """A config is a plan, or has problems, which are printable and show nothing of the environment."""
    with suppress(ConfigError), refused(ConfigError) as told:
        load("-", environ={"X": "hunter2"}, stdin=StringIO(data.decode("utf-8", "surrogateescape")))
    assert all("hunter2" not in one and one.isprintable() for one in told)


def dockerconfig(data: bytes) -> None:
    """Docker's config gives a login or an error that shows none."""
    with suppress(CredentialsError), refused(CredentialsError) as told:
        found = DockerConfig.parse("config.json", data.decode("utf-8", "replace"), HOST)
        for _, key in found.entries(HOST, "a/b"):
            found.login(key, HOST)
        found.helper(HOST, HOST)
    assert all("s3cret" not in one for one in told)


def certificate(data: bytes) -> None:
    """A file of certificates that was accepted is accepted by OpenSSL."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "ca.crt"
        file.write_bytes(data)
        with suppress(CredentialsError):
            found = certificates.authorities(file, HOST)
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=found)


def planfile(data: bytes) -> None:
    """A plan file is legal in all its parts, or is refused in a way that can be printed."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "plan.json"
        file.write_bytes(data)
        with suppress(UsageError), refused(UsageError) as told:
            proposal, _ = plans.read(str(file))
            for copy in proposal.copies:
                assert copy.source.digest is not None
                assert all(is_repository(target.ref.repository) for target in copy.targets)
    assert all(one.isprintable() for one in told)


PARSERS: Mapping[str, Callable[[bytes], None]] = {
    one.__name__: one for one in (reference, header, token, manifest, link, config, dockerconfig, certificate, planfile)
}
CORPUS = Path(__file__).parent / "corpus"


def seeds(name: str) -> list[bytes]:
    """Return what is kept for a parser: the inputs to begin with, and those that once broke it."""
    return json_list(CORPUS / f"{name}.json")


def json_list(file: Path) -> list[bytes]:
    """Read a list of texts; characters beyond Latin-1 stand for their UTF-8."""
    return [text.encode("utf-8", "surrogateescape") for text in json.loads(file.read_text("utf-8"))]
