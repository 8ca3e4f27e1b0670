import ssl
from dataclasses import replace
from email.message import EmailMessage

import pytest

from dregsy.model.endpoint import Secret
from dregsy.model.notify import Email, Security
from dregsy.notify import email
from dregsy.notify.delivery import Undelivered
from tests.testbed.certificates import Authority
from tests.testbed.inbox import MailServer

PASSWORD = "s3cret-word"


def channel(port: int, security: Security = Security.NONE, password: str | None = None, *to: str) -> Email:
    """Return a channel to a mail server of this machine."""
    made = Email("localhost", port, security, "dregsy@example.com", to or ("ops@example.com",))
    return made if password is None else replace(made, username="bot", password=Secret(password))


def mail() -> EmailMessage:
    """Return a mail."""
    made = EmailMessage()
    made["Subject"] = "größer"
    made.set_content("a line\n")
    return made


@pytest.fixture
def tls(authority: Authority) -> ssl.SSLContext:
    """Return a server's certificate for this machine."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("mail"))
    return context


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust the authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))


async def test_a_mail() -> None:
    """It arrives as it is, at all who are to have it."""
    with MailServer() as server:
        await email.send(channel(server.port, Security.NONE, None, "a@example.com", "b@example.com"), mail())

    assert [(one["Subject"], one.get_content()) for one in server.mails] == [("größer", "a line\r\n")]
    assert server.envelopes[0].mail_from == "dregsy@example.com"
    assert server.envelopes[0].rcpt_tos == ["a@example.com", "b@example.com"]


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
async def test_tls_and_login(tls: ssl.SSLContext, security: Security) -> None:
    """With both ways of TLS the login and the mail are sent through it."""
    with MailServer(login=("bot", PASSWORD), tls=tls, security=security) as server:
        await email.send(channel(server.port, security, PASSWORD), mail())

    assert (len(server.mails), server.logins) == (1, ["bot"])


@pytest.mark.usefixtures("trusted")
async def test_a_wrong_password(tls: ssl.SSLContext) -> None:
    """It is said what is refused, and the password is not in it; there is no second attempt."""
    with (
        MailServer(login=("bot", "another"), tls=tls, security="starttls") as server,
        pytest.raises(Undelivered) as caught,
    ):
        await email.send(channel(server.port, Security.STARTTLS, PASSWORD), mail())

    error = caught.value
    assert (error.message, error.retryable) == (f"localhost:{server.port} refused the login (535)", False)
    assert PASSWORD not in f"{error!r}{error.__cause__!r}{error.hint}"


async def test_a_certificate_that_nobody_trusts(tls: ssl.SSLContext) -> None:
    """Nothing is sent to whoever cannot prove to be the server."""
    with (
        MailServer(tls=tls, security="starttls") as server,
        pytest.raises(Undelivered, match=r"the certificate of localhost:[0-9]+ is not trusted") as caught,
    ):
        await email.send(channel(server.port, Security.STARTTLS), mail())
    assert "SSL_CERT_FILE" in caught.value.hint


async def test_no_starttls() -> None:
    """A server, or somebody on the way, that offers no STARTTLS gets no mail."""
    with MailServer() as server, pytest.raises(Undelivered, match="offers no STARTTLS"):
        await email.send(channel(server.port, Security.STARTTLS), mail())
    assert server.mails == []


async def test_no_login() -> None:
    """A server that knows no logins is told as such."""
    with MailServer() as server, pytest.raises(Undelivered, match="offers no login"):
        await email.send(channel(server.port, Security.NONE, PASSWORD), mail())


async def test_tls_at_a_port_without() -> None:
    """The wrong way for a port is told as such."""
    with MailServer() as server, pytest.raises(Undelivered, match="cannot agree on TLS"):
        await email.send(channel(server.port, Security.TLS), mail())


async def test_refused_recipients() -> None:
    """All refused is an error, some refused too, but that one says that others have it."""
    with MailServer(refused=("no@example.com",)) as server:
        with pytest.raises(Undelivered, match=r"refused all recipients \(550\)") as all_refused:
            await email.send(channel(server.port, Security.NONE, None, "no@example.com"), mail())
        with pytest.raises(Undelivered, match=r"refused some recipients: no@example\.com") as some_refused:
            await email.send(channel(server.port, Security.NONE, None, "no@example.com", "a@example.com"), mail())

    assert (all_refused.value.partly, some_refused.value.partly, len(server.mails)) == (False, True, 1)


async def test_nobody_there() -> None:
    """A server that is down may be up the next time."""
    with pytest.raises(Undelivered, match=r"cannot talk to localhost:1: connection refused") as caught:
        await email.send(channel(1), mail())
    assert caught.value.retryable


@pytest.mark.usefixtures("trusted")
async def test_a_login_that_cannot_be_sent(tls: ssl.SSLContext) -> None:
    """A password that SMTP cannot carry is told, and not shown."""
    with (
        MailServer(login=("bot", PASSWORD), tls=tls, security="starttls") as server,
        pytest.raises(Undelivered, match=r"the login for .* cannot be sent") as caught,
    ):
        await email.send(channel(server.port, Security.STARTTLS, "größer"), mail())
    assert "größer" not in f"{caught.value!r}"
