"""References are read by docker's rules, and what is not legal is said to be so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dregsy.model.digest import Digest
from dregsy.model.ref import Ref, is_host, is_repository, is_tag

HEX = "0123456789abcdef" * 4
DIGEST = Digest("sha256", HEX)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("busybox", Ref("docker.io", "library/busybox")),
        ("busybox:1.36", Ref("docker.io", "library/busybox", "1.36")),
        ("docker.io/busybox", Ref("docker.io", "library/busybox")),
        ("index.docker.io/busybox", Ref("docker.io", "library/busybox")),
        ("grafana/loki", Ref("docker.io", "grafana/loki")),
        ("localhost/a", Ref("localhost", "a")),
        ("localhost:5000/a/b:x", Ref("localhost:5000", "a/b", "x")),
        ("registry.example.com/a", Ref("registry.example.com", "a")),
        ("my_registry.local/a__b/c-d.e", Ref("my_registry.local", "a__b/c-d.e")),
        ("[::1]:5000/a", Ref("[::1]:5000", "a")),
        ("[2001:db8::1]/a:b", Ref("[2001:db8::1]", "a", "b")),
        (f"quay.io/a@sha256:{HEX}", Ref("quay.io", "a", None, DIGEST)),
        (f"quay.io/a:b@sha256:{HEX}", Ref("quay.io", "a", "b", DIGEST)),
        ("h.io/a:" + "x" * 128, Ref("h.io", "a", "x" * 128)),
    ],
)
def test_references_are_read(text: str, expected: Ref) -> None:
    """Host, repository, tag and digest are told apart, and Docker Hub's short names are written out."""
    assert expected == Ref.parse(text)
    assert expected == Ref.parse(str(expected))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Localhost:5000/x:v1", "localhost:5000/x:v1"),
        ("r.example.com:443/x:v1", "R.example.com/x:v1"),
        ("registry.hub.docker.com/library/x:v1", "docker.io/x:v1"),
        ("registry.hub.docker.com/x:v1", "x:v1"),
        ("Index.Docker.io:443/x:v1", "registry-1.docker.io/x:v1"),
        (f"a.io/x:v1@sha256:{HEX}", "a.io/x:v1"),
    ],
)
def test_one_place_has_many_spellings(one: str, other: str) -> None:
    """Case, the port that https has anyway, and Docker Hub's names make no other place."""
    assert Ref.parse(one).place == Ref.parse(other).place


@pytest.mark.parametrize("other", ["a.io:444/x:v1", "a.io/y:v1", "a.io/x:V1", "a.io/x", "a.io:80/x:v1"])
def test_other_places(other: str) -> None:
    """Another port, repository or tag is another place."""
    assert Ref.parse("a.io/x:v1").place != Ref.parse(other).place


@pytest.mark.parametrize(
    "text",
    [
        *("", "/", "a/", "h.io/", "h.io//a", "h.io/a/", "h.io/A", "h.io/a b", "h.io/a\n", "h.io/a:b\n", "h.io/a:"),
        *("h.io/a:b:c", "h.io/a:b/c", "h.io/-a", "h.io/a..b", "h.io/a___b", "h.io/../x", "h.io/a?b", "h.io/a#b"),
        *(
            "h.io/a:.x",
            "h.io/a:" + "x" * 129,
            "h.io/" + "a" * 256,
            "h.io/a@",
            "h.io/a@sha256:abc",
            "h.io/ä",
            "h.io/\ud800",
        ),
        *(f"h.io/a@sha256:{HEX.upper()}", f"h.io/a@sha256:{HEX}@sha256:{HEX}", "https://h.io/a", "user@h.io/a"),
        *("h.io:/a", "h.io:0/a", "h.io:65536/a", "h.io:99999/a", "h.io:x/a", "h..io/a", ".io/a", "-h.io/a", "h.io./a"),
        *("[::1/a", "::1/a", "[::g]:1/a", "[1:2:3]/a", "[]/a", "[::1]x/a", "h\n.io/a", "h.\ud800/a"),
        *("x" * 64 + ".io/a", ".".join(["x" * 60] * 5) + "/a"),
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    """Nothing odd gets into a URL: each part has to be legal as a whole, line ends and ports included."""
    with pytest.raises(ValueError, match="not a "):
        Ref.parse(text)


@given(st.text(alphabet="aA0.:/@-_[]\n\ud800 ", max_size=30))
def test_any_text_is_a_reference_or_a_value_error(text: str) -> None:
    """Nothing but ValueError leaves the parser, and what it gives reads as itself."""
    try:
        ref = Ref.parse(text)
    except ValueError:
        return

    assert ref == Ref.parse(str(ref))


def test_a_refused_name_tells_the_rules() -> None:
    """Upper case is what people stumble over most."""
    with pytest.raises(ValueError, match="lower-case letters and digits"):
        Ref.of("h.io", "Team/App")


def test_the_reference_is_the_digest_before_the_tag() -> None:
    """A manifest's URL ends in the digest where there is one; a repository names no manifest."""
    ref = Ref.parse("h.io/a:b")

    assert ref.reference == "b"
    assert ref.with_tag("b", DIGEST).reference == str(DIGEST)
    with pytest.raises(ValueError, match="names a repository"):
        _ = ref.with_tag(None).reference


def test_references_sort_with_and_without_tags() -> None:
    """By host, repository, tag and digest; one without a tag comes first."""
    expected = [
        Ref("a.io", "x", None, DIGEST),
        Ref("a.io", "x", "1"),
        Ref("a.io", "x", "1", DIGEST),
        Ref("a.io", "x", "2"),
        Ref("a.io", "y"),
        Ref("b.io", "a"),
    ]

    assert expected == sorted(expected[place] for place in (3, 0, 5, 1, 4, 2))


@pytest.mark.parametrize(
    ("text", "legal"),
    [
        *(("h", True), ("h.io", True), ("127.0.0.1:1", True), ("[::1]:65535", True), ("h_x.io", True), ("H.IO", True)),
        *(
            ("", False),
            ("h.io/x", False),
            ("h:", False),
            ("h:65536", False),
            ("[::1", False),
            ("h\n", False),
            ("ä", False),
        ),
    ],
)
def test_hosts_are_checked(text: str, legal: bool) -> None:
    """A host is a name or an address, with a port that exists or none."""
    assert legal is is_host(text)


def test_repositories_and_tags_are_checked() -> None:
    """The predicates answer for any text."""
    assert [is_repository(text) for text in ("a/b", "", "A", "\ud800")] == [True, False, False, False]
    assert [is_tag(text) for text in ("_a", "A.-", "", "-a", "\ud800")] == [True, True, False, False, False]
