"""Who is told how tasks ended: by the real command, at real servers, as docs/reports.md has it."""

import json
import re
import signal
import socket
import ssl
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from dregsy.config.load import load
from dregsy.embedded import images
from tests.testbed.certificates import Authority
from tests.testbed.command import Dregsy, mirror
from tests.testbed.daemon import PATIENCE, Daemon, until
from tests.testbed.inbox import Hooks, MailServer
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry

TOKEN = "T0/B0/s3cret-token"
KEY = "s3cret-key"
PASSWORD = "s3cret-word"
PAGE = Path(__file__).parents[2] / "docs" / "reports.md"


def blocks(language: str) -> list[str]:
    """Return the page's examples in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture
def bad(registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str) -> dict[str, Any]:
    """Return a config of which one image can be copied, and one cannot."""
    push(registry_a.host, repo, images.image(repo), "v1")
    return mirror(registry_a.host, registry_b.host, {"from": repo, "tags": ["v1", "none"]})


def well(config: dict[str, Any]) -> dict[str, Any]:
    """Return the same config without what cannot be copied."""
    (task,) = config["tasks"]
    (mapping,) = task["mappings"]
    return {**config, "tasks": [{**task, "mappings": [{**mapping, "tags": ["v1"]}]}]}


def test_a_signed_webhook(tmp_path: Path, bad: dict[str, Any]) -> None:
    """The function of the docs, run as it stands there, knows our messages, and no others."""
    (code,) = blocks("python")
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - the example of the docs
    is_ours = cast("Callable[..., bool]", names["is_ours"])
    with Hooks() as hooks:
        dregsy = Dregsy(tmp_path, {"KEY": KEY})
        config = {"notify": [{"webhook": {"url": f"{hooks.url}/x", "secret": "${KEY}"}}], **bad}
        assert dregsy.run("-config", dregsy.config(config)).code == 1

    (received,) = hooks.received
    header, body = received.headers["X-Dregsy-Signature"], received.body
    data = json.loads(body)
    assert (data["occasion"], data["task"], data["failed"], data["copied"]) == ("failure", "mirror", 1, 1)
    assert is_ours(header, body, KEY)
    assert [
        is_ours(header, body + b" ", KEY),
        is_ours(header, body, "another"),
        is_ours(header, body, KEY, -1),
        is_ours(header.replace("v1=", "v2="), body, KEY),
        is_ours("", body, KEY),
        is_ours("t=x,v1=ü", body, KEY),
    ] == [False] * 6


def test_once_over_restarts(tmp_path: Path, bad: dict[str, Any]) -> None:
    """With a state the same failure is told once over several runs, and so is its end; without, by each run."""
    with Hooks() as hooks:
        dregsy = Dregsy(tmp_path)
        config = {"notify": [{"slack": f"{hooks.url}/{TOKEN}"}], "state": str(tmp_path / "state"), **bad}
        for one in (config, config, well(config), well(config)):
            dregsy.run("-config", dregsy.config(one))
        told = [json.loads(one.body)["text"].splitlines()[0] for one in hooks.received]
        forgetful = {key: value for key, value in config.items() if key != "state"}
        hooks.received.clear()
        for _ in range(2):
            dregsy.run("-config", dregsy.config(forgetful))

    assert told[0] == "task 'mirror' failed for 1 image"
    assert told[1].startswith("task 'mirror' is well again after ")
    assert (len(told), len(hooks.received)) == (2, 2)


def test_a_daemon(daemon: Daemon, bad: dict[str, Any]) -> None:
    """A daemon tells while it goes on; a changed 'notify' needs a restart, and a warning says so."""
    with Hooks() as hooks:
        config = {"notify": [{"slack": f"{hooks.url}/x", "on": ["failure", "recovery", "change"]}], **bad}
        config["tasks"][0]["interval"] = 3600
        daemon.start("-config", daemon.dregsy.config(config))
        daemon.said("finished")
        daemon.dregsy.config({**well(config), "notify": []})
        daemon.signal(signal.SIGHUP)
        said = daemon.said("finished", 2)
        assert daemon.stop() == 0

    assert "'notify' is another one now: that counts when dregsy is started anew" in said
    texts = [json.loads(one.body)["text"].splitlines()[0] for one in hooks.received]
    assert [text.partition("mirror' ")[2][:6] for text in texts] == ["failed", "is wel"]


def test_mail(tmp_path: Path, bad: dict[str, Any], authority: Authority) -> None:
    """A mail goes through STARTTLS, with a login, and says what failed."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("smtp"))
    with MailServer(login=("bot", PASSWORD), tls=context, security="starttls") as server:
        environ = {"SSL_CERT_FILE": str(authority.ca_file), "WORD": PASSWORD, "ME": "dregsy@example.com"}
        dregsy = Dregsy(tmp_path, environ)
        email = {"host": "localhost", "port": server.port, "username": "bot", "password": "${WORD}"}
        config = {"notify": [{"email": {**email, "from": "${ME}", "to": "ops@example.com"}}], **bad}
        done = dregsy.run("-config", dregsy.config(config))

    (mail,) = server.mails
    assert (mail["From"], mail["To"], mail["Subject"]) == (
        *("dregsy@example.com", "ops@example.com"),
        "dregsy: task 'mirror' failed for 1 image",
    )
    assert ":none" in mail.get_content()
    assert (server.logins, done.code, "notify" in done.said) == (["bot"], 1, False)


