"""What a registry's certificate is checked against, and which certificate is shown to it: certs.d folders.

Every file of the folder is looked at when a context is made, so that a bad one is named here and not
met as a handshake that fails for no visible reason.
"""

import base64
import os
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from typing import NoReturn
from urllib.parse import urlsplit

from dregsy.errors import CredentialsError
from dregsy.model.endpoint import Endpoint
from dregsy.model.ref import HUB_NAMES

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_SUFFIXES = frozenset({".crt", ".cert", ".key"})
_FILE_LIMIT = 1 << 20
_UTC_TIME = 0x17
_VERSION = 0xA0

Fingerprint = tuple[tuple[str, int, int, int], ...]


def context_for(endpoint: Endpoint) -> ssl.SSLContext:
    """Return the TLS settings for ``endpoint.host``, TLS 1.2 or later.

    Of ``endpoint.certs`` the first folder counts that has one named ``host:port`` or else ``host``. Its
    ``*.crt`` are CAs in addition to the system's (SSL_CERT_FILE and SSL_CERT_DIR are honoured), each
    ``*.cert`` with its ``*.key`` is shown to a registry that asks. CredentialsError names a file that
    cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # A folder may trust a CA that is not at the root of its chain, as Go has it; and what newer
    # Pythons want of a certificate beyond that must not depend on the Python in use.
    context.verify_flags = ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST | ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    if not endpoint.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_default_certs()
    try:
        folder = _folder(endpoint)
        files = _files(folder) if folder else []
    except OSError as error:
        raise _unusable(
            endpoint.host,
            f"cannot look for certificates in {error.filename}: {error.strerror}",
            "make the folder readable",
        ) from error
    for file in files:
        if file.suffix == ".crt" and endpoint.verify:
            context.load_verify_locations(cadata=b"".join(_authorities(file, endpoint.host)))
    for certificate, key in _pairs(files, endpoint.host):
        _load_pair(context, certificate, key, endpoint.host)
    return context


def fingerprint(endpoint: Endpoint) -> Fingerprint:
    """Return path, time, size and inode of every file that ``context_for`` reads; it changes when one does.

    Cheap enough to be taken before each request. What cannot be read is left out here: making the
    context says so.
    """
    marks = []
    try:
        folder = _folder(endpoint)
        for file in _files(folder) if folder else []:
            state = file.stat()
            marks.append((str(file), state.st_mtime_ns, state.st_size, state.st_ino))
    except OSError as error:
        marks.append((str(error.filename), 0, 0, error.errno or 0))
    return tuple(marks)


def _folder(endpoint: Endpoint) -> Path | None:
    """The first folder for the host; OSError when that cannot be told."""
    names = list(_names(endpoint.host))
    candidates = (root / name for root in endpoint.certs for name in names)
    return next((one for one in candidates if one.is_dir()), None)


def _names(host: str) -> Iterator[str]:
    """What a host's folder may be called: first with its port, then without."""
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname or "", parts.port
    except ValueError:
        return
    names = [f"[{name}]", name] if ":" in name else [name]
    if name in HUB_NAMES:
        names += sorted(HUB_NAMES - {name})
    for suffix in ([f":{port}"] if port is not None else []) + [""]:
        # A host may come from a registry's answer: it is a name, and never a way to other folders.
        yield from (one + suffix for one in names if one.strip(".") and not set(one) & {"/", "\0"})


