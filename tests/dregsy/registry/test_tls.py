"""Real certificates in certs.d folders, and real handshakes over loopback."""

import asyncio
import ctypes
import os
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from dregsy.errors import CredentialsError
from dregsy.model.endpoint import Endpoint
from dregsy.registry import tls
from tests.testbed.certificates import Authority

HOST = "127.0.0.1:5000"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The CA that the registry's operator has."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA that nobody here trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    """A certs.d folder with an empty folder for the host."""
    (tmp_path / "certs.d" / HOST).mkdir(parents=True)
    return tmp_path / "certs.d"


def endpoint(*roots: Path, host: str = HOST, verify: bool = True) -> Endpoint:
    """A registry that looks for certificates in these folders."""
    return Endpoint(host, verify=verify, certs=roots)


def trust(folder: Path, authority: Authority, name: str = "ca.crt") -> None:
    """Put the CA into a host's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(authority.ca_file.read_bytes())


def show_pair(folder: Path, authority: Authority, name: str = "client") -> None:
    """Put a client certificate and its key into a host's folder."""
    certificate, key = authority.issue(f"{name}-{folder.parent.parent.name}", client=True)
    (folder / f"{name}.cert").write_bytes(certificate.read_bytes())
    (folder / f"{name}.key").write_bytes(key.read_bytes())


def server(pair: tuple[Path, Path], clients: Path | None = None) -> ssl.SSLContext:
    """What a registry's TLS looks like; ``clients`` is the CA of the clients it lets in."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    return context


async def talk(registry: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost") -> str:
    """Connect over loopback and return what the registry said, or why it came to nothing."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"welcome")
        writer.close()

    async with asyncio.timeout(60), await asyncio.start_server(answer, "127.0.0.1", 0, ssl=registry) as listening:
        port = listening.sockets[0].getsockname()[1]
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=name)
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
        except ssl.SSLError as error:
            return error.reason
        try:
            return (await reader.read()).decode() or "closed"
        except ssl.SSLError as error:
            return error.reason
        except ConnectionError:
            return "closed"
        finally:
            writer.close()


async def test_the_hosts_own_ca_is_trusted(certs: Path, authority: Authority) -> None:
    """A certificate signed by the CA in the host's folder is good for the names in it."""
    trust(certs / HOST, authority)
    client = tls.context_for(endpoint(certs))
    registry = server(authority.issue("server"))

    assert [await talk(registry, client, name) for name in ("localhost", "127.0.0.1", "::1")] == ["welcome"] * 3


@pytest.mark.parametrize(
    ("issue", "reason"),
    [
        (lambda own, _: own.issue("expired", start_days=-5, days=-1), "certificate has expired"),
        (lambda own, _: own.issue("early", start_days=5), "certificate is not yet valid"),
        (lambda own, _: own.issue("other", names=["other.test"]), "Hostname mismatch"),
        (lambda own, _: own.issue("nameless", names=[]), "Hostname mismatch"),
        (lambda _, other: other.issue("strange"), "unable to get local issuer certificate"),
    ],
)
async def test_a_wrong_certificate_is_refused(
    certs: Path,
    authority: Authority,
    stranger: Authority,
    issue: Callable[[Authority, Authority], tuple[Path, Path]],
    reason: str,
) -> None:
    """Expired, not yet valid, for another host, for no host, from another CA: no connection."""
    trust(certs / HOST, authority)

    assert reason in await talk(server(issue(authority, stranger)), tls.context_for(endpoint(certs)))


