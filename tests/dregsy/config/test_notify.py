from io import StringIO

import pytest

from dregsy.config.load import load
from dregsy.errors import ConfigError
from dregsy.model.endpoint import Secret
from dregsy.model.notify import Email, Occasion, Security, Slack, Subscription, Webhook

URL = "https://hooks.test/s3cret-token"
MAIL = "{email: {host: mail.test, from: a@b.test, to: c@d.test, %s}}"


def subscriptions(text: str, **environ: str) -> tuple[Subscription, ...]:
    """Return who is told by a file."""
    return load("-", environ=environ, stdin=StringIO(text), strict=True).notify


def test_all_of_it() -> None:
    """Every key means what it says, and secrets may come from the environment."""
    text = """
notify:
- webhook: {url: "${URL}", secret: "${KEY}"}
  on: [failure, recovery, change]
  repeat: 7d
- slack: ${URL}
  on: failure
- email: {host: "${MAIL}", port: 2525, security: TLS, username: u, password: "${KEY}",
          from: "${ME}", to: [c@d.test, "${ME}"]}
"""
    found = subscriptions(text, URL=URL, KEY="s3cret", MAIL="mail.test", ME="me@b.test")

    assert found == (
        Subscription(Webhook(Secret(URL), Secret("s3cret")), frozenset(Occasion), 7 * 86400.0),
        Subscription(Slack(Secret(URL)), frozenset({Occasion.FAILURE})),
        Subscription(
            Email("mail.test", 2525, Security.TLS, "me@b.test", ("c@d.test", "me@b.test"), "u", Secret("s3cret"))
        ),
    )
    assert "s3cret" not in repr(found)


def test_what_helm_makes_of_it() -> None:
    """Helm takes ``on`` for a boolean and hands on ``"true"``, which means the same."""
    (found,) = subscriptions(f"notify: [{{slack: '{URL}', \"true\": [change]}}]")

    assert found.on == frozenset({Occasion.CHANGE})


@pytest.mark.parametrize("text", ["", "notify:", "notify: []"])
def test_nobody(text: str) -> None:
    """Who is not named is not told."""
    assert subscriptions(text) == ()


@pytest.mark.parametrize(
    ("keys", "security", "port"),
    [("", Security.STARTTLS, 587), ("security: tls", Security.TLS, 465), ("security: none", Security.NONE, 25)],
)
def test_ports_of_mail(keys: str, security: Security, port: int) -> None:
    """Mail is sent through TLS unless told otherwise, at the usual port."""
    (found,) = subscriptions(f"notify: [{MAIL % keys}]")

    assert isinstance(found.channel, Email)
    assert (found.channel.security, found.channel.port) == (security, port)
    assert (found.on, found.repeat) == (frozenset({Occasion.FAILURE, Occasion.RECOVERY}), 86400.0)


@pytest.mark.parametrize(
    ("item", "field", "message"),
    [
        ("{}", "notify[0]", "needs exactly one of webhook, slack, email"),
        ("", "notify[0]", "needs exactly one of webhook, slack, email"),
        (f"{{slack: '{URL}', webhook: '{URL}'}}", "notify[0]", "needs exactly one of webhook, slack, email"),
        ("{slack: s3cret-token}", "notify[0].slack.url", "is no http or https address"),
        ("{slack: 'ftp://s3cret-token/x'}", "notify[0].slack.url", "is no http or https address"),
        ("{slack: 'https://'}", "notify[0].slack.url", "is no http or https address"),
        ("{slack: 'https://s3cret-token[/x'}", "notify[0].slack.url", "is no address that can be used"),
        ("{slack: 'https://h:99999/s3cret-token'}", "notify[0].slack.url", "is no address that can be used"),
        ("{slack: 'https://h/s3cret-token x'}", "notify[0].slack.url", "is no address that can be used"),
        ("{webhook: {secret: s3cret-token}}", "notify[0].webhook.url", "is no http or https address"),
        (f"{{slack: '{URL}', on: often}}", "notify[0].on[0]", "needs to be one of failure, recovery, change"),
        (f"{{slack: '{URL}', on: []}}", "notify[0].on", "is empty"),
        (f"{{slack: '{URL}', repeat: 5m}}", "notify[0].repeat", "needs to be 1h or more"),
        (f"{{slack: '{URL}', when: x}}", "notify[0]", "unknown key 'when'"),
        (f"{{slack: {{url: '{URL}', secret: x}}}}", "notify[0].slack", "unknown key 'secret'"),
        (MAIL % "port: 0", "notify[0].email.port", "needs to be 1 or more"),
        (MAIL % "security: ssl", "notify[0].email.security", "needs to be one of starttls, tls, none"),
        (MAIL % "username: u", "notify[0].email.password", "goes with a 'username'"),
        (MAIL % "password: s3cret-token", "notify[0].email.password", "goes with a 'username'"),
        (
            MAIL % "security: none, username: u, password: s3cret-token",
            *("notify[0].email.password", "would be sent in the clear"),
        ),
        ("{email: {host: 'mail.test:25', from: a@b.test, to: c@d.test}}", "notify[0].email.host", "is no host"),
        ("{email: {host: mail.test, from: a, to: c@d.test}}", "notify[0].email.from", "is no mail address"),
        (
            "{email: {host: mail.test, from: 'A <a@b.test>', to: c@d.test}}",
            "notify[0].email.from",
            "is no mail address",
        ),
        (
            "{email: {host: mail.test, from: a@b.test, to: ['c@d.test, e@d.test']}}",
            "notify[0].email.to[0]",
            "is no mail address",
        ),
        (
            '{email: {host: mail.test, from: "a@b.test\\nBcc: x@y.test", to: c@d.test}}',
            "notify[0].email.from",
            "is no mail address",
        ),
        ("{email: {host: mail.test, from: a@b.test, to: []}}", "notify[0].email.to", "is empty"),
        ("{email: {host: mail.test, to: c@d.test}}", "notify[0].email.from", "is no mail address"),
    ],
)
def test_mistakes(item: str, field: str, message: str) -> None:
    """What cannot be meant is told with its place, and no value is repeated."""
    with pytest.raises(ConfigError) as caught:
        subscriptions(f"notify:\n- {item}\n")

    (problem,) = [one for one in caught.value.problems if not one.warning]
    assert (problem.field, problem.message, problem.line) == (field, message, 2)
    assert "s3cret" not in str(problem)


@pytest.mark.parametrize(
    ("url", "warned"),
    [("http://hooks.test/x", True), ("https://hooks.test/x", False), ("http://127.0.0.1:80/x", False)],
)
def test_in_the_clear(url: str, warned: bool) -> None:
    """An address that everybody on the way can read is worth a warning."""
    warnings = load("-", environ={}, stdin=StringIO(f"notify: [{{slack: '{url}'}}]")).warnings

    assert [one.field for one in warnings] == (["notify[0]"] if warned else [])
