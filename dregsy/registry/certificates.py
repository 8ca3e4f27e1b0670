"""The files of certs.d folders: which folder counts for a host, what is in it, and what is wrong with that.

Every file is looked at before it is used, so that a bad one is named here and not met as a handshake
that fails for no visible reason.
"""

import base64
import os
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from urllib.parse import urlsplit

from dregsy.errors import CredentialsError
from dregsy.model.endpoint import Endpoint
from dregsy.model.ref import HUB_NAMES

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_SUFFIXES = frozenset({".crt", ".cert", ".key"})
_FILE_LIMIT = 1 << 20
_UTC_TIME = 0x17
_VERSION = 0xA0


def folder_of(endpoint: Endpoint) -> Path | None:
    """Return the folder that counts for ``endpoint.host``: the first that one of ``endpoint.certs`` has for it.

    That is one named ``host:port``, or else ``host``. OSError when it cannot be told whether there is one.
    """
    names = list(_names(endpoint.host))
    candidates = (root / name for root in endpoint.certs for name in names)
    return next((one for one in candidates if one.is_dir()), None)


def counting(registry: Endpoint, host: str) -> Endpoint:
    """Return whose folder counts for a host that ``registry`` sends its clients to: its own, else the registry's.

    So it is with docker and skopeo, which know no other folder than the registry's.
    """
    own = replace(registry, host=host)
    try:
        return registry if host != registry.api_host and folder_of(own) is None else own
    except OSError:
        return own


def files_of(endpoint: Endpoint) -> list[Path]:
    """Return the certificates and keys for a host, by name; CredentialsError when its folder cannot be searched."""
    try:
        return list(files_in(folder_of(endpoint)))
    except OSError as error:
        raise unusable(
            endpoint.host,
            f"cannot look for certificates in {error.filename}: {error.strerror}",
            "make the folder readable",
        ) from error


def files_in(folder: Path | None) -> list[Path]:
    """Return the certificates and keys of a folder, by name; other files are left alone. OSError as it comes."""
    if folder is None:
        return []
    with os.scandir(folder) as entries:
        return sorted(path for entry in entries if (path := Path(entry.path)).suffix in _SUFFIXES)


def pairs(files: list[Path]) -> list[tuple[Path, Path]]:
    """Return each client certificate that has its key beside it, and the key."""
    named = [(file, file.with_suffix(".key")) for file in files if file.suffix == ".cert"]
    return [(certificate, key) for certificate, key in named if key in files]


def halves(files: list[Path], host: str) -> Iterator[CredentialsError]:
    """Complain of each client certificate without its key, and of each key without its certificate."""
    for file in files:
        if file.suffix == ".cert" and (key := file.with_suffix(".key")) not in files:
            what, hint = f"the client certificate {file} has no key", f"put its key into {key.name} beside it"
            yield unusable(host, what, hint)
        elif file.suffix == ".key" and (certificate := file.with_suffix(".cert")) not in files:
            what = f"the key {file} has no client certificate"
            yield unusable(host, what, f"put the certificate into {certificate.name} beside it")


def authorities(file: Path, host: str) -> bytes:
    """Return the CAs of a file in DER form; of several, some may be out of date, as while one replaces another."""
    found = _certificates(file, host)
    faults = [_fault_of_time(one) for one in found]
    if all(faults):
        raise unusable(host, f"the CA certificate {file} {faults[0]}", "put a valid one there, or remove the file")
    return b"".join(found)


def check_pair(certificate: Path, key: Path, host: str) -> None:
    """Look at a client certificate and its key; CredentialsError for what TLS itself would not explain."""
    if fault := _fault_of_time(_certificates(certificate, host)[0]):
        raise unusable(host, f"the client certificate {certificate} {fault}", "put a renewed one and its key there")
    if b"PRIVATE KEY-----" not in _read(key, host):
        raise unusable(host, f"{key} holds no private key in PEM form", "put the client certificate's key there")


def unusable(host: str, message: str, hint: str) -> CredentialsError:
    """Return the error for a file that a connection to ``host`` needs."""
    return CredentialsError(message, host=host, hint=hint)


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


def _certificates(file: Path, host: str) -> list[bytes]:
    """The certificates of a PEM file, in DER form; there is at least one, and OpenSSL can read them all."""
    blocks = _read(file, host).decode("ascii", "ignore").split(_BEGIN)[1:]
    hint = "it should look like '-----BEGIN CERTIFICATE----- …': 'openssl x509' converts other forms"
    if not blocks:
        raise unusable(host, f"{file} holds no certificate in PEM form", hint)
    try:
        certificates = [base64.b64decode(block.partition(_END)[0]) for block in blocks]
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=b"".join(certificates))
        for one in certificates:
            _validity(one)
    except (ssl.SSLError, ValueError, IndexError, StopIteration) as error:
        raise unusable(host, f"{file} holds a certificate that is damaged", hint) from error
    return certificates


def _read(file: Path, host: str) -> bytes:
    hint = "make it a file that this user can read, or remove it"
    try:
        if not S_ISREG(file.stat().st_mode):  # a pipe would have to be waited for, a device may have no end
            raise unusable(host, f"cannot read {file}: it is not a regular file", hint)
        with file.open("rb") as opened:
            data = opened.read(_FILE_LIMIT + 1)
    except OSError as error:
        raise unusable(host, f"cannot read {file}: {error.strerror}", hint) from error
    if len(data) > _FILE_LIMIT:
        raise unusable(host, f"{file} is larger than 1 MiB", "put nothing but certificates or a key there")
    if not data.strip():
        raise unusable(host, f"{file} is empty", "put the certificate or key there, or remove the file")
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
