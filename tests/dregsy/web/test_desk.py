import pytest

from dregsy.model.endpoint import Secret
from dregsy.model.plan import Every, Once
from dregsy.model.report import Event, Warned
from dregsy.orders import Orders
from dregsy.web.board import Board
from dregsy.web.desk import GUESSES, VERBS, Answer, Desk, network
from tests.dregsy.web.stage import TOKEN, task

PEER = "192.0.2.1"


class Room:
    """A desk at a time that is set by hand."""

    def __init__(self, token: str = TOKEN) -> None:
        self.time = 0.0
        self.told: list[Event] = []
        self.orders = Orders()
        board = Board([task(), task("once", Once()), task("twin", Every(60)), task("twin", Once())])
        secret = Secret(token) if token else None
        self.desk = Desk(board, self.orders, secret, self.told.append, now=lambda: self.time)

    def take(self, verb: str = "run", task: str = "nightly", token: str = TOKEN, peer: str = PEER) -> Answer:
        """Give an order."""
        return self.desk.take(verb, task, token, peer)

    def statuses(self, count: int, **order: str) -> list[int]:
        """Give an order so many times."""
        return [self.take(**order).status for _ in range(count)]


@pytest.fixture
def room() -> Room:
    """Return a desk that takes orders."""
    return Room()


def test_orders_are_given_and_logged(room: Room) -> None:
    """Each does what it says, and a warning tells that, and from where it came."""
    answers = [room.take(verb) for verb in VERBS]

    assert [(one.ok, one.status) for one in answers] == [(True, 200)] * 3
    assert (room.orders.is_asked("nightly"), room.orders.is_paused("nightly")) == (True, False)
    way = f"through the status page or its API, from {PEER}"
    said = (f"a run was asked for {way}", f"paused {way}", f"resumed {way}")
    assert room.told == [Warned("nightly", text) for text in said]


def test_without_a_token_nothing_can_be_changed() -> None:
    """Whatever is sent: the answer says what to write into the config."""
    room = Room(token="")

    answers = [room.take(verb, token=token) for verb in VERBS for token in ("", TOKEN)]

    assert {(one.status, one.hint) for one in answers} == {(403, "set 'token' below 'listen' in the config")}
    assert (room.desk.is_open, room.orders.is_asked("nightly"), room.told) == (False, False, [])


@pytest.mark.parametrize("token", ["", TOKEN[:-1], TOKEN + "0", "\udcff", "ümläut"])
def test_wrong_tokens(room: Room, token: str) -> None:
    """None of them does anything, whatever it is made of; no answer repeats it, or the right one."""
    answer = room.take(token=token)

    assert (answer.status, room.orders.is_asked("nightly")) == (401, False)
    assert TOKEN not in f"{answer}{room.told}"


def test_tasks_that_there_are_not(room: Room) -> None:
    """The answer names them, fit for a terminal and short; whoever has no token does not learn of that."""
    unknown = room.take(task="\x1b[31m" + "x" * 5000)

    assert (unknown.status, len(unknown.message) < 300, "\x1b" in unknown.message) == (404, True, False)
    assert room.take(task="other", token="").status == 401


def test_what_runs_once_has_no_times_to_pause(room: Room) -> None:
    """It can be run again, though; of two tasks with one name it is enough that one has times."""
    assert [room.take(verb, "once").status for verb in VERBS] == [200, 409, 409]
    assert [room.take(verb, "twin").status for verb in VERBS] == [200, 200, 200]


def test_guessing_takes_time(room: Room) -> None:
    """After ten wrong tokens in a minute an address has to wait; others need not."""
    wrong = room.statuses(GUESSES, token="wrong")
    late = room.take(token="wrong")
    other = room.take(token="wrong", peer="192.0.2.2")
    room.time = 61.0

    assert wrong == [401] * GUESSES
    assert (late.status, late.wait) == (429, 61)
    assert [other.status, room.take(token="wrong").status] == [401, 401]


def test_who_has_the_token_is_never_locked_out(room: Room) -> None:
    """Whatever others send who share the address, behind a proxy or on the same machine."""
    room.statuses(GUESSES + 5, token="wrong")

    assert [room.take().status, room.take(token="").status] == [200, 429]


def test_forgetting_the_token_is_no_guess(room: Room) -> None:
    """Who sends none is told so, however often."""
    assert room.statuses(50, token="") == [401] * 50


def test_slow_guesses_count_minute_by_minute(room: Room) -> None:
    """A few wrong ones an hour never lock anybody out."""
    for _ in range(30):
        room.time += 61.0
        assert room.statuses(2, token="wrong") == [401, 401]


def test_many_addresses(room: Room) -> None:
    """However many guess, only so many are remembered; the newest are."""
    for number in range(5000):
        room.take(token="wrong", peer=f"10.0.{number // 250}.{number % 250}")

    assert room.statuses(GUESSES, token="wrong", peer="10.0.19.249") == [401] * (GUESSES - 1) + [429]


def test_networks() -> None:
    """Who has one address of IPv6 has many, which count as one."""
    assert network("2001:db8::1") == network("2001:db8::ffff") != network("2001:db8:0:1::1")
    assert [network(peer) for peer in ("192.0.2.1", "::ffff:192.0.2.1", "")] == ["192.0.2.1", "192.0.2.1", ""]
