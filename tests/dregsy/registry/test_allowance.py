"""What registries tell about how many pulls are left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dregsy.registry.allowance import Allowance, allowance


@pytest.mark.parametrize(
    ("left", "limit", "source", "expected"),
    [
        ("76;w=21600", "100;w=21600", "192.0.2.1", Allowance(76, 100, 21600, "192.0.2.1")),
        ("76", "100", "", Allowance(76, 100, None, "")),
        (" 0 ; w=60", "", "", Allowance(0, None, 60, "")),
        ("5;comment=x;w=3600", "x", "\x1b[2J", Allowance(5, None, 3600, "")),
        ("", "100;w=21600", "", None),
        ("-1", "", "", None),
        ("³", "", "", None),
        ("9" * 40, "", "", None),
    ],
)
def test_headers(left: str, limit: str, source: str, expected: Allowance | None) -> None:
    """Docker Hub's headers are understood; what makes no sense counts as nothing."""
    headers = {"RateLimit-Remaining": left, "RateLimit-Limit": limit, "Docker-RateLimit-Source": source}

    assert expected == allowance(headers)


def test_words() -> None:
    """People are told all that is known."""
    assert str(Allowance(76, 100, 21600, "192.0.2.1")) == "76 of 100 pulls left in 6 h, counted for 192.0.2.1"
    assert str(Allowance(3)) == "3 pulls left"


@given(st.text(), st.text())
def test_no_header_is_a_crash(left: str, limit: str) -> None:
    """Whatever stands there: a number that is not negative, or nothing."""
    known = allowance({"RateLimit-Remaining": left, "RateLimit-Limit": limit})

    assert known is None or known.left >= 0
