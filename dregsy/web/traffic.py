"""Metrics about hosts: requests to them, what they still allow, and logins.

Registries may send us to any number of hosts; only so many of these have a label of their own.
"""

from collections.abc import Sequence
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Counter, Gauge

from dregsy.model.plan import Task
from dregsy.model.report import Answered, Event, LoginFetched, RequestRetried

HOSTS = 50
"""How many hosts that are no registries of the config have a label of their own."""
OTHER = "other"
_STATUSES = frozenset(int(status) for status in HTTPStatus)


class Traffic:
    """A listener that counts requests."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._hosts: set[str] = set()
        self._others: set[str] = set()
        self._requests = Counter(
            "dregsy_requests", "Requests sent, by what came back.", ["host", "method", "status"], registry=registry
        )
        self._retried = Counter(
            "dregsy_requests_retried", "Requests sent again after a passing fault.", ["host"], registry=registry
        )
        self._remaining = Gauge(
            "dregsy_ratelimit_remaining_requests",
            "How many requests the host said last that it will still take.",
            ["host"],
            registry=registry,
        )
        self._expiry = Gauge(
            "dregsy_login_expiry_timestamp_seconds", "When a login from a cloud ends.", ["host"], registry=registry
        )

    def __call__(self, event: Event) -> None:
        """Count an event."""
        match event:
            case Answered(host, method, status, remaining):
                host = self._label(host)
                self._requests.labels(host, method, _word(status)).inc()
                if remaining is not None:
                    self._remaining.labels(host).set(remaining)
            case RequestRetried(host):
                self._retried.labels(self._label(host)).inc()
            case LoginFetched(host, expires):
                self._expiry.labels(host).set(expires)

    def take_up(self, tasks: Sequence[Task]) -> None:
        """Tell the registries of these tasks apart from now on; what is about those of the config before is no more."""
        self._expiry.clear()
        hosts = {endpoint.api_host for task in tasks for endpoint in (task.source, *task.targets)}
        for host in self._hosts - hosts:
            for metric in (self._requests, self._retried, self._remaining):
                metric.remove_by_labels({"host": host})
        self._hosts = hosts

    def _label(self, host: str) -> str:
        if host in self._hosts or host in self._others:
            return host
        if len(self._others) >= HOSTS:
            return OTHER
        self._others.add(host)
        return host


def _word(status: int) -> str:
    """Write the status of an answer; ``none`` where there was no answer, ``other`` for one that HTTP does not know."""
    return str(status) if status in _STATUSES else OTHER if status else "none"
