import json
from pathlib import Path

from tests.dregsy.cli.conftest import Dregsy, Pair


async def planned(dregsy: Dregsy, config: str) -> str:
    """Plan the first task and return the plan's name."""
    plan = str(Path(config).with_name("plan.json"))
    assert (await dregsy("plan", "-config", config, "-run", "first", "-o", plan)).code == 0
    return plan


async def test_done(dregsy: Dregsy, config: str, embedded_pair: Pair) -> None:
    """It tells what it does as a run does, in lines and at the end as JSON, and does no more than was planned."""
    source, target = embedded_pair
    plan = await planned(dregsy, config)

    ran = await dregsy("apply", plan)
    again = await dregsy("apply", "--json", "--verify", plan)

    lines = [line.split(maxsplit=2)[2] for line in ran.out.splitlines()]
    assert (ran.code, ran.err) == (0, "")
    assert lines[0] == f"task 'first' started: {source.host} -> {target.host}"
    assert lines[1].startswith(f"copied: {source.host}/test/a:1.0 -> {target.host}/mirror/a:1.0 sha256:")
    assert lines[2].startswith("task 'first' finished: 1 copied, 0 up to date")
    assert target.store.names() == ["mirror/a"]
    data = json.loads(again.out)
    assert (again.code, data["ok"], [task["current"] for task in data["tasks"]]) == (0, True, [1])


async def test_another_config(dregsy: Dregsy, config: str, embedded_pair: Pair) -> None:
    """A config of other bytes is refused, whatever has changed in it."""
    plan = await planned(dregsy, config)
    embedded_pair[1].log.clear()

    with Path(config).open("a") as file:
        file.write("# a remark\n")
    ran = await dregsy("apply", plan)
    Path(config).write_text("hunter2: [")
    unread = await dregsy("apply", plan)

    assert (unread.code, "hunter2" in unread.err) == (1, False)
    assert "is not what the plan was made from" in unread.err
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"error: {config} is not what the plan was made from: it was sha256:")
    assert "give the file that was planned with -config" in ran.err
    assert embedded_pair[1].requests == []


async def test_standard_input(dregsy: Dregsy, config: str) -> None:
    """A plan of a config on the standard input wants to be told where it is now."""
    text = Path(config).read_text()
    plan = str(Path(config).with_name("plan.json"))
    await dregsy("plan", "-config", "-", "-run", "first", "-o", plan, stdin=text)

    untold = await dregsy("apply", plan)
    told = await dregsy("apply", plan, "-config", "-", stdin=text)

    assert (untold.code, untold.err.count("give the same file with -config")) == (1, 1)
    assert told.code == 0


async def test_no_plan(dregsy: Dregsy, config: str) -> None:
    """Anything else than a plan, or none at all, is told in one line."""
    other = await dregsy("apply", config)
    none = await dregsy("apply")

    assert (other.code, other.err) == (
        1,
        f"error: '{config}' is no plan: it is not JSON — make a new plan with 'dregsy plan'\n",
    )
    assert (none.code, none.err.startswith("error: Missing argument 'PLAN'")) == (1, True)


async def test_config_is_gone(dregsy: Dregsy, config: str) -> None:
    """A config that is no longer where it was is told by its name."""
    plan = await planned(dregsy, config)
    Path(config).unlink()

    ran = await dregsy("apply", plan)

    assert (ran.code, ran.err) == (1, f"error: {config}: there is no such file — check the path\n")


async def test_what_could_not_be_planned(dregsy: Dregsy, config: str, embedded_pair: Pair) -> None:
    """A plan with failures is done as far as it goes, and yet not everything is in place: that is told, with 1."""
    plan = str(Path(config).with_name("plan.json"))
    await dregsy("plan", "-config", config, "-run", "second", "-o", plan)
    ran = await dregsy("apply", plan)
    await dregsy("plan", "-config", config, "-run", "second", "-o", plan)
    again = await dregsy("apply", "--json", plan)

    told = "images that could not be planned: 1; make a new plan to have them copied"
    assert (ran.code, ran.out.count(told), ran.out.count("1 copied")) == (1, 1, 1)
    assert embedded_pair[1].store.names() == ["test/b"]
    assert (again.code, again.err.count(told), json.loads(again.out)["ok"]) == (1, 1, False)
    assert "nothing to copy" not in again.err
