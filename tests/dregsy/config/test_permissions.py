from pathlib import Path

import pytest

from dregsy.config.load import load

AUTH = "dXNlcjpodW50ZXIy"
TEXT = """relay: native
tasks:
  - name: a
    source: {{registry: a.example.com, auth: "{auth}"}}
    target: {{registry: b.example.com, auth: none}}
    mappings: [{{from: a/b}}]
"""


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ("slack: https://hooks.test/x", "notify[0].slack"),
        ("slack: {url: https://hooks.test/x}", "notify[0].slack.url"),
        ('webhook: {url: "${URL}", secret: x}', "notify[0].webhook.secret"),
        ("email: {host: m.test, from: a@b.test, to: a@b.test, username: u, password: x}", "notify[0].email.password"),
        ('slack: "${URL}"', ""),
        ("email: {host: m.test, from: a@b.test, to: a@b.test}", ""),
    ],
)
def test_secrets_of_notify(tmp_path: Path, item: str, field: str) -> None:
    """So are addresses of webhooks, and all that proves to be somebody."""
    file = tmp_path / "sync.yaml"
    file.write_text(f"notify: [{{{item}}}]\n")
    file.chmod(0o644)

    warnings = load(str(file), environ={"URL": "https://hooks.test/x"}).warnings

    expected = [(field, "is a secret that everybody on this machine can read")] if field else []
    assert [(one.field, one.message) for one in warnings] == expected


@pytest.mark.parametrize(
    ("mode", "auth", "told"),
    [
        (0o644, AUTH, True),
        (0o604, AUTH, True),
        (0o640, AUTH, False),
        (0o600, AUTH, False),
        (0o644, "none", False),
        (0o644, "${LOGIN}", False),
    ],
)
def test_who_may_read(tmp_path: Path, mode: int, auth: str, told: bool) -> None:
    """A login that stands in a file which everybody may read is worth a warning, which does not show it."""
    file = tmp_path / "sync.yaml"
    file.write_text(TEXT.format(auth=auth))
    file.chmod(mode)
    warnings = load(str(file), environ={"LOGIN": AUTH}).warnings

    expected = [("tasks[0].source.auth", "is a login that everybody on this machine can read")] if told else []
    assert expected == [(one.field, one.message) for one in warnings]
    assert AUTH not in str(warnings)


def test_the_token_of_the_status_page(tmp_path: Path) -> None:
    """It is a login, too."""
    file = tmp_path / "sync.yaml"
    file.write_text("listen: {address: ':8080', token: 0123456789abcdef}\ntasks: []\n")
    file.chmod(0o644)
    warnings = load(str(file), environ={}).warnings

    assert [(one.field, one.line) for one in warnings] == [("listen.token", 1)]
    assert "0123456789abcdef" not in str(warnings)