def _files(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return sorted(path for entry in entries if (path := Path(entry.path)).suffix in _SUFFIXES)


def _pairs(files: list[Path], host: str) -> Iterator[tuple[Path, Path]]:
    """Each client certificate with its key; CredentialsError for one without the other."""
    for file in files:
        if file.suffix == ".cert":
            key = file.with_suffix(".key")
            if key not in files:
                raise _unusable(
                    host, f"the client certificate {file} has no key", f"put its key into {key.name} beside it"
                )
            yield file, key
        elif file.suffix == ".key" and (certificate := file.with_suffix(".cert")) not in files:
            raise _unusable(
                host,
                f"the key {file} has no client certificate",
                f"put the certificate into {certificate.name} beside it",
            )


def _authorities(file: Path, host: str) -> list[bytes]:
    """The CAs of a file; of several, some may be out of date, as they are while one replaces another."""
    certificates = _certificates(file, host)
    faults = [_fault_of_time(one) for one in certificates]
    if all(faults):
        raise _unusable(host, f"the CA certificate {file} {faults[0]}", "put a valid one there, or remove the file")
    return certificates


def _load_pair(context: ssl.SSLContext, certificate: Path, key: Path, host: str) -> None:
    if fault := _fault_of_time(_certificates(certificate, host)[0]):
        raise _unusable(host, f"the client certificate {certificate} {fault}", "put a renewed one and its key there")
    if b"PRIVATE KEY-----" not in _read(key, host):
        raise _unusable(host, f"{key} holds no private key in PEM form", "put the client certificate's key there")

    def refuse_encrypted() -> NoReturn:
        # Without this OpenSSL would ask for a passphrase at the terminal, and wait.
        raise _unusable(
            host,
            f"the key {key} is protected by a passphrase",
            f"remove it: openssl pkey -in {key.name} -out plain.key",
        )

    try:
        context.load_cert_chain(certificate, key, refuse_encrypted)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise _unusable(
                host, f"the key {key} does not belong to {certificate}", "put the two of one pair there"
            ) from error
        raise _unusable(
            host, f"TLS cannot use {certificate} with {key}: {error.reason or 'bad data'}", "put a valid pair there"
        ) from error


def _certificates(file: Path, host: str) -> list[bytes]:
    """The certificates of a PEM file, in DER form; there is at least one, and OpenSSL can read them all."""
    blocks = _read(file, host).decode("ascii", "ignore").split(_BEGIN)[1:]
    hint = "it should look like '-----BEGIN CERTIFICATE----- …': 'openssl x509' converts other forms"
    if not blocks:
        raise _unusable(host, f"{file} holds no certificate in PEM form", hint)
    try:
        certificates = [base64.b64decode(block.partition(_END)[0]) for block in blocks]
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=b"".join(certificates))
        for one in certificates:
            _validity(one)
    except (ssl.SSLError, ValueError, IndexError, StopIteration) as error:
        raise _unusable(host, f"{file} holds a certificate that is damaged", hint) from error
    return certificates


def _read(file: Path, host: str) -> bytes:
    hint = "make it a file that this user can read, or remove it"
    try:
        if not S_ISREG(file.stat().st_mode):  # a pipe would have to be waited for, a device may have no end
            raise _unusable(host, f"cannot read {file}: it is not a regular file", hint)
        with file.open("rb") as opened:
            data = opened.read(_FILE_LIMIT + 1)
    except OSError as error:
        raise _unusable(host, f"cannot read {file}: {error.strerror}", hint) from error
    if len(data) > _FILE_LIMIT:
        raise _unusable(host, f"{file} is larger than 1 MiB", "put nothing but certificates or a key there")
    if not data.strip():
        raise _unusable(host, f"{file} is empty", "put the certificate or key there, or remove the file")
    return data


def _fault_of_time(certificate: bytes) -> str:
    """What keeps a certificate from being valid today; empty for nothing."""
    start, end = _validity(certificate)
    now = datetime.now(UTC)
    if now > end:
        return f"expired on {end:%Y-%m-%d %H:%M} UTC"
    return f"is not valid before {start:%Y-%m-%d %H:%M} UTC" if now < start else ""


def _validity(certificate: bytes) -> tuple[datetime, datetime]:
    """Read notBefore and notAfter (RFC 5280, 4.1), which the ssl module tells of CAs only."""
    _, signed = next(_elements(certificate))
    _, body = next(_elements(signed))
    fields = [value for tag, value in _elements(body) if tag != _VERSION]  # then serial, algorithm, issuer, validity
    start, end = (_time(tag, value.decode("ascii")) for tag, value in _elements(fields[3]))
    return start, end


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each of the DER elements that follow one another in ``data`` (X.690, 8.1)."""
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(data[at : at + size]), at + size
        yield tag, data[at : at + length]
        at += length


def _time(tag: int, text: str) -> datetime:
    """Read a time of a certificate: years of two digits are those from 1950 to 2049."""
    if tag == _UTC_TIME:
        text = ("19" if text >= "5" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _unusable(host: str, message: str, hint: str) -> CredentialsError:
    return CredentialsError(message, host=host, hint=hint)
