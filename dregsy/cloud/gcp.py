"""Logins for Google's registries (gcr.io, Artifact Registry): access tokens of Google's default credentials.

The only place that knows google-auth, which blocks and is slow to import: it is loaded here on first use,
and works on threads. The search for credentials itself follows the environment that is handed in.
"""

import http.client
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dregsy.cloud.threads import on_thread
from dregsy.errors import CredentialsError
from dregsy.model import pattern
from dregsy.model.endpoint import Login, Secret

USER = "oauth2accesstoken"
"""The user name that tells Google's registries: the password is an access token."""

NO_CREDENTIALS = (
    "no Google credentials were found: set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account or of a "
    "workload identity, run where there is a metadata server, or give 'auth'"
)
"""What to do where a registry of Google wants a login, and ``token`` found none."""

NOTHING_SECONDS = 600.0
"""How long it holds that there are no credentials: a search may cost a second, and what is missing may come."""

_HOST = pattern.compile_whole(r"(?:(?:[a-z0-9-]+\.)*gcr\.io|[a-z0-9-]+-docker\.pkg\.dev)(?::443)?")
_SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
"""Artifact Registry accepts nothing less; what the token is good for is up to the account's roles."""

_FILE_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
_MARGIN = 225.0
"""A token is renewed so many seconds early, as google-auth does; metadata servers have the next one by then."""

_DEADLINE, _REQUEST_SECONDS, _PROBE_SECONDS = 30.0, 10.0, 1.0
_UNTOLD_LIFE = 300.0
_METADATA_ADDRESS = "169.254.169.254"
_FLAVOR = {"Metadata-Flavor": "Google"}
_PRODUCT = Path("/sys/class/dmi/id/product_name")
_LONGEST_WORD, _LONGEST_TEXT = 64, 300

_LOADERS = {
    "service_account": ("google.oauth2.service_account", "from_service_account_info"),
    "authorized_user": ("google.oauth2.credentials", "from_authorized_user_info"),
    "impersonated_service_account": ("google.auth.impersonated_credentials", "from_impersonated_service_account_info"),
    "external_account_authorized_user": ("google.auth.external_account_authorized_user", "from_info"),
}
"""Where google-auth reads a credentials file, by its ``type``; that of an external account depends on its source."""


def is_google(host: str) -> bool:
    """Tell whether Google's access tokens are logins for a registry."""
    return bool(_HOST(host.lower()))


async def token(host: str, environ: Mapping[str, str], home: Path) -> tuple[Login | None, float]:
    """Fetch an access token of the default credentials, and say for how many seconds to use it; None without any.

    Looked for are the file in GOOGLE_APPLICATION_CREDENTIALS, that of ``gcloud auth application-default login``,
    and a metadata server. CredentialsError, about ``host``, when one is there and gives no token.
    """
    search = _Search(host, environ, home, time.monotonic() + _DEADLINE)
    try:
        return await on_thread(search.token, _DEADLINE)
    except TimeoutError:
        raise search.too_late() from None


