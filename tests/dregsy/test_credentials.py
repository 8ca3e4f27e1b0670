"""Logins from real docker config files and real helper programs."""

import asyncio
import base64
import json
import os
import select
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dregsy.credentials import SHARED_SECONDS, Logins
from dregsy.errors import CredentialsError
from dregsy.model.endpoint import Ambient, Anonymous, EcrToken, Endpoint, Given, Login, Secret

HOST = "registry.example.com"
NOBODY = Login()
ALICE = Login("alice", Secret("s3cret"))
HUB_KEY = "https://index.docker.io/v1/"


def coded(username: str, password: str) -> str:
    """What docker writes into ``auth``."""
    return base64.b64encode(f"{username}:{password}".encode()).decode("ascii")


def entry(username: str = "alice", password: str = "s3cret") -> dict[str, str]:
    """An entry of ``auths``."""
    return {"auth": coded(username, password)}


class Home:
    """A home folder with docker's config, and a folder of helper programs on the PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.calls = folder / "calls"
        self.environ = {"PATH": f"{self.bin}:{os.defpath}", "HOME": str(folder)}
        self.now = 0.0

    @property
    def config(self) -> Path:
        """Where docker's config stands."""
        return self.folder / ".docker" / "config.json"

    def write(self, config: object) -> None:
        """Write docker's config, as JSON unless it is text already."""
        self.config.parent.mkdir(exist_ok=True)
        self.config.write_text(config if isinstance(config, str) else json.dumps(config), "utf-8")

    def helper(self, name: str, script: str) -> None:
        """Install a helper program that first notes what it was asked."""
        self.program(name, f'read -r server\necho "$1 $server" >> {self.calls}\n{script}')

    def program(self, name: str, script: str) -> None:
        """Install a helper program that does nothing else."""
        path = self.bin / f"docker-credential-{name}"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def answering(self, name: str, username: str, secret: str) -> None:
        """Install a helper program that knows one login."""
        answer = self.folder / f"{name}.answer"
        answer.write_text(json.dumps({"ServerURL": "x", "Username": username, "Secret": secret}), "utf-8")
        self.helper(name, f"cat {answer}")

    def asked(self) -> list[str]:
        """What all helpers were asked, in order."""
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def logins(self, environ: Mapping[str, str] | None = None, time_limit: float = 20) -> Logins:
        """Make the object under test; its clock stands at ``now``."""
        return Logins(self.environ | dict(environ or {}), self.folder, time_limit=time_limit, clock=lambda: self.now)

    async def find(self, host: str = HOST, repository: str = "team/app") -> Login:
        """Ask once, with a fresh object."""
        return await self.logins().login_for(Endpoint(host), repository)

    async def refuse(self, host: str = HOST, repository: str = "team/app", time_limit: float = 20) -> str:
        """Ask once where that is an error: its text, which names the host and keeps the secret."""
        with pytest.raises(CredentialsError) as caught:
            await self.logins(time_limit=time_limit).login_for(Endpoint(host), repository)
        assert caught.value.host == host
        assert caught.value.hint
        assert "s3cret" not in f"{caught.value}{caught.value!r}{caught.value.__cause__!r}"
        return str(caught.value)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home folder."""
    return Home(tmp_path)


async def test_the_configs_own_login_wins(home: Home) -> None:
    """A given login is used whatever docker's config says."""
    home.write({"auths": {HOST: entry("bob", "x")}})

    assert await home.logins().login_for(Endpoint(HOST, credentials=Given(ALICE)), "a") == ALICE


async def test_anonymous_is_anonymous(home: Home) -> None:
    """``auth: none`` presents nothing, whatever docker's config says."""
    home.write({"auths": {HOST: entry()}, "credsStore": "missing"})

    assert await home.logins().login_for(Endpoint(HOST, credentials=Anonymous()), "a") == NOBODY


async def test_ecr_tokens_are_refused_with_a_way_out(home: Home) -> None:
    """Where a token from AWS is wanted, the error says what to give instead."""
    with pytest.raises(CredentialsError, match="give 'auth' instead of 'auth-refresh'"):
        await home.logins().login_for(Endpoint(HOST, credentials=EcrToken(3600)), "a")


