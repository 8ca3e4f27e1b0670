from dregsy.embedded.requestlog import Request, RequestLog


def test_requests_are_counted_by_method_and_pattern() -> None:
    """The pattern is looked for in the path and the query; the method is exact."""
    log = RequestLog()
    log.begin("GET", "/v2/a/blobs/sha256:1", "")
    log.begin("GET", "/v2/a/blobs/sha256:2", "")
    log.begin("POST", "/v2/a/blobs/uploads/", "mount=sha256:1&from=b")
    assert (
        log.count("GET", "/blobs/"),
        log.count("GET", "sha256:1"),
        log.count("POST", "[?&]mount="),
        log.count("PUT", ""),
    ) == (2, 1, 1, 0)


def test_what_is_read_does_not_change() -> None:
    """A request that goes on is listed as far as it is known; the list that was read stays as it is."""
    log = RequestLog()
    exchange = log.begin("GET", "/v2/", "")
    before = list(log)
    exchange.status, exchange.bytes_out = 200, 2
    assert [Request("GET", "/v2/", "", 0, 0, 0)] == before
    assert [Request("GET", "/v2/", "", 200, 0, 2)] == list(log)


def test_the_log_can_be_cleared() -> None:
    """After clearing, only new requests count."""
    log = RequestLog()
    log.begin("GET", "/v2/", "")
    log.clear()
    assert list(log) == []
