"""Replacing ``${…}``: what is put in, and what is said where nothing can be."""

from pathlib import Path

import pytest

from dregsy.config.environment import FILE_LIMIT, TooLong, Unresolved, replace

ENVIRON = {"A": "one", "B_2": "t${A}o", "EMPTY": "", "NL": "a\nb: c"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("no dollar", "no dollar"),
        ("$A $ $$ {A}", "$A $ $$ {A}"),
        ("${A}", "one"),
        ("x${A}y${A}", "xoneyone"),
        ("${B_2}", "t${A}o"),
        ("${NL}", "a\nb: c"),
        ("${EMPTY}", ""),
        ("${UNSET:-default}", "default"),
        ("${EMPTY:-default}", "default"),
        ("${A:-default}", "one"),
        ("${UNSET:-}", ""),
        ("${UNSET:-a:-b}", "a:-b"),
        ("${UNSET:-http://x/$1}", "http://x/$1"),
        ("$${A}", "${A}"),
        ("$${", "${"),
        ("$$${A}", "$${A}"),
        ("$${A}${A}", "${A}one"),
    ],
)
def test_replace(text: str, expected: str) -> None:
    """Variables and defaults are put in, ``$${`` is a literal one, and nothing is replaced twice."""
    assert expected == replace(text, ENVIRON)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${UNSET}", "the environment variable UNSET is not set"),
        ("${A", "'${' has no closing '}'"),
        ("${}", "'${…}' does not hold the name of a variable"),
        ("${1}", "'${…}' does not hold the name of a variable"),
        ("${a b}", "'${…}' does not hold the name of a variable"),
        ("${:-x}", "'${…}' does not hold the name of a variable"),
        ("${file:relative}", "'${file:…}' needs a path that starts with '/'"),
        ("${file:/no/such/file}", "the file '/no/such/file' cannot be read: No such file or directory"),
        ("${file:/}", "the file '/' cannot be read: Is a directory"),
        ("${file:/a\0b}", "the file that is named here is not a text in UTF-8"),
    ],
)
def test_unresolved(text: str, message: str) -> None:
    """What cannot be replaced is told, never guessed."""
    with pytest.raises(Unresolved) as caught:
        replace(text, ENVIRON)
    assert message == caught.value.message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b"secret", "secret"),
        (b"a\n\n", "a\n"),
        (b" ${A} ", " ${A} "),
    ],
)
def test_mounted_secret(tmp_path: Path, content: bytes, expected: str) -> None:
    """A mounted file is put in as it is, but for one line end."""
    path = tmp_path / "secret"
    path.write_bytes(content)
    assert f"<{expected}>" == replace(f"<${{file:{path}}}>", {})


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"hunter2\xff", "is not a text in UTF-8"), (b"x" * (FILE_LIMIT + 1), "is larger than 1024 KiB")],
)
def test_mounted_file_that_is_no_secret(tmp_path: Path, content: bytes, message: str) -> None:
    """A file that cannot be a secret is refused, and not quoted."""
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(Unresolved) as caught:
        replace(f"${{file:{path}}}", {})
    assert caught.value.message.endswith(message)
    assert "hunter2" not in f"{caught.value} {caught.value!r}"


def test_room() -> None:
    """What is longer than there is room for is refused, and not quoted."""
    assert replace("a${X}", {"X": "bc"}, room=3) == "abc"
    with pytest.raises(TooLong) as caught:
        replace("a${X}", {"X": "hunter2"}, room=7)
    assert "hunter2" not in f"{caught.value} {caught.value!r}"
