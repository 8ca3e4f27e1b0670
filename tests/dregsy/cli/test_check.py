import json
from pathlib import Path

from dregsy.embedded import images
from tests.dregsy.cli.conftest import Dregsy, Pair
from tests.testbed.certificates import Authority


async def test_valid_file(dregsy: Dregsy, config: str, embedded_pair: Pair) -> None:
    """A valid file is told in one line with what it holds; no registry is asked."""
    ran = await dregsy("check", "-config", config)

    assert (ran.code, ran.out, ran.err) == (0, f"{config} is valid: 2 tasks, 2 mappings, relay native\n", "")
    assert embedded_pair[0].requests == []


async def test_standard_input_has_no_name(dregsy: Dregsy) -> None:
    """What came from the standard input is called so, and one thing is not many."""
    text = "tasks:\n- {name: x, source: {registry: a.example}, target: {registry: b.example}, mappings: [{from: c}]}\n"

    ran = await dregsy("check", "-config", "-", stdin=text)

    assert (ran.code, ran.out) == (0, "the standard input is valid: 1 task, 1 mapping, relay native\n")


async def test_problems(dregsy: Dregsy, tmp_path: Path) -> None:
    """All problems are told at once, as text on stderr or as JSON, and the exit code is 1."""
    file = tmp_path / "bad.yaml"
    file.write_text("relay: splunge\ntasks:\n- interval: 1\n")

    text = await dregsy("check", "-config", str(file))
    data = await dregsy("check", "--json", "-config", str(file))

    problems = json.loads(data.out)["problems"]
    assert (text.code, data.code, text.out, data.err) == (1, 1, "", "")
    assert len(text.err.splitlines()) == len(problems) > 2
    assert (problems[0]["file"], problems[0]["line"], problems[0]["severity"]) == (str(file), 1, "error")


async def test_warnings(dregsy: Dregsy, tmp_path: Path) -> None:
    """Warnings are told, and the file is valid nevertheless."""
    file = tmp_path / "odd.yaml"
    file.write_text("paralel: 3\n")

    text = await dregsy("check", "-config", str(file))
    data = json.loads((await dregsy("check", "--json", "-config", str(file))).out)

    assert (text.code, text.err.startswith("warning: ")) == (0, True)
    assert (data["valid"], [problem["severity"] for problem in data["problems"]]) == (True, ["warning"])


async def test_diff(dregsy: Dregsy, config: str, embedded_pair: Pair) -> None:
    """``--diff`` says for each image what a run would do, counts, and writes nothing."""
    source, target = embedded_pair

    ran = await dregsy("check", "--diff", "-config", config, "-run", "first")

    assert ran.code == 0
    assert ran.out.splitlines() == [
        f"task 'first' ({config}:2)",
        f"  missing    {source.host}/test/a:1.0 -> {target.host}/mirror/a:1.0",
        "1 missing, 0 changed, 0 current",
    ]
    assert {request.method for request in target.requests} <= {"GET", "HEAD"}


async def test_diff_of_digests(dregsy: Dregsy, embedded_pair: Pair, tmp_path: Path) -> None:
    """An image that is named by digest is shown as what the source has, whatever it is to be called at the target."""
    source, target = embedded_pair
    digest = images.image("x").digest
    await images.seed(source, "test/a", images.image("x"))
    file = tmp_path / "sync.yaml"
    file.write_text(
        f"tasks:\n- {{name: t, source: {{registry: '{source.host}'}}, target: {{registry: '{target.host}'}},\n"
        f"   mappings: [{{from: test/a, tags: ['foo@{digest}']}}]}}\n"
    )

    ran = await dregsy("check", "--diff", "-config", str(file))

    assert f"{source.host}/test/a@{digest} -> {target.host}/test/a:foo" in ran.out


