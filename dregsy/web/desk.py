"""Where tasks are run now, paused and resumed, by those who have the token, which is sent along each time.

There are no sessions and no cookies, so another site's page can make nobody's browser do anything here; nor can it use
up the guesses of who looks at it.
"""

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from dregsy.log import one_line
from dregsy.model.endpoint import Secret
from dregsy.model.plan import Once
from dregsy.model.report import Listener, Warned
from dregsy.orders import Orders
from dregsy.web.board import Board

RUN, PAUSE, RESUME = "run", "pause", "resume"
VERBS = (RUN, PAUSE, RESUME)
GUESSES = 10
"""How many wrong tokens an address has in a minute; then only the right one is heard, for others may share it."""
_MINUTE = 60.0
_PEERS = 1000
"""How many addresses are remembered; the oldest go first."""
_NETWORK = 64
"""How many bits of an IPv6 address count: who has one has all that begin so."""
_SAID = {
    RUN: "runs as soon as the run in progress, if any, has ended",
    PAUSE: "is paused until it is resumed, or dregsy is started anew",
    RESUME: "runs again when its next time comes",
}
_TOLD = {RUN: "a run was asked for", PAUSE: "paused", RESUME: "resumed"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an order: a status of HTTP, and words; ``wait`` is in seconds."""

    status: int
    message: str
    hint: str = ""
    wait: int = 0

    @property
    def ok(self) -> bool:
        """Whether it was taken."""
        return self.status == 200


class Guesses:
    """Counts wrong tokens by the address that sends them."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._wrong: dict[str, tuple[float, int]] = {}

    def wait(self, peer: str) -> float:
        """Return for how many seconds an address has to wait; 0 when it need not."""
        since, count = self._wrong.get(network(peer), (0.0, 0))
        left = since + _MINUTE - self._now()
        return left if count >= GUESSES and left > 0 else 0.0

    def wrong(self, peer: str) -> None:
        """Count one."""
        key, now = network(peer), self._now()
        since, count = self._wrong.pop(key, (now, 0))
        self._wrong[key] = (since, count + 1) if now - since < _MINUTE else (now, 1)
        if len(self._wrong) > _PEERS:
            del self._wrong[next(iter(self._wrong))]


class Desk:
    """Takes orders about the tasks on a board, and has each of them logged."""

    def __init__(
        self,
        board: Board,
        orders: Orders,
        token: Secret | None,
        emit: Listener,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._orders = orders
        self._token = token
        self._emit = emit
        self._guesses = Guesses(now)

    @property
    def is_open(self) -> bool:
        """Whether it takes any orders."""
        return self._token is not None

    def take(self, verb: str, task: str, token: str, peer: str) -> Answer:
        """Take the order that ``peer``, an address, gives about the tasks of a name; ``verb`` is one of VERBS."""
        return self._refusal(token, peer) or self._done(verb, task, peer)

    def _refusal(self, token: str, peer: str) -> Answer | None:
        if self._token is None:
            return Answer(403, "nothing can be changed here", "set 'token' below 'listen' in the config")
        if hmac.compare_digest(token.encode("utf-8", "replace"), self._token.reveal().encode()):
            return None
        if wait := self._guesses.wait(peer):
            return Answer(429, "too many wrong tokens", "wait a minute, or send the right one", int(wait) + 1)
        if token:
            self._guesses.wrong(peer)
        return Answer(401, "that is not the token" if token else "a token is needed", "it is 'listen.token'")

    def _done(self, verb: str, task: str, peer: str) -> Answer:
        found = list(self._board.names(task))
        name = one_line(task[:200])
        if not found:
            return Answer(404, f"there is no task {name!r}", "its name is what 'name' says in the config")
        if verb != RUN and all(isinstance(entry.task.schedule, Once) for entry in found):
            return Answer(409, f"task {name!r} runs once, and has no times to pause", "it can be run now")
        act = {RUN: self._orders.run_now, PAUSE: self._orders.pause, RESUME: self._orders.resume}[verb]
        act(task)
        self._emit(Warned(task, f"{_TOLD[verb]} through the status page or its API, from {peer}"))
        return Answer(200, f"task {name!r} {_SAID[verb]}")


def network(peer: str) -> str:
    """Return what counts as one address."""
    try:
        address = ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            return str(ip_network((int(address), _NETWORK), strict=False))
        address = address.ipv4_mapped
    return str(address)
