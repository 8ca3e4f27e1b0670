"""Who we are to one registry: basic logins and bearer tokens, fetched once per scope and renewed in time."""

import asyncio
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlencode
from weakref import WeakValueDictionary

from dregsy.credentials import Logins
from dregsy.errors import RegistryError, Unauthorized
from dregsy.model.endpoint import Endpoint, Login
from dregsy.registry import challenge
from dregsy.registry.answers import failure
from dregsy.registry.challenge import Challenge, Token
from dregsy.registry.conceal import coded, conceal, forms
from dregsy.registry.wire import Response, Wire, basic

_MARGIN = 15.0
"""A token is renewed this many seconds before it expires, so that no request carries a dying one."""

_REFUSAL = 60.0
"""For so many seconds a refused login is not tried again: servers lock accounts for that."""
_SWEEP = 10.0
"""Seconds for which dead tokens may be kept."""
_TOKEN_LIMIT = 2**20

Key = tuple[Login, tuple[str, ...]]


class Authorizer:
    """Makes the Authorization header for requests to one registry (Docker token authentication; RFC 7617)."""

    def __init__(
        self, endpoint: Endpoint, logins: Logins, wire: Wire, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._endpoint = endpoint
        self._logins = logins
        self._wire = wire
        self._clock = clock
        self.challenge: Challenge | None = None
        """The login that the registry asked for most recently."""
        self._is_secure = False
        """Whether the registry itself speaks TLS: its logins then go nowhere without."""
        self._tokens: dict[Key, Token] = {}
        self._logins_used: set[Login] = set()
        self._proven = ""
        """The basic login that the registry accepted most recently."""
        self._dropped_at = self._swept_at = float("-inf")
        self._failed: dict[Key, tuple[float, RegistryError]] = {}
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    def learn(self, response: Response) -> None:
        """Take from the answer to the first greeting which login the registry wants, and whether it speaks TLS."""
        self._is_secure = response.url.startswith("https:")
        self.challenge = _wanted(response)

    async def login(self, repository: str) -> Login:
        """Return what there is to log in with."""
        login = await self._logins.login_for(self._endpoint, repository)
        self._logins_used.add(login)
        return login

    async def headers(self, repository: str, scopes: tuple[str, ...]) -> dict[str, str]:
        """Return the header that authorizes a request, or nothing where none is needed or there is no login."""
        if self.challenge is None:
            return {}
        login = await self.login(repository)
        if self.challenge.scheme == "basic":
            return _basic(login)
        try:
            return {"Authorization": _bearer(await self._token(login, scopes))}
        except Unauthorized:
            if (other := await self._anew(login, repository)) == login:
                raise
            return {"Authorization": _bearer(await self._token(other, scopes))}

    def accepted(self, sent: str | None) -> None:
        """Hear that the registry took the login that was ``sent``."""
        if sent and sent.startswith("Basic "):
            self._proven = sent

    async def knows_us(self, repository: str, sent: str | None, status: int) -> bool:
        """Tell whether a registry that refuses a request took the login that was ``sent`` all the same.

        403 says so. So does 401 where the token server gave a token, to somebody it knows: it lacks the right.
        """
        is_taken = sent is not None and (status == 403 or sent.startswith("Bearer "))
        return is_taken and not (await self.login(repository)).is_anonymous

    async def expired(self, repository: str, sent: str | None) -> bool:
        """After a login was called expired: tell whether there is another one now than was ``sent``."""
        login = await self.login(repository)
        if sent is not None and _basic(login).get("Authorization") == sent:
            login = await self._anew(login, repository)
        return _basic(login).get("Authorization") not in {None, sent}

    async def _anew(self, login: Login, repository: str) -> Login:
        """Return what there is to log in with once ``login`` was refused: the same, unless it was fetched to be kept.

        One that never worked here is fetched anew once in a while only: the next would be refused as well.
        """
        now = self._clock()
        may_drop = basic(login) == self._proven or now >= self._dropped_at + _REFUSAL
        if may_drop and not login.is_anonymous and self._logins.drop(login):
            self._dropped_at = now
        return await self.login(repository)

    async def renew(self, response: Response, repository: str, scopes: tuple[str, ...], sent: str | None) -> bool:
        """After a 401: forget the login that was ``sent``, and tell whether another attempt may fare better.

        When many requests meet the same stale token, only the first of them causes a new one.
        """
        before, self.challenge = self.challenge, _wanted(response) or self.challenge
        if self.challenge is None:
            return False
        if self.challenge.scheme == "basic":
            return await self.expired(repository, sent)
        login = await self.login(repository)
        if before is not None and not sent:
            return False
        known = self._tokens.get((login, scopes))
        if known is not None and _bearer(known) == sent:
            del self._tokens[login, scopes]
        return True

    async def _token(self, login: Login, scopes: tuple[str, ...]) -> Token:
        """Return a token that will be good for a while; those who want the same one wait for one request."""
        self._sweep()
        key, asked = (login, scopes), self._clock()
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            token = self._tokens.get(key)
            if token is None or not self._is_good(token):
                token = await self._fetch_once(key, asked)
                self._tokens[key] = token
            return token

    def _sweep(self) -> None:
        """Forget dead tokens and old failures; now and then, because there may be thousands."""
        now = self._clock()
        if now < self._swept_at + _SWEEP:
            return
        self._swept_at = now
        self._tokens = {key: token for key, token in self._tokens.items() if self._is_good(token)}
        self._failed = {key: entry for key, entry in self._failed.items() if now < entry[0] + _SWEEP}

    async def _fetch_once(self, key: Key, asked: float) -> Token:
        """Fetch a token, unless that failed while this one waited, or was refused a short while ago."""
        until, error = self._failed.get(key, (0.0, None))
        if error is not None and asked <= until:
            raise error.afresh()
        try:
            return await self._fetch(*key)
        except RegistryError as failed:
            now = self._clock()
            self._failed[key] = (now if failed.retryable else now + _REFUSAL, failed.afresh())
            raise

    def advise(self, error: RegistryError) -> None:
        """Add to a refusal which login could be had, where none was found."""
        found_none = all(login.is_anonymous for login in self._logins_used)
        if isinstance(error, Unauthorized) and found_none:
            error.hint = self._logins.advice(self._endpoint) or error.hint

    def redacted(self, text: str, sent: str | None = None) -> str:
        """Take out of a registry's words whatever was sent to it as a login; ``sent`` is the header of the last one."""
        return conceal(text, self._secrets(sent)) if text else text

    def _secrets(self, sent: str | None) -> Iterator[str]:
        yield from coded((sent or "").partition(" ")[2])
        yield from (token.secret.reveal() for token in self._tokens.values())  # there may be thousands
        for login in self._logins_used:
            yield from forms(login)

    def _is_good(self, token: Token) -> bool:
        return self._clock() < token.expires_at - _MARGIN

    async def _fetch(self, login: Login, scopes: tuple[str, ...]) -> Token:
        """Ask the token server that the registry named."""
        assert self.challenge is not None
        verify = self._endpoint.verify or self._is_secure
        wanted = challenge.token_request(self.challenge, login, scopes, verify=verify)
        headers = _basic(wanted.login) if wanted.login else {}
        body = None
        if wanted.form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(wanted.form).encode()
        response = await self._wire.exchange(wanted.method, wanted.url, headers, body)
        try:
            if response.status == 200:
                token = challenge.parse_token(await response.read(_TOKEN_LIMIT), self._clock())
                self.accepted(headers.get("Authorization"))
                return token
            error = await failure(response, redacted=self.redacted)
        finally:
            await response.release()
        if isinstance(error, Unauthorized):
            error.retell(f"the token server of {self._endpoint.host} refuses the login ({error.status})")
            error.hint = "check user name and password" if not login.is_anonymous else "give it a login"
            self.advise(error)
        raise error


def _wanted(response: Response) -> Challenge | None:
    """The login that a 401 asks for: bearer where it is offered, else basic, else None."""
    offered = {one.scheme: one for one in reversed(challenge.parse(response.header_values("WWW-Authenticate")))}
    return offered.get("bearer") or offered.get("basic")


def _bearer(token: Token) -> str:
    return f"Bearer {token.secret.reveal()}"


def _basic(login: Login) -> dict[str, str]:
    return {} if login.password is None else {"Authorization": basic(login)}