class _Search:
    """One search for credentials, and the one request or two that they need; runs on a thread."""

    def __init__(self, host: str, environ: Mapping[str, str], home: Path, deadline: float) -> None:
        self._host = host
        self._environ = environ
        self._home = home
        self._deadline = deadline
        self._asked = "Google"
        self._hint = "see that the account exists and may have tokens"

    def token(self) -> tuple[Login | None, float]:
        """Return the login and the seconds that it is good for."""
        if path := self._file():
            self._asked = str(path)
            return self._refreshed(lambda: _load(path), _Requests(self._deadline))
        if self._has_metadata_server():
            self._asked = "the metadata server"
            self._hint = "see that this machine or pod has a service account; NO_GCE_CHECK=true does without"
            server = self._environ.get("GCE_METADATA_HOST") or self._environ.get("GCE_METADATA_ROOT") or ""
            return self._refreshed(_of_machine, _Requests(self._deadline, server, is_direct=True))
        return None, NOTHING_SECONDS

    def error(self, what: str, hint: str) -> CredentialsError:
        """Make an error of what went wrong with the credentials that were found."""
        message = f"no token of Google for {self._host}: {self._asked} {what}"
        return CredentialsError(message, host=self._host, hint=hint)

    def too_late(self) -> CredentialsError:
        """Make the error of a token that did not come in time."""
        return self.error(f"gave none within {_DEADLINE:g} s", "check the network, and the variables that name proxies")

    def _file(self) -> Path | None:
        """Return the file that holds the credentials, or None when there is none."""
        if named := self._environ.get(_FILE_VARIABLE, ""):
            return Path(named)
        folder = self._environ.get("CLOUDSDK_CONFIG") or self._home / ".config" / "gcloud"
        path = Path(folder) / "application_default_credentials.json"
        return path if path.is_file() else None

    def _has_metadata_server(self) -> bool:
        """Tell whether this machine has one, without a request where the machine itself says so."""
        if self._environ.get("NO_GCE_CHECK", "").lower() == "true":
            return False
        if self._environ.get("GCE_METADATA_HOST") or self._environ.get("GCE_METADATA_ROOT"):
            return True
        return _is_of_google(_PRODUCT) or self._answers()

    def _answers(self) -> bool:
        """Ask at the address that metadata servers have; those of other clouds do not give the flavour."""
        try:
            seconds = float(self._environ.get("GCE_METADATA_TIMEOUT", _PROBE_SECONDS))
        except ValueError:
            seconds = _PROBE_SECONDS
        address = self._environ.get("GCE_METADATA_IP", _METADATA_ADDRESS)
        try:
            connection = http.client.HTTPConnection(address, timeout=min(max(seconds, 0.1), _REQUEST_SECONDS))
            try:
                connection.request("GET", "/", headers=_FLAVOR)
                return connection.getresponse().headers.get("Metadata-Flavor") == _FLAVOR["Metadata-Flavor"]
            finally:
                connection.close()
        except (OSError, http.client.HTTPException):
            return False

    def _refreshed(self, load: Callable[[], Any], requests: "_Requests") -> tuple[Login, float]:
        """Have google-auth fetch a token, and say in this project's words what it reports."""
        credentials = self._loaded(load)
        from google.auth.exceptions import GoogleAuthError, TransportError

        try:
            with requests:
                credentials.refresh(requests)
        except TransportError as error:
            what = f"needs a server that cannot be asked ({type(error.__cause__ or error).__name__})"
            raise self.error(what, "check the network, and the variables that name proxies") from None
        except GoogleAuthError as error:
            raise self.error(f"gives none: {_why(error)}", self._hint) from None
        except TimeoutError:
            raise self.too_late() from None
        except (ValueError, TypeError, KeyError):  # without a cause: it may hold the answer
            raise self.error("leads to an answer that holds no token", "see who answers") from None
        return Login(USER, Secret(str(credentials.token))), _use(credentials.expiry)

    def _loaded(self, load: Callable[[], Any]) -> Any:
        try:
            return load()
        except ImportError:
            raise self.error(
                "needs the package google-auth",
                "pip install 'google-auth[requests]', or give 'auth' ('auth: none' for no login)",
            ) from None
        except OSError as error:
            raise self.error(f"cannot be read: {error.strerror}", f"see {_FILE_VARIABLE}") from None
        except (ValueError, TypeError, KeyError, AttributeError):  # without a cause: it may hold what stands there
            raise self.error("is no credentials file of Google's", f"download it anew, see {_FILE_VARIABLE}") from None


class _Requests:
    """What google-auth sends its requests with: each within what is left of the time.

    ``server`` takes the place of a metadata server's name, ``is_direct`` leaves the proxies out.
    """

    def __init__(self, deadline: float, server: str = "", *, is_direct: bool = False) -> None:
        self._deadline = deadline
        self._server = server
        self._is_direct = is_direct
        self.session: Any = None
        """google-auth adds the metadata server's certificates here, where there are such."""

    def __enter__(self) -> None:
        sender: Any = import_module("google.auth.transport.requests").Request()
        self._send = sender
        self.session = sender.session
        self.session.trust_env = not self._is_direct

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def __call__(self, url: str, *, timeout: float = _REQUEST_SECONDS, **request: Any) -> Any:
        """Send one request, as google-auth's own transports do; TimeoutError when there is no time left."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if self._server:
            url = urlsplit(url)._replace(netloc=self._server).geturl()
        return self._send(url, timeout=min(timeout, left), **request)


def _load(path: Path) -> Any:
    """Read a credentials file by the one way that fits its type; ValueError for what is none."""
    info = json.loads(path.read_text("utf-8"))
    kind, source = info.get("type"), info.get("credential_source") or {}
    module, load = _LOADERS.get(kind, ("", "from_info"))
    if kind == "external_account":
        is_aws = info.get("subject_token_type") == "urn:ietf:params:aws:token-type:aws4_request"
        name = "aws" if is_aws else "pluggable" if "executable" in source else "identity_pool"
        module = f"google.auth.{name}"
    if not module:
        raise ValueError("unknown type")
    return getattr(import_module(module).Credentials, load)(info, scopes=_SCOPES)


def _of_machine() -> Any:
    return import_module("google.auth.compute_engine").Credentials(scopes=_SCOPES)


def _is_of_google(product: Path) -> bool:
    """Tell by what the firmware says whether this is a machine of Google's cloud."""
    try:
        return product.read_text("utf-8", errors="replace").startswith("Google")
    except OSError:
        return False


def _use(expiry: datetime | None) -> float:
    """Return for how many seconds to use a token: until shortly before its end, at least half of its life."""
    life = _UNTOLD_LIFE if expiry is None else (expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()
    return max(life - _MARGIN, life / 2, 0.0)


def _why(error: Exception) -> str:
    """Return google-auth's words on one line, without the long ones, which may be secrets, and without objects."""
    text, _, _ = str(error.args[0] if error.args else type(error).__name__).partition(" Last exception")
    words = text.split()
    return " ".join(word for word in words if len(word) <= _LONGEST_WORD)[:_LONGEST_TEXT]