async def test_the_systems_cas_are_trusted_too(
    certs: Path, authority: Authority, stranger: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder adds to the system's CAs, which SSL_CERT_FILE names, and takes none away."""
    monkeypatch.setenv("SSL_CERT_FILE", str(stranger.ca_file))
    trust(certs / HOST, authority)
    client = tls.context_for(endpoint(certs))

    assert await talk(server(stranger.issue("s")), client) == "welcome"
    assert await talk(server(authority.issue("s")), client) == "welcome"


async def test_several_cas_are_all_trusted(certs: Path, authority: Authority, stranger: Authority) -> None:
    """Several certificates in a file, several files, comments and line ends of any kind are fine."""
    both = b"# our \xc3\xa4ltere CA\r\n" + authority.ca_file.read_bytes().replace(b"\n", b"\r\n")
    (certs / HOST / "a.crt").write_bytes(both + b"\nand another\n" + authority.ca_file.read_bytes())
    trust(certs / HOST, stranger, "b.crt")
    client = tls.context_for(endpoint(certs))

    assert [await talk(server(one.issue("s")), client) for one in (authority, stranger)] == ["welcome"] * 2


async def test_a_server_certificate_can_be_trusted_by_itself(certs: Path, authority: Authority) -> None:
    """The very certificate of the registry in the folder is enough, as it is for docker."""
    pair = authority.issue("pinned")
    (certs / HOST / "ca.crt").write_bytes(pair[0].read_bytes())

    assert await talk(server(pair), tls.context_for(endpoint(certs))) == "welcome"


async def test_an_old_ca_beside_its_successor_is_no_fault(certs: Path, authority: Authority) -> None:
    """While a CA is replaced both stand in one file, and the older may expire there."""
    old, _ = authority.issue("old", start_days=-5, days=-1)
    (certs / HOST / "ca.crt").write_bytes(old.read_bytes() + authority.ca_file.read_bytes())

    assert await talk(server(authority.issue("s")), tls.context_for(endpoint(certs))) == "welcome"


async def test_mutual_tls(certs: Path, authority: Authority) -> None:
    """A registry that wants a client certificate gets the pair from the folder, and refuses who has none."""
    trust(certs / HOST, authority)
    registry = server(authority.issue("server"), clients=authority.ca_file)
    without = await talk(registry, tls.context_for(endpoint(certs)))
    show_pair(certs / HOST, authority)

    assert "welcome" not in without
    assert await talk(registry, tls.context_for(endpoint(certs))) == "welcome"


async def test_nothing_is_verified_where_that_is_asked_for(
    certs: Path, authority: Authority, stranger: Authority
) -> None:
    """``skip-tls-verify`` accepts any certificate for any name, minds no CA file, and still shows the client pair."""
    (certs / HOST / "ca.crt").write_bytes(b"garbage")
    show_pair(certs / HOST, authority)
    registry = server(stranger.issue("x", names=["other.test"], days=-0.5), clients=authority.ca_file)

    assert await talk(registry, tls.context_for(endpoint(certs, verify=False))) == "welcome"


def test_old_tls_is_refused(certs: Path) -> None:
    """Below TLS 1.2 there is no connection, whether verified or not."""
    contexts = [tls.context_for(endpoint(certs, verify=verify)) for verify in (True, False)]

    assert [one.minimum_version for one in contexts] == [ssl.TLSVersion.TLSv1_2] * 2


FOLDERS = [
    ("reg.test:5000", ["reg.test:5000", "reg.test"], "reg.test:5000"),
    ("reg.test:5000", ["reg.test"], "reg.test"),
    ("reg.test:5000", ["reg.test:5001"], None),
    ("reg.test", ["reg.test:443"], None),
    ("reg.test", ["reg.test"], "reg.test"),
    ("REG.test", ["reg.test"], "reg.test"),
    ("[::1]:5000", ["[::1]:5000", "::1:5000", "[::1]", "::1"], "[::1]:5000"),
    ("[::1]:5000", ["::1:5000", "[::1]", "::1"], "::1:5000"),
    ("[::1]:5000", ["[::1]", "::1"], "[::1]"),
    ("[::1]:5000", ["::1"], "::1"),
    ("docker.io", ["registry-1.docker.io", "docker.io"], "docker.io"),
    ("docker.io", ["registry-1.docker.io"], "registry-1.docker.io"),
    ("registry-1.docker.io", ["docker.io"], "docker.io"),
    ("..", ["x"], None),
    (".", ["x"], None),
    ("..:5000", ["x"], None),
    ("a/../x", ["x"], None),
    ("x:99999", ["x"], None),
    ("[::1", ["::1"], None),
    ("", ["x"], None),
]


@pytest.mark.parametrize(("host", "present", "expected"), FOLDERS)
def test_which_folder_counts(
    tmp_path: Path, authority: Authority, host: str, present: list[str], expected: str | None
) -> None:
    """Host with port before host alone; IPv6 with and without brackets; Docker Hub under each of its names."""
    trust(tmp_path, authority)
    for name in present:
        trust(tmp_path / name, authority)
    used = [str(Path(path).relative_to(tmp_path)) for path, *_ in tls.fingerprint(endpoint(tmp_path, host=host))]

    assert used == ([f"{expected}/ca.crt"] if expected else [])


def test_the_first_root_with_a_folder_counts(tmp_path: Path, authority: Authority) -> None:
    """Roots that are missing or have nothing for the host are passed over; later ones are not merged in."""
    (tmp_path / "empty").mkdir()
    for root in ("second", "third"):
        trust(tmp_path / root / "127.0.0.1", authority)
    roots = [tmp_path / name for name in ("missing", "empty", "second", "third")]
    used = [path for path, *_ in tls.fingerprint(endpoint(*roots))]

    assert used == [str(tmp_path / "second" / "127.0.0.1" / "ca.crt")]


def test_no_folder_is_fine(tmp_path: Path) -> None:
    """Without certificates of one's own the system's CAs are there, and everything is verified."""
    context = tls.context_for(endpoint(tmp_path))

    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert tls.fingerprint(endpoint(tmp_path)) == ()


def encrypted(authority: Authority, folder: Path) -> None:
    """A client pair whose key has a passphrase."""
    show_pair(folder, authority)
    key = serialization.load_pem_private_key((folder / "client.key").read_bytes(), None)
    (folder / "client.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
    )


def mixed(authority: Authority, folder: Path) -> None:
    """A client certificate beside the key of another."""
    show_pair(folder, authority)
    _, key = authority.issue("another", client=True)
    (folder / "client.key").write_bytes(key.read_bytes())


def outdated(authority: Authority, folder: Path) -> None:
    """A client pair that has expired."""
    certificate, key = authority.issue("outdated", client=True, start_days=-9, days=-3)
    (folder / "client.cert").write_bytes(certificate.read_bytes())
    (folder / "client.key").write_bytes(key.read_bytes())


def alone(suffix: str) -> Callable[[Authority, Path], None]:
    """One half of a client pair."""

    def write(authority: Authority, folder: Path) -> None:
        show_pair(folder, authority)
        (folder / f"client.{suffix}").unlink()

    return write


def key_of(data: bytes) -> Callable[[Authority, Path], None]:
    """A client pair whose key file holds something else."""

    def write(authority: Authority, folder: Path) -> None:
        show_pair(folder, authority)
        (folder / "client.key").write_bytes(data)

    return write


def key_linked_to(path: str) -> Callable[[Authority, Path], None]:
    """A client pair whose key is a link to somewhere else."""

    def write(authority: Authority, folder: Path) -> None:
        show_pair(folder, authority)
        (folder / "client.key").unlink()
        (folder / "client.key").symlink_to(path)

    return write


def ca_of(data: bytes) -> Callable[[Authority, Path], object]:
    """A CA file that holds something else."""
    return lambda _, folder: (folder / "ca.crt").write_bytes(data)


def ca_issued(start_days: float, days: float) -> Callable[[Authority, Path], None]:
    """A CA file whose certificate is valid at other times."""

    def write(authority: Authority, folder: Path) -> None:
        certificate, _ = authority.issue("ca", start_days=start_days, days=days)
        (folder / "ca.crt").write_bytes(certificate.read_bytes())

    return write


PEM = b"-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n"
BAD = [
    ("ca.crt", "is empty", ca_of(b"")),
    ("ca.crt", "is empty", ca_of(b" \n")),
    ("ca.crt", "holds no certificate", ca_of(b"\x00\xff garbage")),
    ("ca.crt", "is damaged", ca_of(PEM % b"AAAA")),
    ("ca.crt", "is damaged", ca_of(PEM % b"!")),
    ("ca.crt", "is damaged", ca_of(PEM % b"A")),
    ("ca.crt", "is damaged", ca_of(PEM % b"")),
    ("ca.crt", "expired on 2", ca_issued(-9, -3)),
    ("ca.crt", "is not valid before 2", ca_issued(3, 9)),
    ("ca.crt", "cannot read", lambda _, folder: (folder / "ca.crt").mkdir()),
    ("ca.crt", "cannot read", lambda _, folder: (folder / "ca.crt").symlink_to("missing")),
    ("ca.crt", "is not a regular file", lambda _, folder: os.mkfifo(folder / "ca.crt")),
    ("ca.crt", "is not a regular file", lambda _, folder: (folder / "ca.crt").symlink_to("/dev/zero")),
    ("ca.crt", "is larger than 1 MiB", ca_of(b"\n" * (2**20 + 1))),
    ("client.key", "is not a regular file", key_linked_to("/dev/zero")),
    ("client.key", "has no client certificate", alone("cert")),
    ("client.cert", "has no key", alone("key")),
    ("client.key", "is protected by a passphrase", encrypted),
    ("client.key", "does not belong to", mixed),
    ("client.cert", "expired on 2", outdated),
    ("client.key", "is empty", key_of(b"")),
    ("client.key", "holds no private key", key_of(b"garbage")),
    (
        "client.key",
        "TLS cannot use",
        key_of(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
    ),
]


@pytest.mark.parametrize(("file", "reason", "spoil"), BAD)
def test_a_bad_file_is_named(
    certs: Path, authority: Authority, file: str, reason: str, spoil: Callable[[Authority, Path], object]
) -> None:
    """The error names the file, what is wrong with it and what to do, and never waits for a passphrase."""
    folder = certs / HOST
    spoil(authority, folder)
    with pytest.raises(CredentialsError) as caught:
        tls.context_for(endpoint(certs))

    assert str(folder / file) in caught.value.message
    assert reason in caught.value.message
    assert (caught.value.host, bool(caught.value.hint)) == (HOST, True)


def test_a_root_that_cannot_be_searched_is_named(tmp_path: Path) -> None:
    """Where it can't be told whether there are certificates, that is an error and no silence."""
    root = tmp_path / ("x" * 300)
    with pytest.raises(CredentialsError, match="cannot look for certificates in") as caught:
        tls.context_for(endpoint(root))

    assert str(root) in caught.value.message


def test_other_files_are_left_alone(certs: Path, authority: Authority) -> None:
    """Notes, backups and the hidden folders of mounted secrets are no certificates."""
    trust(certs / HOST, authority)
    for name in ("README", "ca.pem", "ca.crt.bak", "client.key.old", ".key"):
        (certs / HOST / name).write_text("garbage")
    (certs / HOST / "..data").mkdir()

    assert len(tls.fingerprint(endpoint(certs))) == 1
    assert tls.context_for(endpoint(certs)).verify_mode == ssl.CERT_REQUIRED


def test_the_fingerprint_tells_of_every_change(certs: Path, authority: Authority) -> None:
    """New, rewritten and removed files change it; looking again does not."""
    folder = certs / HOST
    seen = [tls.fingerprint(endpoint(certs))]
    trust(folder, authority)
    seen.append(tls.fingerprint(endpoint(certs)))
    os.utime(folder / "ca.crt", ns=(1, 1))
    seen.append(tls.fingerprint(endpoint(certs)))
    show_pair(folder, authority)
    seen.append(tls.fingerprint(endpoint(certs)))
    (folder / "ca.crt").unlink()
    (folder / "ca.crt").symlink_to("missing")
    seen.append(tls.fingerprint(endpoint(certs)))

    assert len(set(seen)) == len(seen)
    assert tls.fingerprint(endpoint(certs)) == seen[-1]


# --- all that is wrong at once, and files that change while a program runs -------------------------------------------


def test_all_faults_at_once(certs: Path, authority: Authority) -> None:
    """Whoever asks what is wrong learns of every file; a connection's error names the first and says how to see all."""
    folder = certs / HOST
    mixed(authority, folder)
    (folder / "ca.crt").write_bytes(b"garbage")
    (folder / "old.crt").write_bytes(authority.issue("old-ca", start_days=-9, days=-3)[0].read_bytes())
    (folder / "lone.key").write_bytes(b"x")
    found = tls.faults(endpoint(certs))
    with pytest.raises(CredentialsError, match=r"ca\.crt holds no certificate") as caught:
        tls.context_for(endpoint(certs))

    named = [
        next(name for name in ("ca.crt", "old.crt", "lone.key", "client.key") if name in one.message) for one in found
    ]
    assert named == ["ca.crt", "old.crt", "lone.key", "client.key"]
    assert "dregsy check" in caught.value.hint


def test_no_faults(certs: Path, authority: Authority) -> None:
    """A good folder has none, and neither has a host without a folder."""
    trust(certs / HOST, authority)
    show_pair(certs / HOST, authority)

    assert tls.faults(endpoint(certs)) + tls.faults(endpoint(certs, host="other.test")) == []


async def test_files_that_nobody_may_read(authority: Authority) -> None:
    """Files and folders without the right to read them are told as that, and heal when they get it."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        folder = root / HOST
        trust(folder, authority)
        settings = tls.Contexts(endpoint(root))
        (folder / "ca.crt").chmod(0)
        with somebody_else(), pytest.raises(CredentialsError, match=r"cannot read .*ca\.crt: Permission denied"):
            settings.at(HOST)
        (folder / "ca.crt").chmod(0o644)
        folder.chmod(0)
        with somebody_else(), pytest.raises(CredentialsError, match=r"cannot look for certificates in .*: Permission"):
            settings.at(HOST)
        folder.chmod(0o755)
        with somebody_else():
            healed = settings.at(HOST)

    assert await talk(server(authority.issue("s")), healed) == "welcome"


@contextmanager
def somebody_else() -> Iterator[None]:
    """Be nobody, in this thread and towards the file system only."""
    libc = ctypes.CDLL(None)
    libc.setfsuid(65534)
    try:
        yield
    finally:
        libc.setfsuid(0)


async def test_a_renewed_ca_counts_at_once(certs: Path, authority: Authority, stranger: Authority) -> None:
    """Settings stay the same object until a file changes, and are then those of the new file."""
    trust(certs / HOST, authority)
    settings = tls.Contexts(endpoint(certs))
    before = settings.at(HOST)
    again = settings.at(HOST)
    trust(certs / HOST, stranger)

    assert before is again
    assert await talk(server(stranger.issue("s")), settings.at(HOST)) == "welcome"
    assert "issuer" in await talk(server(authority.issue("s")), settings.at(HOST))


async def test_a_mounted_secret_that_is_swapped(certs: Path, authority: Authority, stranger: Authority) -> None:
    """The way of Kubernetes: files are links through ``..data``, which is itself swapped for another folder."""
    folder = certs / HOST
    for version, one in (("..1", authority), ("..2", stranger)):
        trust(folder / version, one)
        show_pair(folder / version, one)
    (folder / "..data").symlink_to("..1")
    for name in ("ca.crt", "client.cert", "client.key"):
        (folder / name).symlink_to(f"..data/{name}")
    settings = tls.Contexts(endpoint(certs))
    registries = [server(one.issue("s"), clients=one.ca_file) for one in (authority, stranger)]
    before = [await talk(one, settings.at(HOST)) == "welcome" for one in registries]
    (folder / "..data_tmp").symlink_to("..2")
    (folder / "..data_tmp").replace(folder / "..data")

    assert before == [True, False]
    assert [await talk(one, settings.at(HOST)) == "welcome" for one in registries] == [False, True]


async def test_the_systems_file_is_followed(
    certs: Path, tmp_path: Path, authority: Authority, stranger: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system's store that is updated counts from the next connection on."""
    store = tmp_path / "store.pem"
    store.write_bytes(stranger.ca_file.read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(store))
    settings = tls.Contexts(endpoint(certs))
    before = await talk(server(authority.issue("s")), settings.at(HOST))
    store.write_bytes(authority.ca_file.read_bytes())

    assert "issuer" in before
    assert await talk(server(authority.issue("s")), settings.at(HOST)) == "welcome"


async def test_the_systems_folder_counts(
    certs: Path, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_DIR is a folder as ``openssl rehash`` makes it, where files may come later."""
    store = tmp_path / "store"
    store.mkdir()
    monkeypatch.setenv("SSL_CERT_DIR", str(store))
    client = tls.Contexts(endpoint(certs)).at(HOST)
    before = await talk(server(authority.issue("s")), client)
    (store / "ca.pem").write_bytes(authority.ca_file.read_bytes())
    subprocess.run(["openssl", "rehash", str(store)], check=True, capture_output=True)

    assert "issuer" in before
    assert await talk(server(authority.issue("s")), client) == "welcome"


async def test_a_renewal_in_progress_breaks_nothing(certs: Path, authority: Authority) -> None:
    """While a pair is half renewed the old one goes on to be used; when it stays so, that is an error that heals."""
    folder = certs / HOST
    trust(folder, authority)
    show_pair(folder, authority)
    now = [0.0]
    settings = tls.Contexts(endpoint(certs), now=lambda: time.time() + now[0])
    before = settings.at(HOST)
    certificate, key = authority.issue("renewed", client=True)
    (folder / "client.cert").write_bytes(certificate.read_bytes())
    meanwhile = settings.at(HOST)
    now[0] = 2 * tls.RENEWAL_SECONDS
    for _ in range(2):  # told each time, not only when it is found
        with pytest.raises(CredentialsError, match=r"client\.key does not belong to"):
            settings.at(HOST)
    (folder / "client.key").write_bytes(key.read_bytes())

    assert meanwhile is before
    assert await talk(server(authority.issue("s"), clients=authority.ca_file), settings.at(HOST)) == "welcome"


def test_any_number_of_servers_share_settings(certs: Path, authority: Authority, tmp_path: Path) -> None:
    """A registry that names thousands of servers does not fill the memory: those without a folder have its own."""
    settings = tls.Contexts(endpoint(certs))
    own = tmp_path / "own" / "cdn.example.com"
    trust(own, authority)
    several = tls.Contexts(endpoint(certs, own.parent))
    assert len({settings.at(f"h{number}.example.com") for number in range(50)} | {settings.at(HOST)}) == 1
    assert several.at("cdn.example.com") is several.at("cdn.example.com:8443")
    assert several.at("cdn.example.com") is not several.at(HOST)


def test_what_was_never_good_is_an_error_at_once(certs: Path, authority: Authority) -> None:
    """Only files that were good before get time for their renewal."""
    mixed(authority, certs / HOST)
    with pytest.raises(CredentialsError, match="does not belong to"):
        tls.Contexts(endpoint(certs)).at(HOST)


async def test_of_several_pairs_the_last_is_shown(certs: Path, authority: Authority, stranger: Authority) -> None:
    """Of pairs with keys of one kind the last by name counts, whatever the registry asks for."""
    trust(certs / HOST, authority)
    show_pair(certs / HOST, stranger, "a")
    show_pair(certs / HOST, authority, "b")
    registry = server(authority.issue("server"), clients=authority.ca_file)
    good = await talk(registry, tls.context_for(endpoint(certs)))
    show_pair(certs / HOST, stranger, "c")

    assert good == "welcome"
    assert await talk(registry, tls.context_for(endpoint(certs))) != "welcome"


async def test_a_refused_certificate_is_remembered(certs: Path, stranger: Authority) -> None:
    """The error of a handshake knows the certificate that it refused."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    registry, client = server(stranger.issue("s", names=["a.test"])), tls.context_for(endpoint(certs))
    async with asyncio.timeout(60), await asyncio.start_server(answer, "127.0.0.1", 0, ssl=registry) as listening:
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(tls.Mistrust) as caught:
            await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="a.test")

    assert caught.value.chain[0]["subjectAltName"] == (("DNS", "a.test"),)
    assert isinstance(caught.value, ssl.SSLCertVerificationError)
