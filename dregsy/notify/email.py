"""Messages by mail (SMTP, RFC 5321). The library blocks: it works on a thread that nobody waits for too long.

What a server answers is told by its number only: it may repeat what it was sent.
"""

import smtplib
import socket
import ssl
from contextlib import suppress
from email.message import EmailMessage

from dregsy.cloud.threads import on_thread
from dregsy.model.notify import Email, Security
from dregsy.notify.delivery import TIMEOUT, Undelivered

_PASSING = range(400, 500)


async def send(channel: Email, message: EmailMessage) -> None:
    """Send a mail once; Undelivered when the server is not reached, or refuses the login, somebody or the mail."""
    try:
        refused = await on_thread(lambda: _send(channel, message), TIMEOUT)
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise _undelivered(channel, error) from None
    if refused:
        lost = Undelivered(f"{channel.place} refused some recipients: {', '.join(refused)}", hint="check 'to'")
        lost.partly = True
        raise lost


def _send(channel: Email, message: EmailMessage) -> list[str]:
    """Send a mail, and return the recipients that were refused."""
    name = socket.gethostname()  # the library would ask DNS for it, for as long as that takes
    context = ssl.create_default_context()
    if channel.security is Security.TLS:
        server: smtplib.SMTP = smtplib.SMTP_SSL(channel.host, channel.port, name, timeout=TIMEOUT, context=context)
    else:
        server = smtplib.SMTP(channel.host, channel.port, name, timeout=TIMEOUT)
    try:
        if channel.security is Security.STARTTLS:
            server.starttls(context=context)
        if channel.username and channel.password is not None:
            server.login(channel.username, channel.password.reveal())
        refused = server.send_message(message, channel.sender, list(channel.recipients))
        with suppress(smtplib.SMTPException, OSError):  # it has been taken
            server.quit()
        return list(refused)
    finally:
        server.close()


def _undelivered(channel: Email, error: Exception) -> Undelivered:
    """Say what was in the way."""
    match error:
        case smtplib.SMTPNotSupportedError() if "STARTTLS" in str(error):
            hint = "write 'security: tls' with the port for that, or 'none'"
            return Undelivered(f"{channel.place} offers no STARTTLS", hint=hint)
        case smtplib.SMTPNotSupportedError():
            hint = "leave 'username' and 'password' out, or try another 'port'"
            return Undelivered(f"{channel.place} offers no login that is known here", hint=hint)
        case smtplib.SMTPResponseException() | smtplib.SMTPRecipientsRefused():
            return _refused(channel, error)
        case ssl.SSLCertVerificationError():
            hint = "it has to be for this name; SSL_CERT_FILE names a CA of your own"
            why = f"the certificate of {channel.place} is not trusted: {error.verify_message}"
            return Undelivered(why, hint=hint)
        case ssl.SSLError():
            hint = "'security: tls' is for port 465, 'starttls' for 587 and 25"
            return Undelivered(f"{channel.place} and this machine cannot agree on TLS", hint=hint)
        case TimeoutError():
            return Undelivered(f"{channel.place} did not answer within {TIMEOUT:g} seconds", retryable=True)
        case UnicodeError():
            hint = "user names and passwords of SMTP are ASCII"
            return Undelivered(f"the login for {channel.place} cannot be sent", hint=hint)
    reason = f": {error.strerror.lower()}" if isinstance(error, OSError) and error.strerror else ""
    return Undelivered(f"cannot talk to {channel.place}{reason}", hint="check 'host' and 'port'", retryable=True)


def _refused(channel: Email, error: smtplib.SMTPResponseException | smtplib.SMTPRecipientsRefused) -> Undelivered:
    """Say what a server does not want."""
    code = error.smtp_code if isinstance(error, smtplib.SMTPResponseException) else _worst(error)
    what, hint = "the mail", ""
    match error:
        case smtplib.SMTPRecipientsRefused():
            what, hint = "all recipients", "check 'to', and whether a login is needed"
        case smtplib.SMTPAuthenticationError():
            what, hint = "the login", "check 'username' and 'password'"
        case smtplib.SMTPSenderRefused():
            what, hint = "the sender", "check 'from', and whether a login is needed"
    return Undelivered(f"{channel.place} refused {what} ({code})", hint=hint, retryable=code in _PASSING)


def _worst(error: smtplib.SMTPRecipientsRefused) -> int:
    return max(code for code, _ in error.recipients.values())