@pytest.mark.parametrize("config", [None, "{}", {"auths": None}, {"auths": {HOST: {}}}, {"auths": {HOST: None}}])
async def test_nothing_known_is_anonymous(home: Home, config: object) -> None:
    """Without a login for the host there is none, and no error."""
    if config is not None:
        home.write(config)

    assert await home.find() == NOBODY


KEYS = [
    (HOST, HOST, True),
    (HOST, f"https://{HOST}", True),
    (HOST, f"https://{HOST}/", True),
    (HOST, f"http://{HOST}/v1/", True),
    (HOST, f"https://{HOST}/v2/", True),
    (HOST, f"{HOST}/v1/", True),
    (HOST, HOST.upper(), True),
    (HOST, f"{HOST}:443", False),
    (HOST, f"x{HOST}", False),
    (HOST, "example.com", False),
    (f"{HOST}:5000", f"{HOST}:5000", True),
    (f"{HOST}:5000", f"https://{HOST}:5000/v2/", True),
    (f"{HOST}:5000", HOST, False),
    ("[::1]:5000", "[::1]:5000", True),
    ("docker.io", HUB_KEY, True),
    ("docker.io", "index.docker.io/v1/", True),
    ("docker.io", "docker.io", True),
    ("docker.io", "registry-1.docker.io", True),
    ("index.docker.io", "docker.io", True),
    ("registry-1.docker.io", HUB_KEY, True),
    (HOST, f"{HOST}/team", True),
    (HOST, f"{HOST}/team/", True),
    (HOST, f"{HOST}/team/app", True),
    (HOST, f"{HOST}/team/app/more", False),
    (HOST, f"{HOST}/tea", False),
    (HOST, f"{HOST}/team/ap", False),
    (HOST, f"{HOST}/app", False),
    (HOST, "", False),
]


@pytest.mark.parametrize(("host", "key", "found"), KEYS)
async def test_keys_are_understood_in_every_spelling(home: Home, host: str, key: str, found: bool) -> None:
    """A key names a host, an API URL of it, or a path of whole components below it."""
    home.write({"auths": {key: entry()}})

    assert await home.find(host) == (ALICE if found else NOBODY)


async def test_the_longest_path_wins(home: Home) -> None:
    """Of all keys that cover a repository the most particular one counts, wherever it stands."""
    names = {HOST: "host", f"{HOST}/a": "a", f"{HOST}/a/b": "ab", f"{HOST}/a/bc": "abc"}
    home.write({"auths": {key: entry(name, "x") for key, name in names.items()}})
    found = [(await home.find(HOST, one)).username for one in ("z", "a", "ab", "a/x", "a/b", "a/b/c", "a/bc", "a/bcd")]

    assert found == ["host", "a", "host", "a", "ab", "ab", "abc", "a"]


async def test_an_empty_particular_entry_hides_nothing(home: Home) -> None:
    """An entry without a login, as docker leaves them, gives way to the next."""
    home.write({"auths": {f"{HOST}/team": {}, HOST: entry()}})

    assert await home.find() == ALICE


@pytest.mark.parametrize(
    ("written", "login"),
    [
        ({"username": "alice", "password": "s3cret"}, ALICE),
        ({"auth": coded("alice", "s3cret"), "username": "bob", "password": "old"}, ALICE),
        ({"auth": coded("alice", "s3cret").rstrip("=")}, ALICE),
        ({"auth": coded("alice", "s3cret") + "\n"}, ALICE),
        ({"auth": coded("alice", "s3cret\0\0")}, ALICE),
        ({"auth": coded("u", "a:b:c")}, Login("u", Secret("a:b:c"))),
        ({"auth": coded("ü", 'p%s"w\\ö€ ')}, Login("ü", Secret('p%s"w\\ö€ '))),
        ({"auth": base64.urlsafe_b64encode("ü:??>>".encode()).decode()}, Login("ü", Secret("??>>"))),
        ({"auth": coded("user", "")}, Login("user", Secret(""))),
        ({"auth": coded("user", ""), "identitytoken": "t"}, Login("user", identity_token=Secret("t"))),
        ({"identitytoken": "t"}, Login("", identity_token=Secret("t"))),
        ({"auth": coded("<token>", "t")}, Login(identity_token=Secret("t"))),
        ({"auth": "", "email": "a@example.com"}, NOBODY),
    ],
)
async def test_an_entry_says_who_to_be(home: Home, written: dict[str, str], login: Login) -> None:
    """Passwords arrive exactly as they are; an identity token is told from a password."""
    home.write({"auths": {HOST: written}})

    assert await home.find() == login


