from dregsy.model.report import Answered, LoginFetched, RequestRetried
from dregsy.web.traffic import HOSTS
from tests.dregsy.web.events import Book, task


def test_requests_by_answer() -> None:
    """By host, method and status; what was not answered, and what is no status of HTTP, have labels of their own."""
    book = Book(task())
    for status in (200, 200, 0, 999):
        book(Answered("a.test", "GET", status))
    book(RequestRetried("a.test"), Answered("b.test", "HEAD", 429, remaining=0))

    assert book.of("requests_total") == {
        'requests_total{host="a.test",method="GET",status="200"}': 2,
        'requests_total{host="a.test",method="GET",status="none"}': 1,
        'requests_total{host="a.test",method="GET",status="other"}': 1,
        'requests_total{host="b.test",method="HEAD",status="429"}': 1,
    }
    assert book.of("requests_retried") == {'requests_retried_total{host="a.test"}': 1}
    assert book.of("ratelimit") == {'ratelimit_remaining_requests{host="b.test"}': 0}


def test_a_registry_cannot_make_up_hosts() -> None:
    """However many hosts a registry sends us to, only so many are told apart; those of the config always are."""
    book = Book(task(source="docker.io"))
    for number in range(HOSTS + 5):
        book(Answered(f"{number}.test", "GET", 200))
    book(Answered("registry-1.docker.io", "GET", 200))

    found = book.of("requests_total")
    assert len(found) == HOSTS + 2
    assert found['requests_total{host="other",method="GET",status="200"}'] == 5
    assert found['requests_total{host="registry-1.docker.io",method="GET",status="200"}'] == 1


def test_logins_of_clouds() -> None:
    """When each ends, as it was told last."""
    book = Book(task())
    book(LoginFetched("a.test", 5.0), LoginFetched("a.test", 7.0))

    assert book.of("login") == {'login_expiry_timestamp_seconds{host="a.test"}': 7}
