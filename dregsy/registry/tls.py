"""TLS settings for a registry: what its certificate is checked against, and which certificate is shown to it.

They come from certs.d folders and the system's store, and follow the files: whoever renews a certificate
on disk restarts nothing.
"""

import os
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from dregsy.errors import CredentialsError
from dregsy.model.endpoint import Endpoint
from dregsy.registry import certificates

RENEWAL_SECONDS = 60.0
"""How long a renewal may leave files that do not fit together, before that is an error."""

_LOOKS = 3
"""How often files are read that change while they are read."""

Fingerprint = tuple[tuple[str, int, int, int], ...]


class Mistrust(ssl.SSLCertVerificationError):
    """A handshake in which the other side's certificate was refused.

    ``chain`` tells of that certificate, and of those that vouch for it as far as they were found, in the
    form of ``SSLObject.getpeercert``.
    """

    def __init__(self, error: ssl.SSLCertVerificationError, chain: list[dict[str, Any]]) -> None:
        super().__init__(*error.args)
        self.verify_code, self.verify_message = error.verify_code, error.verify_message
        self.chain = chain


class _Handshake(ssl.SSLObject):
    """A connection that remembers which certificate it refused."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as error:
            # Public in Python 3.13 only, and told about connections only that came about.
            told: Callable[[], list[Any] | None] = getattr(
                getattr(self, "_sslobj", None), "get_verified_chain", lambda: None
            )
            raise Mistrust(error, [one.get_info() for one in told() or ()]) from error


@contextmanager
def without_authorities() -> Iterator[None]:
    """Let whoever makes TLS settings inside find no authorities of the system: reading them takes its time."""
    names = ("SSL_CERT_FILE", "SSL_CERT_DIR")
    before = {name: os.environ[name] for name in names if name in os.environ}
    os.environ.update(dict.fromkeys(names, os.devnull))
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]
        os.environ.update(before)


def context_for(endpoint: Endpoint) -> ssl.SSLContext:
    """Return the TLS settings for ``endpoint.host``, TLS 1.2 or later.

    The ``*.crt`` of its folder are CAs in addition to the system's (SSL_CERT_FILE and SSL_CERT_DIR are
    honoured); a ``*.cert`` with its ``*.key`` is shown to a registry that asks, of several with keys of
    one kind the last by name. CredentialsError names a file that cannot be used.
    """
    context = _bare(verify=endpoint.verify)
    if found := list(_load(context, endpoint)):
        if len(found) > 1:
            found[0].hint += "; 'dregsy check' names all that is wrong there"
        raise found[0]
    return context


def faults(endpoint: Endpoint) -> list[CredentialsError]:
    """Return all that is wrong with the certificates for a host, where ``context_for`` raises the first."""
    return list(_load(_bare(verify=False), endpoint))


def fingerprint(endpoint: Endpoint) -> Fingerprint:
    """Return path, time, size and inode of every file that ``context_for`` reads; it changes when one does.

    Cheap enough to be taken before each request. The time is that of the last change in nanoseconds, of
    rights and names too. What cannot be read has none: making the context says why.
    """
    marks: list[tuple[str, int, int, int]] = []
    try:
        marks.extend(_mark(file) for file in certificates.files_in(certificates.folder_of(endpoint)))
    except OSError as error:
        marks.append((str(error.filename), 0, 0, error.errno or 0))
    return tuple(marks)


class Contexts:
    """The TLS settings of a registry and of the servers it sends its clients to, kept until their files change.

    One for each folder that counts, since a registry may name any number of servers: a setting is half a megabyte.
    ``now`` is the clock that files are dated by.
    """

    def __init__(self, endpoint: Endpoint, now: Callable[[], float] = time.time) -> None:
        self._endpoint = endpoint
        self._now = now
        self._known: dict[Path | None, _Known] = {}
        self._bad: dict[Path | None, tuple[object, CredentialsError]] = {}

    def at(self, host: str) -> ssl.SSLContext:
        """Return the settings for a host; looks at its files each time, and reads those that changed.

        A renewal may write one file after the other: while the last change is younger than a minute, what
        was good before it goes on to count. CredentialsError where there are no usable settings.
        """
        endpoint = certificates.counting(self._endpoint, host)
        key, mark = _key(endpoint), _state(endpoint)
        known = self._known.get(key)
        if known is not None and known.mark == mark:
            return known.context
        if key not in self._bad or self._bad[key][0] != mark:
            try:
                made = _settled(endpoint)
            except CredentialsError as error:
                self._bad[key] = mark, error
            else:
                self._known[key] = made
                return made.context
        if known is not None and self._is_being_renewed(endpoint):
            return known.context
        raise self._bad[key][1].afresh()

    def _is_being_renewed(self, endpoint: Endpoint) -> bool:
        try:
            folder = certificates.folder_of(endpoint)
            changed = folder.stat().st_ctime_ns if folder else 0
        except OSError:
            return False
        newest = max([changed, *(changed for _, changed, *_ in fingerprint(endpoint))]) / 1e9
        return abs(self._now() - newest) < RENEWAL_SECONDS


@dataclass(frozen=True, slots=True)
class _Known:
    """Settings, and the state of the files they were made from."""

    mark: object
    context: ssl.SSLContext


def _settled(endpoint: Endpoint) -> _Known:
    """Read files that do not change meanwhile: of a pair, both are from before a renewal or both from after it."""
    for _ in range(_LOOKS - 1):
        mark = _state(endpoint)
        try:
            known = _Known(mark, context_for(endpoint))
        except CredentialsError:
            if _state(endpoint) == mark:
                raise
            continue
        if _state(endpoint) == mark:
            return known
    return _Known(_state(endpoint), context_for(endpoint))


def _key(endpoint: Endpoint) -> Path | None:
    """What, beside the registry's own settings, decides them: the folder, or the root that cannot be searched."""
    try:
        return certificates.folder_of(endpoint)
    except OSError as error:
        return Path(str(error.filename))


