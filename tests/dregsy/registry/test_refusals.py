"""Real handshakes that fail, and what is said about them."""

import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from dregsy.model.endpoint import Endpoint
from dregsy.registry import refusals, tls
from tests.testbed.certificates import Authority

HOST = "localhost:5000"
Pair = tuple[Path, Path]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The CA that the registry's operator has."""
    return Authority(tmp_path_factory.mktemp("good"), "good authority")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA that nobody here trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The host's folder of certs.d."""
    folder = tmp_path / "certs.d" / HOST
    folder.mkdir(parents=True)
    return folder


def trust(folder: Path, authority: Authority, name: str = "ca.crt") -> None:
    """Put a CA there."""
    (folder / name).write_bytes(authority.ca_file.read_bytes())


def show(folder: Path, pair: Pair) -> None:
    """Put a client certificate and its key there."""
    for file, name in zip(pair, ("client.cert", "client.key"), strict=True):
        (folder / name).write_bytes(file.read_bytes())


def serving(pair: Pair, *, clients: Path | None = None, old: bool = False) -> ssl.SSLContext:
    """A registry's side; ``clients`` is the CA of those it lets in, ``old`` knows no TLS 1.3."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    if old:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    return context


def refused(registry: ssl.SSLContext, endpoint: Endpoint, name: str = "localhost") -> refusals.Refusal:
    """Let both sides talk TLS, which fails, and return what the client's side says about that."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = tls.context_for(endpoint).wrap_bio(down, up, server_hostname=name)
    server = registry.wrap_bio(up, down, server_side=True)
    with pytest.raises(ssl.SSLError) as caught:
        talk(client, server)
    return refusals.explain(caught.value, endpoint.host, endpoint)


def talk(client: ssl.SSLObject, server: ssl.SSLObject) -> None:
    """Pass messages to and fro until the client has had enough."""
    for _ in range(5):
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
            client.read()  # with TLS 1.3 the client is through before the server has looked at its certificate
        with suppress(ssl.SSLError):
            server.do_handshake()


def at(folder: Path) -> Endpoint:
    """The registry, with the root that ``folder`` is in."""
    return Endpoint(HOST, certs=(folder.parent,))


def test_an_unknown_authority(folder: Path, good: Authority, stranger: Authority) -> None:
    """The authority that is missing is named, so are the files that were read, and where to put it."""
    trust(folder, good)
    text, hint = refused(serving(stranger.issue("x")), at(folder))

    assert f"the certificate of {HOST} is signed by 'stranger', whom nobody here trusts" in text
    assert f"those in {folder}/ca.crt" in text
    assert f"put its certificate into {folder}/ca.crt" in hint


def test_no_folder(tmp_path: Path, stranger: Authority) -> None:
    """Where there is no folder for the host, the text says where one was looked for, and what to make."""
    roots = (tmp_path / "one", tmp_path / "two")
    text, hint = refused(serving(stranger.issue("x")), Endpoint(HOST, certs=roots))

    assert f"there is no folder for {HOST} in {roots[0]}, {roots[1]}" in text
    assert f"{roots[0] / HOST}/ca.crt" in hint


