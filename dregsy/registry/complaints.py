"""What a tool's complaint about a registry means: skopeo and docker speak to registries through the same Go library.

So that a user sees the same kinds of errors whichever relay moves the images. The words are that library's.
"""

from collections.abc import Sequence
from typing import NamedTuple

from dregsy.errors import (
    DigestMismatch,
    DregsyError,
    ImageError,
    NotFound,
    RateLimited,
    RegistryError,
    RelayError,
    Unauthorized,
    Unreachable,
)
from dregsy.model import pattern
from dregsy.model.endpoint import Login
from dregsy.registry.conceal import conceal, forms
from dregsy.registry.wire import show

_BROKEN = pattern.compile_search(r"(http status:?|status code from registry) 50[0234]\b")
_URL = pattern.compile_search(r'https?://[^\s"]+')


class _Meaning(NamedTuple):
    kind: type[RegistryError]
    words: tuple[str, ...]
    retryable: bool = False
    hint: str = ""


_MEANINGS = (
    _Meaning(
        RateLimited,
        ("toomanyrequests", "too many requests", "http 429", "statuscode: 429"),
        retryable=True,
        hint="the registry asks to slow down",
    ),
    _Meaning(
        Unauthorized,
        (
            "unauthorized",
            "denied",
            "forbidden",
            "authentication required",
            "no basic auth credentials",
            "invalid username/password",
        ),
        hint="check the login for this registry, and its rights",
    ),
    _Meaning(
        Unreachable,
        ("certificate has expired or is not yet valid",),
        hint="have the certificate renewed, and check this machine's clock; no CA can help",
    ),
    _Meaning(
        Unreachable,
        (
            "x509: certificate is valid for",
            "x509: certificate is not valid for",
            "x509: cannot validate certificate for",
        ),
        hint="write the registry's address with a name that its certificate has, or have one made with this name",
    ),
    _Meaning(
        Unreachable,
        ("certificate required", "bad certificate", "remote error: tls: "),
        hint="put a client certificate that the registry accepts, and its key, into the relay's certs.d folder",
    ),
    _Meaning(
        Unreachable,
        ("x509:", "tls: ", "certificate"),
        hint="put the registry's CA into the relay's certs.d folder",
    ),
    _Meaning(
        Unreachable,
        ("gave http response to https client",),
        hint="set skip-tls-verify for it if plain http is what you want",
    ),
    _Meaning(Unreachable, ("no such host",), hint="check the registry's name and this machine's DNS"),
    _Meaning(
        Unreachable,
        (
            "connection refused",
            "timeout",
            "no route to host",
            "network is unreachable",
            "connection reset",
            "eof",
            "write: broken pipe",
            "use of closed network connection",
        ),
        retryable=True,
        hint="check the address, and that the registry is running",
    ),
    _Meaning(DigestMismatch, ("does not match", "did not match", "verification failed"), True),
    _Meaning(  # it was there when it was compared: another look finds what its tag stands for now
        NotFound,
        ("manifest unknown",),
        retryable=True,
        hint="the image was deleted or its tag moved while it was being copied",
    ),
    _Meaning(
        NotFound,
        (
            "unknown blob",
            "name unknown",
            "name not known",
            "http 404",
            "statuscode: 404",
            "not found",
        ),
    ),
)
_REFUSED = "manifest invalid"
_UNFIT = ("no matching manifest", "no image found in", "unsupported", "preserve digests")


def explain(said: str, *, relay: str, output: str = "") -> DregsyError:
    """Return the error for what a relay's tool ``said``; a RelayError with its ``output`` where the words tell nothing.

    What is not understood may have been a passing fault, so it is retryable.
    """
    text = f"{relay}: {' '.join(said.split())}"
    lowered = " ".join(word for word in said.lower().split() if not _is_name(word))
    if _REFUSED in lowered:
        return RegistryError(text, hint="the registry does not take such an image")
    if any(words in lowered for words in _UNFIT):
        return ImageError(text, hint="this relay cannot copy this image; the native relay copies every kind")
    if _BROKEN.search(lowered):
        return RegistryError(text, retryable=True, hint="the registry has a problem of its own; see its log")
    for meaning in _MEANINGS:
        if any(words in lowered for words in meaning.words):
            return meaning.kind(text, retryable=meaning.retryable, hint=meaning.hint)
    return RelayError(text, relay=relay, output=output, retryable=True)


def _is_name(word: str) -> bool:
    """Whether a word is an address, an image or a digest, in which any of the words to look for may stand."""
    bare = word.strip(":,;.\"'()[]")
    return "sha256:" in bare or ("/" in bare and not set(bare).isdisjoint(".:@"))


def redact(text: str, logins: Sequence[Login]) -> str:
    """Take out of ``text`` the secrets of ``logins``, and what may be one in a URL: user info and query."""
    text = conceal(text, (form for login in logins for form in forms(login)))
    pieces, end = [], 0
    for match in _URL.finditer(text):
        start, stop = match.span()
        pieces += [text[end:start], _shown(text[start:stop])]
        end = stop
    return "".join((*pieces, text[end:]))


def _shown(url: str) -> str:
    try:
        return show(url)
    except ValueError:  # half an IPv6 address, perhaps: nobody can tell what the rest is
        return "(address)"
