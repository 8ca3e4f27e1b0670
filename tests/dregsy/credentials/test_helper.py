"""Logins from real helper programs."""

import asyncio
import gc
import os
import select
from typing import BinaryIO

import psutil
import pytest

from dregsy.model.endpoint import Login, Secret
from tests.testbed.home import ALICE, HOST, HUB_KEY, NOBODY, Home

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
        os.close(os.open(alive, os.O_WRONLY))  # a helper that is ended before it opens it counts as hung up too
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
    before = set(psutil.Process().children())
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        asking = group.create_task(home.find())
        while not set(psutil.Process().children()) - before:
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
    gc.collect()  # what earlier tests left open is not closed during this one
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