def _state(endpoint: Endpoint) -> object:
    """All that a context depends on; the system's folder is searched by OpenSSL with each handshake."""
    system = ssl.get_default_verify_paths().cafile if endpoint.verify else None
    try:
        return fingerprint(endpoint), _mark(Path(system)) if system else None
    except OSError:
        return fingerprint(endpoint), None


def _mark(file: Path) -> tuple[str, int, int, int]:
    state = file.stat()
    return str(file), state.st_ctime_ns, state.st_size, state.st_ino


def _bare(*, verify: bool) -> ssl.SSLContext:
    """Settings that know no folder yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslobject_class = _Handshake
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # A folder may trust a CA that is not at the root of its chain, as Go has it; and what newer
    # Pythons want of a certificate beyond that must not depend on the Python in use.
    context.verify_flags = ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST | ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    if verify:
        context.load_default_certs()
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _load(context: ssl.SSLContext, endpoint: Endpoint) -> Iterator[CredentialsError]:
    """Put all files for a host into a context; gives what is wrong with them."""
    host = endpoint.host
    try:
        files = certificates.files_of(endpoint)
    except CredentialsError as error:
        yield error
        return
    for file in files:
        if file.suffix == ".crt" and endpoint.verify:
            try:
                context.load_verify_locations(cadata=certificates.authorities(file, host))
            except CredentialsError as error:
                yield error
    yield from certificates.halves(files, host)
    for certificate, key in certificates.pairs(files):
        try:
            _load_pair(context, certificate, key, host)
        except CredentialsError as error:
            yield error


def _load_pair(context: ssl.SSLContext, certificate: Path, key: Path, host: str) -> None:
    certificates.check_pair(certificate, key, host)

    def refuse_encrypted() -> NoReturn:
        # Without this OpenSSL would ask for a passphrase at the terminal, and wait.
        raise certificates.unusable(
            host,
            f"the key {key} is protected by a passphrase",
            f"remove it: openssl pkey -in {key.name} -out plain.key",
        )

    try:
        context.load_cert_chain(certificate, key, refuse_encrypted)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise certificates.unusable(
                host, f"the key {key} does not belong to {certificate}", "put the two of one pair there"
            ) from error
        raise certificates.unusable(
            host, f"TLS cannot use {certificate} with {key}: {error.reason or 'bad data'}", "put a valid pair there"
        ) from error
    except OSError as error:
        raise certificates.unusable(
            host, f"cannot read {certificate} with {key}: {error.strerror}", "put a valid pair there"
        ) from error
