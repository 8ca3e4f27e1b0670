"""The keys of ``notify``: who is told how tasks ended. Addresses of webhooks are secrets, and in no message."""

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, TypeAdapter, model_validator
from pydantic_core.core_schema import ValidationInfo

from dregsy.config.fields import (
    Age,
    Int,
    Section,
    Text,
    at_least,
    not_null,
    one_of,
    problem,
    read_text,
    whole_number,
    written,
)
from dregsy.config.source import Data, Table
from dregsy.model.endpoint import Secret
from dregsy.model.notify import Channel, Email, Occasion, Security, Slack, Subscription, Webhook
from dregsy.model.ref import is_host

_CHANNELS = ("webhook", "slack", "email")
_ONE = f"needs exactly one of {', '.join(_CHANNELS)}"
_HOUR = 3600.0
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})
_LONGEST = 254


def read_url(value: Any) -> Secret:
    """An address that takes messages."""
    text = read_text(value)
    hint = "write https://HOST/PATH"
    if not text.isascii() or not text.isprintable() or " " in text:
        raise problem("url", "is no address that can be used", hint)
    try:
        parts = urlsplit(text)
        host, _ = parts.netloc.rpartition("@")[2], parts.port
    except ValueError:
        raise problem("url", "is no address that can be used", hint) from None
    if parts.scheme not in {"https", "http"} or not is_host(host):
        raise problem("url", "is no http or https address", hint)
    return Secret(text)


def read_secret(value: Any) -> Secret | None:
    """A text that nobody is to see; nothing where it is empty."""
    text = read_text(value)
    return Secret(text) if text else None


def read_server(value: Any) -> str:
    """The name or address of a mail server."""
    text = read_text(value).strip().removeprefix("[").removesuffix("]")
    if not is_host(f"[{text}]" if ":" in text else text):
        raise problem("host", "is no host", "write its name here, and its port as 'port:'")
    return text


def read_security(value: Any) -> Security:
    """How the connection is kept secret."""
    try:
        return Security(read_text(value).strip().lower())
    except ValueError:
        raise problem("security", f"needs to be one of {', '.join(Security)}") from None


def read_address(value: Any) -> str:
    """A mail address."""
    text = read_text(value).strip()
    user, at, host = text.rpartition("@")
    is_plain = text.isascii() and text.isprintable() and not set(' <>,;:\\"()[]@') & set(user)
    if not (user and at and is_plain and is_host(host) and ":" not in host and len(text) <= _LONGEST):
        raise problem("address", "is no mail address", "write USER@HOST alone, without a name and without '<>'")
    return text


def as_list(value: Any) -> Any:
    """One value is a list of one."""
    return value if isinstance(value, list) else [value]


def not_empty(found: list[Any]) -> list[Any]:
    """An empty list tells nobody of nothing."""
    if not found:
        raise problem("empty", "is empty", "leave it out, or write at least one")
    return found


def read_occasion(value: Any) -> Occasion:
    """What is worth telling."""
    try:
        return Occasion(read_text(value).strip().lower())
    except ValueError:
        raise problem("occasion", f"needs to be one of {', '.join(Occasion)}") from None


def check_repeat(seconds: float) -> float:
    """What is told too often is not read."""
    if seconds < _HOUR:
        raise problem("repeat", "needs to be 1h or more")
    return seconds


def as_url(value: Any) -> Any:
    """An address alone is a section with nothing else said."""
    return {"url": value} if isinstance(value, str) else value


class SlackKeys(Section):
    """An incoming webhook of Slack or of what takes the same."""

    url: Annotated[Secret, PlainValidator(read_url), written("http or https address", type="string")]
    """Where messages go; a secret. Without other keys it may stand for the whole section."""

    def channel(self) -> Channel:
        """Return what the keys mean."""
        return Slack(self.url)


class WebhookKeys(SlackKeys):
    """An address that takes JSON of ours."""

    secret: Annotated[Secret | None, PlainValidator(read_secret), written("text", type="string")] = None
    """What messages are signed with; the receiver has it, too.

    Left out: no signature
    """

    def channel(self) -> Channel:
        """Return what the keys mean."""
        return Webhook(self.url, self.secret)


