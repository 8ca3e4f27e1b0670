"""Asks dregsy's own HTTP server, as Prometheus and Kubernetes do."""

from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import urlencode, urlsplit

from prometheus_client.parser import text_string_to_metric_families

SECONDS = 30


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str


def ask(
    url: str,
    path: str,
    *,
    method: str = "GET",
    accept: str = "",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send one request to the server at ``url``."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=SECONDS)
    try:
        connection.request(method, path, body, headers={**({"Accept": accept} if accept else {}), **(headers or {})})
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read().decode())
    finally:
        connection.close()


def order(url: str, path: str, *, headers: Mapping[str, str] | None = None, **fields: str) -> Answer:
    """Send a form, as a browser does."""
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    return ask(url, path, method="POST", body=urlencode(fields).encode(), headers={**kind, **(headers or {})})


def figures(text: str) -> dict[str, float]:
    """Read metrics as Prometheus does; the keys are ``name{label="value",…}`` with sorted labels."""
    return {
        sample.name + _labels(sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(url: str) -> dict[str, float]:
    """Return the metrics of the server at ``url``, as ``figures`` does."""
    return figures(ask(url, "/metrics").text)


def _labels(labels: Mapping[str, str]) -> str:
    inner = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    return f"{{{inner}}}" if inner else ""
