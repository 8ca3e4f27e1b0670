import pytest

from dregsy.model.endpoint import Secret
from dregsy.model.notify import Email, Security, Slack, Webhook

URL = Secret("https://user:s3cret@hooks.test:8443/T0/s3cret?token=s3cret")


@pytest.mark.parametrize(
    ("channel", "name"),
    [
        (Webhook(URL, Secret("s3cret")), "webhook hooks.test:8443"),
        (Slack(URL), "slack hooks.test:8443"),
        (Email("mail.test", 25, Security.NONE, "a@b", ("c@d",), "u", Secret("s3cret")), "email mail.test:25"),
        (Email("::1", 25, Security.NONE, "a@b", ("c@d",)), "email [::1]:25"),
    ],
)
def test_names(channel: Webhook | Slack | Email, name: str) -> None:
    """A channel is told by its host; what is secret of it is in no text about it."""
    assert channel.name == name
    assert "s3cret" not in f"{channel!r}{channel}"


def test_ports() -> None:
    """Each way of TLS has its port."""
    assert [one.port for one in Security] == [587, 465, 25]