@given(username=st.text(st.characters(codec="utf-8", exclude_characters=":"), min_size=1), password=st.text())
def test_every_password_survives(username: str, password: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever user name and password docker can write come out as they went in."""
    home = Home(tmp_path_factory.mktemp("home"))
    home.write({"auths": {HOST: entry(username, password)}})
    login = asyncio.run(home.find())

    secret = login.identity_token if username == "<token>" else login.password
    assert secret == Secret(password.strip("\0"))


BROKEN = [
    ("{\n\n  oops s3cret\n}", "config.json:3:", "is not JSON"),
    ('"s3cret"', "config.json:1:", "is not a JSON object"),
    ("", "config.json:1:", "is not JSON"),
    ("[" * 100_000, "config.json", "is not JSON"),
    ('{"n": ' + "9" * 5000 + "}", "config.json", "is not JSON"),
    ('{\n"auths": ["s3cret"]}', "config.json:2:", "auths is not an object"),
    ('{\n\n"credHelpers": "s3cret"}', "config.json:3:", "credHelpers is not an object"),
    ('{"credsStore": ["s3cret"]}', "config.json:1:", "credsStore is not a text"),
    (f'{{"credHelpers":\n{{"{HOST}": ["s3cret"]}}}}', "config.json:2:", "the helper's name is not a text"),
    (f'{{"auths": {{\n\n"{HOST}": "s3cret"}}}}', "config.json:3:", "is not an object"),
    (f'{{"auths": {{"{HOST}": {{"auth": ["s3cret"]}}}}}}', "config.json:1:", "'auth' is not a text"),
    (f'{{"auths": {{"{HOST}": {{"auth": "!s3cret!"}}}}}}', "config.json:1:", "is not base64"),
    (f'{{"auths": {{"{HOST}": {{"auth": "A"}}}}}}', "config.json:1:", "is not base64"),
    (f'{{"auths": {{"{HOST}": {{"auth": "/////w=="}}}}}}', "config.json:1:", "is not base64 of UTF-8"),
    (f'{{"auths": {{"{HOST}": {{"auth": "czNjcmV0"}}}}}}', "config.json:1:", "is not base64 of user:password"),
    (f'{{"auths": {{"{HOST}": {{"password": "s3cret\\ud800"}}}}}}', "config.json:1:", "'password' is not Unicode"),
]


@pytest.mark.parametrize(("text", "place", "reason"), BROKEN)
async def test_a_broken_config_is_named_with_its_line(home: Home, text: str, place: str, reason: str) -> None:
    """The error names the file, the line and the fault, and repeats nothing that stands there."""
    home.write(text)
    message = await home.refuse()

    assert f"{home.config.parent}/{place}" in message
    assert reason in message


async def test_a_broken_entry_is_no_concern_of_other_hosts(home: Home) -> None:
    """Only the entry that is used has to be right."""
    home.write({"auths": {"other.example.com": {"auth": 7}, HOST: entry()}})

    assert await home.find() == ALICE


async def test_what_cannot_be_read_is_named(home: Home) -> None:
    """A folder in place of the file and bytes that are no text are errors that name the file."""
    home.config.mkdir(parents=True)
    folder = await home.refuse()
    home.config.rmdir()
    home.config.write_bytes(b'{"auths": "\xff s3cret"}')
    binary = await home.refuse()

    assert f"{home.config} is not a file" in folder
    assert f"{home.config} is not UTF-8 text" in binary


async def test_a_file_in_place_of_the_folder_is_no_config(home: Home) -> None:
    """Like docker, nothing is found below something that is no folder."""
    (home.folder / ".docker").write_text("x")

    assert await home.find() == NOBODY


async def test_a_byte_order_mark_is_no_obstacle(home: Home) -> None:
    """Editors that write one do not break the config."""
    home.write("\ufeff" + json.dumps({"auths": {HOST: entry()}}))

    assert await home.find() == ALICE


async def test_another_folder_can_be_named(home: Home) -> None:
    """``DOCKER_CONFIG`` names the folder to use in place of ``~/.docker``."""
    home.write({"auths": {HOST: entry("bob", "x")}})
    other = home.folder / "other"
    other.mkdir()
    (other / "config.json").write_text(json.dumps({"auths": {HOST: entry()}}))
    logins = home.logins({"DOCKER_CONFIG": str(other)})

    assert await logins.login_for(Endpoint(HOST, credentials=Ambient()), "a") == ALICE


async def test_the_environment_comes_before_the_file(home: Home) -> None:
    """``DOCKER_AUTH_CONFIG`` counts for the hosts it has, the file for the others."""
    home.write({"auths": {HOST: entry("bob", "x"), "other.example.com": entry("carol", "y")}})
    logins = home.logins({"DOCKER_AUTH_CONFIG": json.dumps({"auths": {HOST: entry()}})})

    assert await logins.login_for(Endpoint(HOST), "a") == ALICE
    assert (await logins.login_for(Endpoint("other.example.com"), "a")).username == "carol"


async def test_a_broken_environment_is_named(home: Home) -> None:
    """The error names the variable and the line in it, and not what it holds."""
    logins = home.logins({"DOCKER_AUTH_CONFIG": '{\n"s3cret'})
    with pytest.raises(CredentialsError, match="DOCKER_AUTH_CONFIG:2: is not JSON") as caught:
        await logins.login_for(Endpoint(HOST), "a")

    assert "s3cret" not in str(caught.value)


async def test_a_file_that_changed_is_read_again(home: Home) -> None:
    """A login that is renewed during a run is used from then on."""
    logins = home.logins()
    before = await logins.login_for(Endpoint(HOST), "a")
    home.write({"auths": {HOST: entry()}})
    with_login = await logins.login_for(Endpoint(HOST), "a")
    home.config.unlink()
    after = await logins.login_for(Endpoint(HOST), "a")

    assert [before, with_login, after] == [NOBODY, ALICE, NOBODY]


@pytest.mark.parametrize("config", [{"credHelpers": {HOST: "test"}}, {"credsStore": "test"}])
async def test_a_helper_is_asked_for_its_host(home: Home, config: object) -> None:
    """Helper and store get the host on their input and their answer is the login."""
    home.answering("test", "alice", "s3cret")
    home.write(config)

    assert await home.find() == ALICE
    assert home.asked() == [f"get {HOST}"]


async def test_docker_hub_has_its_own_name_at_helpers(home: Home) -> None:
    """Helpers know Docker Hub by the URL that docker stores its login under."""
    home.answering("test", "alice", "s3cret")
    home.write({"credHelpers": {HUB_KEY: "test"}})

    assert await home.find("docker.io") == ALICE
    assert home.asked() == [f"get {HUB_KEY}"]


@pytest.mark.parametrize(
    ("username", "secret", "login"),
    [
        ("<token>", "t0ken", Login(identity_token=Secret("t0ken"))),
        ("ü", 'p:%"\\€', Login("ü", Secret('p:%"\\€'))),
        ("_json_key", '{\n "a": "b"}\n', Login("_json_key", Secret('{\n "a": "b"}\n'))),
        ("", "", NOBODY),
    ],
)
async def test_a_helpers_answer_is_taken_exactly(home: Home, username: str, secret: str, login: Login) -> None:
    """Identity tokens are recognised, passwords arrive as they are, an empty answer is none."""
    home.answering("test", username, secret)
    home.write({"credsStore": "test"})

    assert await home.find() == login


async def test_the_hosts_own_helper_comes_before_the_store(home: Home) -> None:
    """``credHelpers`` replaces ``credsStore`` for its hosts; an empty name turns the store off."""
    home.answering("own", "alice", "s3cret")
    home.answering("store", "bob", "x")
    home.write({"credHelpers": {HOST: "own", "off.example.com": ""}, "credsStore": "store"})
    found = [(await home.find(host)).username for host in (HOST, "else.example.com", "off.example.com")]

    assert found == ["alice", "bob", ""]


async def test_what_a_helper_does_not_know_comes_from_the_next_source(home: Home) -> None:
    """That a helper knows no login is no error: the file's own entry counts."""
    home.helper("test", "echo credentials not found in native keychain; exit 1")
    home.write({"credsStore": "test", "auths": {HOST: entry()}})

    assert await home.find() == ALICE
    assert await home.find("other.example.com") == NOBODY


async def test_an_entry_for_a_path_spares_the_helper(home: Home) -> None:
    """The most particular source counts: a path's entry before the host's helper, that before the host's entry."""
    home.answering("test", "bob", "x")
    home.write({"credsStore": "test", "auths": {f"{HOST}/team": entry(), HOST: entry("carol", "y")}})
    found = [(await home.find(HOST, name)).username for name in ("team/app", "else")]

    assert found == ["alice", "bob"]
    assert len(home.asked()) == 1


SAY_ALICE = """echo '{"Username": "alice", "Secret": "s3cret"}'"""
FAILING = [
    ("echo s3cret; echo s3cret >&2; exit 3", "ended with status 3"),
    ("echo s3cret", "is not a login"),
    ("echo '[\"s3cret\"]'", "is not a login"),
    ('echo \'{"Username": "u", "Secret": ["s3cret"]}\'', "is not a login"),
    ("printf '\\377s3cret'", "is not a login"),
    ("true", "is not a login"),
    ("kill -9 $$", "ended with status -9"),
    ("exec yes s3cret", "its answer has no end"),
]


@pytest.mark.parametrize(("script", "reason"), FAILING)
async def test_a_failing_helper_is_named(home: Home, script: str, reason: str) -> None:
    """The error names helper, host and what happened, and nothing that the helper printed."""
    home.helper("test", script)
    home.write({"credsStore": "test"})
    message = await home.refuse()

    assert f"docker-credential-test, asked for the login for {HOST}" in message
    assert reason in message


async def test_a_helper_that_is_not_installed_is_named(home: Home) -> None:
    """A config that was copied from another machine says what is missing."""
    home.write({"credsStore": "desktop"})

    assert "docker-credential-desktop" in await home.refuse()


async def test_a_helper_that_is_no_program_is_named(home: Home) -> None:
    """A file that this machine cannot run is an error, not a crash."""
    home.helper("test", "")
    (home.bin / "docker-credential-test").write_bytes(b"\x00\x01 no program")
    home.write({"credsStore": "test"})

    assert "Exec format error" in await home.refuse()


@pytest.mark.parametrize("name", ["../evil", "/bin/sh", "a b", "-x", ".", "..", "a\nb", "a\0b", "é"])
async def test_a_helpers_name_is_no_path(home: Home, name: str) -> None:
    """Only names can follow ``docker-credential-``: a config cannot run programs from elsewhere."""
    home.write({"credsStore": name})

    assert "a name that no program can have" in await home.refuse()


async def test_a_helper_may_answer_without_listening(home: Home) -> None:
    """A helper that never reads its input still gives its login."""
    home.program("deaf", f"exec <&-\n{SAY_ALICE}")
    home.write({"credsStore": "deaf"})

    assert await home.find() == ALICE


async def test_a_hanging_helper_is_ended_with_its_children(home: Home) -> None:
    """After the time limit the helper and what it started are gone, and the error says so."""
    alive = home.folder / "alive"
    os.mkfifo(alive)
    home.helper("test", f"exec 3> {alive}; sleep 600 & wait")
    home.write({"credsStore": "test"})
    with os.fdopen(os.open(alive, os.O_RDONLY | os.O_NONBLOCK), "rb") as pipe:
        message = await home.refuse(time_limit=0.3)

        assert "did not answer within 0.3 s" in message
        assert hung_up(pipe)


async def test_a_cancelled_question_leaves_no_helper_behind(home: Home) -> None:
    """Cancelling ends the helper and what it started, and lets the cancellation pass."""
    alive = home.folder / "alive"
    os.mkfifo(alive)
    home.helper("test", f"sleep 600 > {alive} & wait")
    home.write({"credsStore": "test"})
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(home.find())
        pipe = await asyncio.to_thread(alive.open, "rb")  # waits for the helper's child
        asking.cancel()

    with pipe:
        assert asking.cancelled()
        assert hung_up(pipe)


async def test_a_question_cancelled_at_its_start_leaves_no_helper_behind(home: Home) -> None:
    """Cancelling before the helper is known to run ends it, and what it has started by then, all the same."""
    alive = home.folder / "alive"
    os.mkfifo(alive)
    home.program("test", f"sleep 600 > {alive} & wait")
    home.write({"credsStore": "test"})
    before = psutil.Process().children()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        asking = group.create_task(home.find())
        while psutil.Process().children() == before:
            await asyncio.sleep(0)
        pipe = alive.open("rb")  # waits for the helper's child, and lets nothing else happen here
        asking.cancel()

    with pipe:
        assert asking.cancelled()
        assert hung_up(pipe)


async def test_a_child_that_holds_the_output_is_ended(home: Home) -> None:
    """A helper that ended has answered, though what it left running could still write; that is ended too."""
    alive = home.folder / "alive"
    os.mkfifo(alive)
    home.helper("test", f"exec 3> {alive}; sleep 600 & {SAY_ALICE}")
    home.write({"credsStore": "test"})
    with os.fdopen(os.open(alive, os.O_RDONLY | os.O_NONBLOCK), "rb") as pipe:
        found = await home.find()

        assert found == ALICE
        assert hung_up(pipe)


async def test_a_child_that_left_with_the_output_is_no_obstacle(home: Home) -> None:
    """A daemon that a helper starts neither spoils the answer nor costs an open file for each question."""
    ready, child = home.folder / "ready", home.folder / "child"
    os.mkfifo(ready)
    home.helper(
        "test", f"setsid sh -c 'echo $$ >> {child}; echo > {ready}; exec sleep 600' & read -r _ < {ready}; {SAY_ALICE}"
    )
    home.write({"credsStore": "test"})
    before = psutil.Process().num_fds()
    try:
        found = [await home.find(), await home.find()]
        after = psutil.Process().num_fds()
    finally:
        for pid in child.read_text().split():
            psutil.Process(int(pid)).kill()

    assert found == [ALICE, ALICE]
    assert after == before


async def test_an_endless_writer_that_left_is_not_listened_to_for_ever(home: Home) -> None:
    """What a helper's daemon goes on writing is read up to a limit, and the error says so."""
    ready, child = home.folder / "ready", home.folder / "child"
    os.mkfifo(ready)
    home.helper(
        "test", f"setsid sh -c 'echo $$ > {child}; echo > {ready}; exec yes s3cret' & read -r _ < {ready}; sleep 600"
    )
    home.write({"credsStore": "test"})

    assert "its answer has no end" in await home.refuse()


def hung_up(pipe: BinaryIO) -> bool:
    """Whether all are gone who could write into the pipe, or go within a while."""
    return bool(select.select([pipe], [], [], 20)[0])


async def test_many_who_ask_at_once_start_one_helper(home: Home) -> None:
    """Concurrent questions for one host share one answer, those for another host have their own."""
    home.answering("test", "alice", "s3cret")
    home.write({"credsStore": "test"})
    logins = home.logins()
    endpoints = [Endpoint(HOST)] * 10 + [Endpoint("other.example.com")] * 10
    found = await asyncio.gather(*(logins.login_for(one, "a") for one in endpoints))

    assert found == [ALICE] * 20
    assert sorted(home.asked()) == ["get other.example.com", f"get {HOST}"]


async def test_a_helpers_answer_is_shared_for_a_short_while(home: Home) -> None:
    """A helper is asked again when its answer is old, so that a renewed login is found."""
    home.answering("test", "alice", "s3cret")
    home.write({"credsStore": "test"})
    logins = home.logins()
    for home.now in (0, SHARED_SECONDS - 1, SHARED_SECONDS, SHARED_SECONDS + 1):
        await logins.login_for(Endpoint(HOST), "a")

    assert len(home.asked()) == 2


async def test_a_failure_is_shared_by_those_who_waited_only(home: Home) -> None:
    """All who asked while the helper failed are told at once; who asks later starts it anew."""
    home.helper("test", "exit 1")
    home.write({"credsStore": "test"})
    logins = home.logins()
    failures = await asyncio.gather(*(logins.login_for(Endpoint(HOST), "a") for _ in range(5)), return_exceptions=True)
    at_once = len(home.asked())
    home.answering("test", "alice", "s3cret")

    assert [type(one) for one in failures] == [CredentialsError] * 5
    assert at_once == 1
    assert await logins.login_for(Endpoint(HOST), "a") == ALICE