def check_password(password: Secret | None, info: ValidationInfo) -> Secret | None:
    """A login needs both of its halves, and is not for everybody to hear."""
    named = bool(info.data.get("username"))
    if named != (password is not None):
        raise problem("password", "goes with a 'username'", "write both, or neither")
    is_open = info.data.get("security") is Security.NONE and info.data.get("host") not in _HERE
    if password is not None and is_open:
        raise problem("password", "would be sent in the clear", "write 'security: starttls' or 'security: tls'")
    return password


Address = Annotated[str, PlainValidator(read_address), written("text", type="string")]


class EmailKeys(Section):
    """A mail server, and who writes to whom."""

    host: Annotated[str, PlainValidator(read_server), written("host", type="string")]
    """Name or address of the mail server."""
    port: Annotated[Int, AfterValidator(at_least(1, 65535)), whole_number(1, 65535)] | None = None
    """Its port.

    Left out: 587; 465 with ``tls``, 25 with ``none``
    """
    security: Annotated[Security, PlainValidator(read_security), one_of(*Security)] = Security.STARTTLS
    """``starttls``, ``tls`` from the start, or ``none``.

    Left out: ``starttls``
    """
    username: Text = ""
    """The login.

    Left out: none
    """
    password: Annotated[
        Secret | None,
        PlainValidator(read_secret),
        AfterValidator(check_password),
        written("text", type="string"),
    ] = Field(None, validate_default=True)
    """Its password; not with ``security: none``, unless the server is this machine.

    Left out: none
    """
    sender: Address = Field(alias="from")
    """Who writes."""
    recipients: Annotated[list[Address], BeforeValidator(as_list), AfterValidator(not_empty)] = Field(alias="to")
    """To whom, one or several."""

    def channel(self) -> Channel:
        """Return what the keys mean."""
        return Email(
            self.host,
            self.port or self.security.port,
            self.security,
            self.sender,
            tuple(self.recipients),
            self.username,
            self.password,
        )


_OCCASION = written("occasion", enum=[*Occasion])
Occasions = Annotated[
    list[Annotated[Occasion, PlainValidator(read_occasion), _OCCASION]],
    BeforeValidator(as_list),
    AfterValidator(not_empty),
]


class Notify(Section):
    """One channel, and when it is used."""

    webhook: Annotated[WebhookKeys, BeforeValidator(as_url)] | None = None
    """A program that takes JSON."""
    slack: Annotated[SlackKeys, BeforeValidator(as_url)] | None = None
    """Slack, Mattermost or Rocket.Chat."""
    email: EmailKeys | None = None
    """People, by mail."""
    on: Occasions | None = None
    """Of what: ``failure``, ``recovery`` after that, ``change``: images were copied.

    Left out: ``[failure, recovery]``
    """
    on_of_helm: Occasions | None = Field(None, alias="true")
    """What Helm, a reader of YAML 1.1, makes of ``on``; not to be written.

    Left out: nothing
    """
    repeat: Annotated[Age, AfterValidator(check_repeat)] = 86400.0
    """After how long the same is told again, 1h or more.

    Left out: 24h
    """

    @model_validator(mode="before")
    @classmethod
    def _one_channel(cls, data: Any) -> Any:
        if isinstance(data, dict) and sum(data.get(name) is not None for name in _CHANNELS) != 1:
            raise problem("notify", _ONE, "a second channel is a second item of the list")
        return data

    @property
    def is_open(self) -> bool:
        """Whether the address is sent over networks for all to see, and who has it can write there."""
        keys = self.webhook or self.slack
        parts = urlsplit(keys.url.reveal() if keys else "")
        return parts.scheme == "http" and parts.hostname not in _HERE

    def subscription(self) -> Subscription:
        """Return what the keys mean."""
        keys = self.webhook or self.slack or self.email
        assert keys is not None
        on = self.on or self.on_of_helm
        return Subscription(keys.channel(), repeat=self.repeat, **({"on": frozenset(on)} if on else {}))


Notifies = list[Annotated[Notify, BeforeValidator(not_null(_ONE, "notify"))]]


def given(data: Data) -> tuple[Subscription, ...]:
    """Return who is told by a file whose data are known to be right."""
    written = data.get("notify") if isinstance(data, Table) else None
    if written is None:
        return ()
    return tuple(one.subscription() for one in TypeAdapter(Notifies).validate_python(written))