async def test_diff_as_json(dregsy: Dregsy, config: str) -> None:
    """``--diff --json`` has an entry for each image and target; what cannot be compared makes the exit code 1."""
    await dregsy("-config", config)

    ran = await dregsy("check", "--diff", "--json", "-config", config)

    data = json.loads(ran.out)
    assert (ran.code, data["complete"], data["counts"]) == (1, True, {"current": 2, "failed": 1})
    assert [(one["task"], one["status"]) for one in data["images"]] == [
        ("first", "current"),
        ("second", "current"),
        ("second", "failed"),
    ]
    assert data["images"][2]["kind"] == "not-found"


def broken(tmp_path: Path, authority: Authority) -> Path:
    """A config with two registries, one of which has a folder of certificates in which much is wrong."""
    folder = tmp_path / "certs.d" / "a.example"
    folder.mkdir(parents=True)
    (tmp_path / "certs.d" / "b.example").mkdir()
    (folder / "ca.crt").write_text("garbage")
    (folder / "lone.key").write_text("x")
    (folder / "old.cert").write_bytes(authority.issue("old", start_days=-9, days=-3)[0].read_bytes())
    (folder / "old.key").write_bytes((authority.folder / "old.key").read_bytes())
    file = tmp_path / "certs.yaml"
    task = "{name: x, source: {registry: a.example}, target: {registry: b.example}, mappings: [{from: c}]}"
    file.write_text(f"native: {{certs-dir: {tmp_path}/certs.d}}\ntasks:\n- {task}\n- {task.replace('x', 'y', 1)}\n")
    return file


async def test_broken_certificates(dregsy: Dregsy, tmp_path: Path, authority: Authority) -> None:
    """All that is wrong with the certificates for the registries is told at once, each thing once and with a place."""
    file = broken(tmp_path, authority)

    text = await dregsy("check", "-config", str(file), "-run", "x")
    data = await dregsy("check", "--json", "-config", str(file))

    lines = text.err.splitlines()
    told = [name for line in lines for name in ("ca.crt", "lone.key", "old.cert") if f"a.example/{name} " in line]
    assert (text.code, text.out, told) == (1, "", ["ca.crt", "lone.key", "old.cert"])
    assert [line.startswith(f"error: {file}:3: a.example: ") for line in lines] == [True] * 3
    assert (data.code, json.loads(data.out)["valid"], len(json.loads(data.out)["problems"])) == (1, False, 3)


async def test_broken_certificates_do_not_keep_from_comparing(
    dregsy: Dregsy, config: str, tmp_path: Path, embedded_pair: Pair
) -> None:
    """With ``--diff`` they are told first, and then all is compared that can be."""
    folder = tmp_path / "certs.d" / embedded_pair[1].host
    folder.mkdir(parents=True)
    (folder / "lone.key").write_text("x")
    with Path(config).open("a") as file:
        file.write(f"native: {{certs-dir: {tmp_path}/certs.d}}\n")

    ran = await dregsy("check", "--diff", "-config", config, "-run", "first")

    assert (ran.code, "lone.key has no client certificate" in ran.err) == (1, True)
    assert "failed" in ran.out


async def test_diff_of_shards(dregsy: Dregsy, config: str) -> None:
    """``--shard`` tells what one replica would copy; together they have everything once."""
    shards = [await dregsy("check", "--diff", "--json", "-config", config, "--shard", f"{n}/2") for n in range(2)]

    sources = [[image["source"] for image in json.loads(shard.out)["images"]] for shard in shards]
    whole = json.loads((await dregsy("check", "--diff", "--json", "-config", config)).out)["images"]
    assert sorted(image["source"] for image in whole) == sorted(sources[0] + sources[1])


async def test_detailed_exit_code(dregsy: Dregsy, config: str) -> None:
    """``--detailed-exitcode`` is for what ``--diff`` finds: 2 for work, 0 for none; alone it means nothing."""
    command = ("check", "-config", config, "-run", "first", "--detailed-exitcode")
    alone = await dregsy(*command)
    before = await dregsy(*command, "--diff")
    await dregsy("-config", config, "-run", "first")
    after = await dregsy(*command, "--diff")

    assert (alone.code, "--diff" in alone.err, before.code, after.code) == (1, True, 2, 0)