def test_nobody_is_told_a_secret(tmp_path: Path, bad: dict[str, Any]) -> None:
    """Neither tokens nor passwords are in any output, whatever fails and however much is logged."""
    with Hooks(*[404] * 9) as hooks, MailServer(login=("bot", "another")) as server:
        environ = {"LOG_LEVEL": "trace", "LOG_METHODS": "true", "SLACK": f"{hooks.url}/{TOKEN}", "PASSWORD": PASSWORD}
        dregsy = Dregsy(tmp_path, environ)
        mails = {"from": "a@example.com", "to": "b@example.com"}
        config = {
            "notify": [
                {"slack": "${SLACK}"},
                {"webhook": {"url": f"{hooks.url}/{TOKEN}?k=s3cret-too", "secret": KEY}},
                {"slack": f"http://127.0.0.1:1/{TOKEN}"},
                {"slack": f"https://{hooks.host}/{TOKEN}"},
                {
                    "email": {
                        "host": "localhost",
                        "port": server.port,
                        "security": "none",
                        "username": "bot",
                        "password": "${PASSWORD}",
                        **mails,
                    }
                },
                {"email": {"host": "localhost", "port": 1, **mails}},
            ],
            **bad,
        }
        file = dregsy.config(config)
        runs = [
            dregsy.run("-config", file, "-report", "r.json", "-failed", "f.yaml"),
            dregsy.run("-config", file, "-log-format", "json"),
            dregsy.run("check", "-config", file),
            dregsy.run("show", "-config", file),
        ]
        told = "".join(one.said for one in runs) + (tmp_path / "r.json").read_text()

    assert [one.code for one in runs] == [1, 1, 0, 0]
    assert runs[0].out.count(": notify, ") == 6
    assert re.findall(r"s3cret\S*", told) == []
    assert "notify" not in (tmp_path / "f.yaml").read_text()


def test_it_changes_no_exit_code(tmp_path: Path, bad: dict[str, Any]) -> None:
    """A channel that takes nothing is a warning, and the run ends as it would."""
    with Hooks(404) as hooks:
        dregsy = Dregsy(tmp_path)
        config = {"notify": [{"slack": {"url": f"{hooks.url}/x"}, "on": "change"}], **well(bad)}
        done = dregsy.run("-config", dregsy.config(config))

    assert done.code == 0
    assert f"notify, slack {hooks.host}: {hooks.host} answered 404 — check the URL" in done.out


def test_the_examples_of_the_docs() -> None:
    """Each config in the page is one, without a word of complaint."""
    environ = {"SLACK_URL": "https://hooks.test/x", "HOOK_SECRET": "x", "SMTP_PASSWORD": "x", "MIRROR_AUTH": "dTpw"}

    found = [load("-", environ=environ, strict=True, stdin=StringIO(text)) for text in blocks("yaml")]

    assert [len(one.notify) for one in found] == [0, 3]
    assert [one.warnings for one in found] == [(), ()]
    assert [type(json.loads(text)) for text in blocks("json")] == [dict, dict]
    assert yaml.safe_load(blocks("yaml")[0])["tasks"][0]["mappings"][0]["tags"] == ["1.37"]


def test_files_are_finished_before_messages_are_waited_for(tmp_path: Path, bad: dict[str, Any]) -> None:
    """Who stops dregsy while a webhook does not answer has the report and the replay all the same, and at once."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dregsy = Dregsy(tmp_path)
        config = {"notify": [{"webhook": f"http://127.0.0.1:{silent.getsockname()[1]}/x"}], **bad}
        process = dregsy.start("-config", dregsy.config(config), "-report", "r.json", "-failed", "f.yaml")
        connection, _ = silent.accept()
        with connection:
            until((tmp_path / "f.yaml").exists)
            process.send_signal(signal.SIGTERM)
            code = process.wait(PATIENCE)

    assert (code, json.loads((tmp_path / "r.json").read_text())["exit_code"]) == (1, 1)
    assert "there was no time left to tell of the last runs: 1" in (tmp_path / "out").read_text()
    assert "tags:\n    - 'none'" in (tmp_path / "f.yaml").read_text()
