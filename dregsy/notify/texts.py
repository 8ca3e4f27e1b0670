"""Messages in words and as data. What comes from registries is text in them: no markup, no mention, no second line."""

import json
import uuid
from collections.abc import Iterator
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any

from dregsy import __version__
from dregsy.log import duration, one_line, stamp
from dregsy.model.notify import Email, Occasion
from dregsy.notify.news import Message

_MOST = 20
"""How many images a message for people names."""
_WIDE = 500
"""The most characters of a line about one image."""
_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "`": "'"})


def payload(message: Message) -> bytes:
    """Return what webhooks get: JSON with an ``id``, the same for all attempts."""
    news = message.news
    data: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "occasion": str(message.occasion),
        "repeated": message.repeated,
        "text": headline(message),
        "at": stamp(message.at),
        "failing_since": stamp(message.since) if message.since else None,
        **news.counts,
        "interrupted": news.interrupted,
        "failures": list(news.failures),
        "copies": list(news.copies),
        "failures_left_out": _number(message, "failed") - len(news.failures),
        "copies_left_out": _number(message, "copied") - len(news.copies),
        "version": __version__,
    }
    return json.dumps(data).encode()


def slack(message: Message) -> bytes:
    """Return what Slack's webhooks get: a headline, and the details in a block in which nothing is markup."""
    details = "\n".join(_details(message)).translate(_ESCAPED)
    text = headline(message).translate(_ESCAPED)
    return json.dumps({"text": f"{text}\n```\n{details}\n```" if details else text}).encode()


def mail(message: Message, channel: Email) -> EmailMessage:
    """Return the mail."""
    made = EmailMessage()
    made["Subject"] = f"dregsy: {headline(message)}"
    made["From"] = channel.sender
    made["To"] = ", ".join(channel.recipients)
    made["Date"] = formatdate(message.at)
    made["Message-ID"] = make_msgid(domain=channel.sender.rpartition("@")[2])
    made["Auto-Submitted"] = "auto-generated"  # no holiday replies (RFC 3834)
    lines = [headline(message), "", *_details(message), "", f"-- \ndregsy {__version__}, {stamp(message.at)}"]
    made.set_content("\n".join(lines))
    return made


def headline(message: Message) -> str:
    """Say in one line what happened."""
    task = f"task '{one_line(message.news.task)[:100]}'"
    for_so_long = f" after {duration(message.at - message.since)}"
    match message.occasion:
        case Occasion.FAILURE:
            still = f", as told before{for_so_long}" if message.repeated else ""
            return f"{task} failed for {_images(_number(message, 'failed'))}{still}"
        case Occasion.RECOVERY:
            return f"{task} is well again{for_so_long}"
        case Occasion.CHANGE:
            return f"{task} copied {_images(_number(message, 'copied'))}"


def _number(message: Message, status: str) -> int:
    return int(message.news.counts[status])


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _details(message: Message) -> Iterator[str]:
    news = message.news
    failed, copied = news.failures[:_MOST], news.copies[:_MOST]
    yield from (_line("failed", one) for one in failed)
    if left := _number(message, "failed") - len(failed):
        yield f"… and {left} more failed"
    yield from (_line("copied", one) for one in copied)
    if left := _number(message, "copied") - len(copied):
        yield f"… and {left} more copied"


def _line(status: str, image: dict[str, Any]) -> str:
    target = f" -> {image['target']}" if "target" in image else ""
    why = f": {image['error']}" if "error" in image else ""
    hint = f" — {image['hint']}" if "hint" in image else ""
    return one_line(f"{status}: {image['source']}{target}{why}{hint}")[:_WIDE]
