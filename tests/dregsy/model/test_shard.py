import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dregsy.model.shard import Shard, ShardByEnd

NAMES = st.lists(st.text(min_size=1, max_size=40), max_size=30, unique=True)
COUNTS = st.integers(1, 12)


def owners(name: str, count: int) -> list[int]:
    """All replicas that take a name for theirs."""
    return [index for index in range(count) if Shard(index, count).has(name)]


@given(NAMES, COUNTS)
def test_each_name_has_exactly_one_replica(names: list[str], count: int) -> None:
    """Together the replicas have everything, and no two of them have the same."""
    assert [1] * len(names) == [len(owners(name, count)) for name in names]


def test_names_that_end_alike() -> None:
    """Names with the same last part have the same replica, the one that this part alone has."""
    for name in ("alpine", "busybox", "nginx", "redis"):
        held = [[ShardByEnd(index, 3).has(f"{path}{name}") for index in range(3)] for path in ("", "mirror/", "a/b/")]
        assert held == [[Shard(index, 3).has(name) for index in range(3)]] * 3


@given(NAMES, COUNTS)
def test_one_replica_more_only_takes(names: list[str], count: int) -> None:
    """What the new one does not take stays where it was."""
    for name in names:
        (before,), (after,) = owners(name, count), owners(name, count + 1)
        assert after in {before, count}


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_one_replica_more_takes_its_part(count: int) -> None:
    """Of n replicas the last to come takes about a n-th, and each has about as much as any other."""
    names = [f"team-{number % 17}/service-{number}" for number in range(2000)]
    held = [owners(name, count + 1)[0] for name in names]

    fair = len(names) / (count + 1)
    assert all(0.8 * fair < held.count(index) < 1.2 * fair for index in range(count + 1))


def test_who_has_what_never_changes() -> None:
    """Replicas of different versions agree, as they have to while an update is rolled out."""
    names = ["library/alpine", "library/busybox", "mirror/nginx", "a", "team/ü", "\ud800"]

    assert [owners(name, 3)[0] for name in names] == [2, 2, 0, 0, 1, 2]


@pytest.mark.parametrize(
    ("text", "hostname", "expected"),
    [
        ("0/1", "", Shard()),
        ("2/3", "mirror-1", Shard(2, 3)),
        (" 999/1000 ", "", Shard(999, 1000)),
        ("auto/3", "mirror-0", Shard(0, 3)),
        ("auto/12", "a-b-7-11", Shard(11, 12)),
    ],
)
def test_parse(text: str, hostname: str, expected: Shard) -> None:
    """A number counts from 0, and ``auto`` is the number of a StatefulSet's pod."""
    assert expected == Shard.parse(text, hostname=hostname)


@pytest.mark.parametrize(
    ("text", "hostname", "message"),
    [
        ("", "", "COUNT from 1 to 1000"),
        ("3", "", "COUNT from 1 to 1000"),
        ("0/0", "", "COUNT from 1 to 1000"),
        ("0/1001", "", "COUNT from 1 to 1000"),
        ("0/x", "", "COUNT from 1 to 1000"),
        ("1/2/3", "", "COUNT from 1 to 1000"),
        ("3/3", "", "INDEX to be 0 to 2"),
        ("-1/3", "", "INDEX to be 0 to 2"),
        ("/3", "", "INDEX to be 0 to 2"),
        ("²/3", "", "INDEX to be 0 to 2"),
        ("auto/3", "", "HOSTNAME '' to end in -0 to 2"),
        ("auto/3", "mirror", "HOSTNAME 'mirror' to end in -0 to 2"),
        ("auto/3", "2", "HOSTNAME '2' to end in -0 to 2"),
        ("auto/3", "mirror-3", "HOSTNAME 'mirror-3' to end in -0 to 2"),
        ("auto/3", "mirror-7d9f8b-x2x", "to end in -0 to 2"),
    ],
)
def test_what_is_no_shard(text: str, hostname: str, message: str) -> None:
    """It is said what is expected, with the numbers that there may be."""
    with pytest.raises(ValueError, match=re.escape(message)):
        Shard.parse(text, hostname=hostname)
