"""Why two sides did not agree on TLS, in words that say which certificate, from which file, and what to do now."""

import os
import ssl
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dregsy.errors import CredentialsError
from dregsy.model.endpoint import Endpoint
from dregsy.registry import certificates
from dregsy.registry.tls import Mistrust

_EXPIRED, _EARLY = 10, 9
_WRONG_NAMES = frozenset({62, 64})
_UNKNOWN_ISSUERS = frozenset({2, 18, 19, 20, 21})
"""Codes of OpenSSL's X509_V_ERR_*."""

_NAMES_SHOWN = 5
_CLIENT_ALERTS = (
    "ALERT_CERTIFICATE_REQUIRED",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_UNSUPPORTED_CERTIFICATE",
    "ALERT_CERTIFICATE_REVOKED",
    "ALERT_CERTIFICATE_EXPIRED",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_UNKNOWN_CA",
    "ALERT_ACCESS_DENIED",
    "ALERT_HANDSHAKE_FAILURE",
)
"""What servers say of a client's certificate, or of there being none; the last may mean something else, too."""

Certificate = Mapping[str, Any]


class Refusal(NamedTuple):
    """What went wrong, and what to do now."""

    text: str
    hint: str


def explain(error: ssl.SSLError, host: str, endpoint: Endpoint) -> Refusal:
    """Say why a TLS handshake with ``host`` failed; the folder of ``endpoint`` counted for it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _untrusted(error, host, endpoint)
    reason = error.reason or ""
    if reason.endswith(_CLIENT_ALERTS):
        return _unwanted(reason, host, endpoint)
    said = (reason or str(error)).replace("_", " ").lower()
    return Refusal(
        f"{host} and this machine cannot agree on TLS: {said}",
        "check that this port speaks TLS, version 1.2 or later",
    )


def _untrusted(error: ssl.SSLCertVerificationError, host: str, endpoint: Endpoint) -> Refusal:
    chain = error.chain if isinstance(error, Mistrust) else []
    leaf: Certificate = chain[0] if chain else {}
    place, code = f"the certificate of {host}", getattr(error, "verify_code", 0)
    if code in {_EXPIRED, _EARLY} and (bad := _untimely(chain, early=code == _EARLY)) is not None:
        return _at_the_wrong_time(place, bad, is_leaf=bad is leaf, early=code == _EARLY)
    if code in _WRONG_NAMES:
        return Refusal(
            f"{place} is not for this name: {_names(leaf)}",
            "write the registry's address with a name that its certificate has, or have one made with this name",
        )
    if code in _UNKNOWN_ISSUERS:
        signed = f"{_issuer(chain)}, whom nobody here trusts" if chain else "nobody who is trusted here"
        if chain and _untimely(chain[:1], early=False):
            signed += f", and expired on {_date(leaf['notAfter'])}"
        return Refusal(
            f"{place} is signed by {signed}; trusted are {_trusted(endpoint)}",
            f"if that authority is yours, put its certificate into {_place(endpoint, 'ca.crt')}",
        )
    said = getattr(error, "verify_message", "") or "its certificate cannot be verified"
    return Refusal(
        f"{place} is not trusted: {said}; trusted are {_trusted(endpoint)}", "have the registry's certificate mended"
    )


def _untimely(chain: Sequence[Certificate], *, early: bool) -> Certificate | None:
    """The first of a chain that is out of date, or not yet good."""
    now = time.time()
    for one in chain:
        start, end = (ssl.cert_time_to_seconds(one[key]) for key in ("notBefore", "notAfter"))
        if (early and now < start) or (not early and now > end):
            return one
    return None


def _at_the_wrong_time(place: str, bad: Certificate, *, is_leaf: bool, early: bool) -> Refusal:
    date = _date(bad["notBefore" if early else "notAfter"])
    what = place if is_leaf else f"{place} is signed by {_name(bad['subject'])}, whose certificate"
    renewed = "the registry's certificate" if is_leaf else "the authority's certificate"
    if early:
        return Refusal(f"{what} is not valid before {date}", f"check this machine's clock, and else {renewed}")
    return Refusal(f"{what} expired on {date}", f"have {renewed} renewed; no file here can help")


def _unwanted(reason: str, host: str, endpoint: Endpoint) -> Refusal:
    """Explain an alert about the client certificate."""
    said = reason.partition("ALERT_")[2].replace("_", " ").lower()
    try:
        shown = certificates.pairs(certificates.files_of(endpoint))
    except CredentialsError:
        shown = []
    if shown:
        return Refusal(
            f"{host} refuses the client certificate {shown[-1][0]}: {said}",
            "ask who runs the registry for a certificate that it accepts",
        )
    if not reason.endswith(("HANDSHAKE_FAILURE", "ACCESS_DENIED")):
        wants = f"{host} wants a client certificate, and there is none: {said}"
    else:
        wants = f"{host} refuses to talk TLS, perhaps for want of a client certificate: {said}"
    pair = _place(endpoint, "client.cert and client.key")
    return Refusal(f"{wants}; {_looked(endpoint)}", f"put yours into {pair}")


def _trusted(endpoint: Endpoint) -> str:
    """Name all authorities that count for a host."""
    try:
        files = [str(file) for file in certificates.files_of(endpoint) if file.suffix == ".crt"]
    except CredentialsError:
        files = []
    own = f" and those in {', '.join(files)}" if files else f" ({_looked(endpoint)})"
    return f"{_system()}{own}"


def _looked(endpoint: Endpoint) -> str:
    """Say where files for a host were looked for."""
    try:
        folder = certificates.folder_of(endpoint)
    except OSError:
        folder = None
    if folder is not None:
        return f"{folder} was read"
    roots = ", ".join(map(str, endpoint.certs))
    return f"there is no folder for {endpoint.host} in {roots}" if roots else "no folder for certificates is set"


def _place(endpoint: Endpoint, names: str) -> str:
    """Where files for a host belong."""
    try:
        folder = certificates.folder_of(endpoint)
    except OSError:
        folder = None
    return str((folder or Path(*endpoint.certs[:1]) / endpoint.host) / names)


def _system() -> str:
    """Name the system's authorities, with the variables that replace them; what these name may not be there."""
    given = [(name, path) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if (path := os.environ.get(name))]
    if not given:
        return "the system's authorities"
    named = (f"{name}={path}{'' if os.access(path, os.R_OK) else ', which cannot be read,'}" for name, path in given)
    return f"the authorities of {' and '.join(named)}"


def _names(leaf: Certificate) -> str:
    names = [str(name) for _, name in leaf.get("subjectAltName", ())]
    if not names:
        return "it names no host"  # what stands in the subject alone has not counted for years
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"it is for {', '.join(names[:_NAMES_SHOWN])}{more}"


def _issuer(chain: Sequence[Certificate]) -> str:
    """The authority that is missing: the one above the last that was found."""
    last = chain[-1]
    if last["issuer"] == last["subject"]:
        return "itself" if len(chain) == 1 else _name(last["subject"])
    return _name(last["issuer"])


def _name(parts: Sequence[Sequence[tuple[str, str]]]) -> str:
    """A name as certificates have it, by its most telling part."""
    flat = {key: value for part in parts for key, value in part}
    found = flat.get("commonName") or flat.get("organizationalUnitName") or flat.get("organizationName")
    return f"'{found}'" if found else "an authority without a name"


def _date(text: str) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(ssl.cert_time_to_seconds(text)))
