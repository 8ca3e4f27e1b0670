"""Platforms have one spelling, and the best entry of an index is found as containerd finds it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dregsy.model.platform import Platform, choose


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux/amd64", Platform("linux", "amd64")),
        ("linux/amd64/v1", Platform("linux", "amd64")),
        ("linux/amd64/v3", Platform("linux", "amd64", "v3")),
        (" Linux/X86_64 ", Platform("linux", "amd64")),
        ("linux/aarch64", Platform("linux", "arm64")),
        ("linux/arm64/v8", Platform("linux", "arm64")),
        ("linux/arm64/8", Platform("linux", "arm64")),
        ("linux/arm", Platform("linux", "arm", "v7")),
        ("linux/arm/6", Platform("linux", "arm", "v6")),
        ("linux/armhf", Platform("linux", "arm", "v7")),
        ("linux/armel", Platform("linux", "arm", "v6")),
        ("linux/i386", Platform("linux", "386")),
        ("windows/amd64", Platform("windows", "amd64")),
    ],
)
def test_each_platform_has_one_spelling(text: str, expected: Platform) -> None:
    """Other tools' names for a processor mean the same as ours."""
    assert expected == Platform.parse(text)
    assert expected == Platform.parse(str(expected))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "linux",
        "/",
        "linux/",
        "/amd64",
        "linux/arm/",
        "linux/arm/v7/x",
        "linux amd64",
        "linux/amd64,linux/arm",
        "a/b c",
    ],
)
def test_what_is_no_platform_is_refused(text: str) -> None:
    """The message tells how a platform is written."""
    with pytest.raises(ValueError, match="written os/architecture"):
        Platform.parse(text)


OFFERS = [
    Platform("linux", "amd64"),
    None,
    Platform("unknown", "unknown"),
    Platform("linux", "arm", "v5"),
    Platform("linux", "arm", "v6"),
    Platform("linux", "arm64", "v8"),
    Platform("linux", "amd64", "v2"),
    Platform("windows", "amd64", "", "10.0.17763.1"),
    Platform("windows", "amd64", "", "10.0.20348.1"),
    Platform("linux", "amd64"),
]


@pytest.mark.parametrize(
    ("wanted", "position"),
    [
        (Platform("linux", "amd64"), 0),
        (Platform("linux", "x86_64"), 0),
        (Platform("linux", "amd64", "v2"), 6),
        (Platform("linux", "amd64", "v3"), 6),
        (Platform("linux", "arm", "v7"), 4),
        (Platform("linux", "arm"), 4),
        (Platform("linux", "arm", "v5"), 3),
        (Platform("linux", "arm64"), 5),
        (Platform("linux", "arm64", "v9"), 5),
        (Platform("windows", "amd64"), 7),
        (Platform("windows", "amd64", "", "10.0.20348.1"), 8),
        (Platform("windows", "amd64", "", "10.0.1"), None),
        (Platform("linux", "riscv64"), None),
        (Platform("darwin", "amd64"), None),
    ],
)
def test_the_best_offer_is_chosen(wanted: Platform, position: int | None) -> None:
    """A processor takes what is made for it before what older ones can run; entries without platform never."""
    assert position == choose(wanted, OFFERS)


def test_an_arm64_machine_runs_arm() -> None:
    """Where an index has nothing for arm64, the best of 32-bit arm is taken."""
    assert choose(Platform("linux", "arm64"), [Platform("linux", "arm", "v6"), Platform("linux", "arm", "v7")]) == 1


ARM = ("arm/v8", "arm/v7", "arm/v6", "arm/v5")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("amd64", ("amd64", "386")),
        ("amd64/v2", ("amd64/v2", "amd64", "386")),
        ("amd64/v4", ("amd64/v4", "amd64/v3", "amd64/v2", "amd64", "386")),
        ("386", ("386",)),
        ("arm", ARM[1:]),
        ("arm/v6", ARM[2:]),
        ("arm/v9", ("arm/v9",)),
        ("arm64", ("arm64", *ARM)),
        ("arm64/v8.1", ("arm64/v8.1", "arm64", *ARM)),
        ("arm64/v8.3", ("arm64/v8.3", "arm64/v8.2", "arm64/v8.1", "arm64", *ARM)),
        ("arm64/v9", ("arm64/v9", *(f"arm64/v8.{one}" for one in (5, 4, 3, 2, 1)), "arm64", *ARM)),
        (
            "arm64/v9.2",
            ("arm64/v9.2", "arm64/v9.1", "arm64/v9", *(f"arm64/v8.{n}" for n in range(7, 0, -1)), "arm64", *ARM),
        ),
        ("arm64/v9.x", ("arm64/v9.x", "arm64", *ARM)),
        ("s390x", ("s390x",)),
        ("ppc64le/power9", ("ppc64le/power9", "ppc64le")),
    ],
)
def test_what_runs_on_a_processor(text: str, expected: tuple[str, ...]) -> None:
    """The order is containerd's: newer variants first, then what the processor can also be."""
    assert tuple(f"linux/{one}" for one in expected) == tuple(map(str, Platform.parse(f"linux/{text}").accepted()))


def test_nothing_is_chosen_from_nothing() -> None:
    """An empty index fits nobody."""
    assert choose(Platform("linux", "amd64"), []) is None


names = st.sampled_from(["amd64", "arm", "arm64", "386", "aarch64", "armhf", "x86_64", "s390x"])
variants = st.sampled_from(["", "v1", "v2", "v5", "v6", "v7", "v8", "8", "7", "odd"])
platforms = st.builds(Platform, st.sampled_from(["linux", "Windows"]), names, variants)


@given(platforms)
def test_normalizing_twice_changes_nothing(platform: Platform) -> None:
    """The one spelling is spelled that way already, and each platform runs itself first."""
    own = platform.normalized()

    assert own == own.normalized()
    assert own == platform.accepted()[0]
    assert len(set(platform.accepted())) == len(platform.accepted())


@given(platforms, st.lists(st.one_of(st.none(), platforms), max_size=6))
def test_an_exact_offer_always_wins(wanted: Platform, offers: list[Platform | None]) -> None:
    """Whatever else an index has, what was asked for is taken, and the first of several."""
    position = choose(wanted, [*offers, wanted])
    expected = [offer.normalized() if offer else None for offer in [*offers, wanted]].index(wanted.normalized())

    assert expected == position