def test_the_systems_authorities_are_named(
    tmp_path: Path, stranger: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables that replace the system's authorities are part of what is said, most of all when they lead nowhere."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    text, _ = refused(serving(stranger.issue("x")), Endpoint(HOST))

    assert f"SSL_CERT_FILE={tmp_path}/missing, which cannot be read, and SSL_CERT_DIR={tmp_path}" in text


def test_signed_by_itself(folder: Path, tmp_path: Path) -> None:
    """A certificate without any authority is called that."""
    alone = Authority(tmp_path / "alone", "alone")
    text, hint = refused(serving((alone.ca_file, alone.key_file)), at(folder))

    assert f"the certificate of {HOST} is signed by itself" in text
    assert f"{folder}/ca.crt" in hint


def test_expired(folder: Path, good: Authority) -> None:
    """An expired certificate is told with its date, and nobody is asked to add a CA for it."""
    trust(folder, good)
    text, hint = refused(serving(good.issue("old", start_days=-9, days=-3)), at(folder))

    assert text.startswith(f"the certificate of {HOST} expired on 2")
    assert text.endswith(" UTC")
    assert "renewed" in hint
    assert "ca.crt" not in hint


def test_expired_and_unknown(folder: Path, good: Authority, stranger: Authority) -> None:
    """Of an expired certificate by an unknown authority both are said: adding the CA alone would not help."""
    trust(folder, good)
    text, _ = refused(serving(stranger.issue("old", start_days=-9, days=-3)), at(folder))

    assert "is signed by 'stranger', whom nobody here trusts, and expired on 2" in text


def test_not_yet_valid(folder: Path, good: Authority) -> None:
    """A certificate of tomorrow is told with its date, and the clock is suspected."""
    trust(folder, good)
    text, hint = refused(serving(good.issue("early", start_days=3)), at(folder))

    assert text.startswith(f"the certificate of {HOST} is not valid before 2")
    assert "clock" in hint
    assert "ca.crt" not in hint


def test_an_expired_authority(folder: Path, tmp_path: Path, stranger: Authority) -> None:
    """Where it is the authority's own certificate that ran out, it is that one which is named."""
    old = Authority(tmp_path / "old", "old authority", days=-2)
    both = old.ca_file.read_bytes() + stranger.ca_file.read_bytes()  # a file of old ones alone is refused before
    (folder / "ca.crt").write_bytes(both)
    text, hint = refused(serving(old.issue("server")), at(folder))

    assert f"the certificate of {HOST} is signed by 'old authority', whose certificate expired on 2" in text
    assert "the authority's certificate renewed" in hint


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["x.test", "10.0.0.1"], "it is for x.test, 10.0.0.1"),
        ([], "it names no host"),
        ([f"{one}.test" for one in "abcdefg"], "it is for a.test, b.test, c.test, d.test, e.test and 2 more"),
    ],
)
@pytest.mark.parametrize("asked", ["localhost", "127.0.0.1"])
def test_wrong_name(folder: Path, good: Authority, names: list[str], told: str, asked: str) -> None:
    """The names for which the certificate was issued are told."""
    trust(folder, good)
    text, hint = refused(serving(good.issue("other", names=names)), at(folder), asked)

    assert text == f"the certificate of {HOST} is not for this name: {told}"
    assert "name that its certificate has" in hint
    assert "ca.crt" not in hint


@pytest.mark.parametrize("old", [True, False])
def test_a_client_certificate_is_wanted(folder: Path, good: Authority, old: bool) -> None:
    """Without a pair the text says that there is none, where it was looked for, and where to put it."""
    trust(folder, good)
    registry = serving(good.issue("server"), clients=good.ca_file, old=old)
    text, hint = refused(registry, at(folder))

    assert f"{folder} was read" in text
    assert "client certificate" in text
    assert hint == f"put yours into {folder}/client.cert and client.key"


@pytest.mark.parametrize("old", [True, False])
def test_a_client_certificate_is_refused(folder: Path, good: Authority, stranger: Authority, old: bool) -> None:
    """A pair that the registry does not accept is named, with the registry's reason."""
    trust(folder, good)
    show(folder, stranger.issue("client", client=True))
    registry = serving(good.issue("server"), clients=good.ca_file, old=old)
    text, hint = refused(registry, at(folder))

    assert text == f"{HOST} refuses the client certificate {folder}/client.cert: unknown ca"
    assert "a certificate that it accepts" in hint


def test_another_disagreement(folder: Path, good: Authority) -> None:
    """What has nothing to do with certificates is told in TLS's words."""
    trust(folder, good)
    registry = serving(good.issue("server"))
    registry.minimum_version = registry.maximum_version = ssl.TLSVersion.TLSv1_2
    registry.set_ciphers("AES128-SHA")  # needs an RSA key, which this server has not
    text, _ = refused(registry, at(folder))

    assert text.startswith(f"{HOST} refuses to talk TLS, perhaps for want of a client certificate: handshake failure")


@pytest.mark.parametrize("spoil", [lambda folder: folder.rmdir(), lambda folder: (folder / "a.key").write_text("x")])
def test_nothing_keeps_it_from_being_told(folder: Path, spoil: Callable[[Path], object]) -> None:
    """A folder that went away or bad meanwhile does not turn the explanation into another error."""
    spoil(folder)
    error = ssl.SSLCertVerificationError("x")
    error.verify_code, error.verify_message = 26, "unsuitable certificate purpose"

    assert "unsuitable certificate purpose" in refusals.explain(error, HOST, at(folder)).text
