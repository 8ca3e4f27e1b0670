from dataclasses import replace
from io import StringIO

import pytest
import yaml

from dregsy.config.load import Loaded, load
from dregsy.errors import TagTaken
from dregsy.model.digest import Digest
from dregsy.model.plan import Copy, Task
from dregsy.model.ref import Ref
from dregsy.model.report import Failure, Outcome, Report, Status
from dregsy.model.shard import Shard
from dregsy.reports.replay import config, replayed, shard_of, taken

DIGEST = Digest.of(b"image")
LOST = Failure("unreachable", "no answer")
ENVIRON = {"LOGIN": "dXNlcjpodW50ZXIy", "HOST": "a.test", "NAME": "nightly"}

TEXT = r"""
x-target: &target {registry: b.test, auth: "${LOGIN}"}
watch: true
listen: :8080
notify: [{slack: "https://hooks.test/x"}]
parallel: 3
lister: {maxItems: 7}
tasks:
- name: ${NAME}
  interval: 30
  verbose: yes
  source: {registry: "${HOST}/team"}
  targets: [*target, {registry: c.test/far}]
  mappings:
  - from: regex:app/.*
    to: regex:^/app/(.*),/mirror/$1
    tags: ['semver: >=1.0.0', 'keep: latest 3']
    exclude: ['regex: .*-rc']
    older-than: 7d
  - from: fixed
    to: other
    tags: ['1.30', "on", 'v1@DIGEST', 'DIGEST']
    tag-prefix: p-
  - {from: regex:.*, to: all, tags: ['keep: newest 2']}
""".replace("DIGEST", str(DIGEST))


def loaded(text: str = TEXT) -> Loaded:
    """Load a text."""
    return load("-", environ=ENVIRON, stdin=StringIO(text))


def lost(task: Task, rule: int, source: Ref, *targets: Ref, at: int = 0, by_digest: bool = False) -> Outcome:
    """An image of a task that did not get to the target at a position, or to none where none is known."""
    where = task.rules[rule].where
    copy = Copy(task.name, source, targets, tuple(range(len(targets))), where=where, by_digest=by_digest)
    return Outcome(copy, targets[at] if targets else None, Status.FAILED, failure=LOST)


def both(repository: str, tag: str) -> tuple[Ref, Ref]:
    """An image at both targets."""
    return Ref("b.test", repository, tag), Ref("c.test", f"far/{repository}", tag)


def mappings(text: str, *outcomes: Outcome) -> list[list[dict[str, object]]]:
    """Return the mappings of the tasks that replay outcomes, as YAML reads them."""
    file = loaded(text)
    assert file.read is not None
    tasks = replayed(file.read, file.plan, Report(file.plan.tasks[0], 0, 1, outcomes))
    return [one["mappings"] for one in yaml.safe_load(config(file.read, tasks))["tasks"]]


def test_what_stays() -> None:
    """All of the file that counts for one run is there as it was written, and is read as the same."""
    file = loaded()
    task = file.plan.tasks[0]
    assert file.read is not None
    one = lost(task, 1, Ref("a.test", "team/fixed", "1.30"), *both("other", "p-1.30"))

    text = config(file.read, replayed(file.read, file.plan, Report(task, 0, 1, (one,))))

    again = loaded(text).plan
    data = yaml.safe_load(text)
    assert set(data) == {"parallel", "lister", "tasks"}
    assert (again.parallel, again.tasks[0].listing.limit) == (3, 7)
    assert [again.tasks[0].name, again.tasks[0].source, again.tasks[0].targets] == [
        *("nightly", task.source, (task.targets[0],)),
    ]
    assert data["tasks"][0] == {
        "name": "${NAME}",
        "verbose": True,
        "source": {"registry": "${HOST}/team"},
        "targets": [{"registry": "b.test", "auth": "${LOGIN}"}],
        "mappings": [{"from": "fixed", "to": "other", "tags": ["1.30"], "tag-prefix": "p-"}],
    }
    assert "hunter" not in text
    assert ENVIRON["LOGIN"] not in text


def test_an_expression() -> None:
    """It becomes the repository that failed under the name it has at the target; conditions on ages stay."""
    task = loaded().plan.tasks[0]

    (found,) = mappings(
        TEXT,
        *(
            lost(task, 0, Ref("a.test", f"team/app/{name}", tag, DIGEST), *both(f"mirror/{name}", tag))
            for name, tag in (("x", "1.1"), ("x", "1.0"), ("y", "on"))
        ),
    )

    assert [(one["from"], one["to"], one["tags"], one["older-than"]) for one in found] == [
        ("app/x", "mirror/x", ["1.1", "1.0"], "7d"),
        ("app/y", "mirror/y", ["on"], "7d"),
    ]


def test_targets() -> None:
    """What failed at one target only is copied to that only; different targets make different tasks."""
    file = loaded()
    task = file.plan.tasks[0]
    assert file.read is not None
    refs = {tag: (Ref("a.test", "team/fixed", tag), *both("other", f"p-{tag}")) for tag in ("1", "2", "3")}
    outcomes = (
        lost(task, 1, *refs["1"], at=1),
        lost(task, 1, *refs["2"], at=0),
        lost(task, 1, *refs["3"], at=0),
        lost(task, 1, *refs["3"], at=1),
    )

    made = replayed(file.read, file.plan, Report(task, 0, 1, outcomes))

    plan = loaded(config(file.read, made)).plan
    assert [(one.name, [target.host for target in one.targets], one.rules[0].tags.items) for one in plan.tasks] == [
        ("nightly (1)", ["c.test"], ("1",)),
        ("nightly (2)", ["b.test"], ("2",)),
        ("nightly (3)", ["b.test", "c.test"], ("3",)),
    ]


def test_digests() -> None:
    """What is named by a digest is asked for by it."""
    task = loaded().plan.tasks[0]
    named = lost(task, 1, Ref("a.test", "team/fixed", "v1", DIGEST), *both("other", "p-v1"), by_digest=True)
    target = Ref("b.test", "other", None, DIGEST)
    plain = lost(task, 1, Ref("a.test", "team/fixed", None, DIGEST), target, by_digest=True)

    ((found,),) = mappings(TEXT, named, plain)

    assert found["tags"] == [f"v1@{DIGEST}", str(DIGEST)]


def test_a_list_that_could_not_be_had() -> None:
    """Where nobody knows which repositories there are, the mapping stays whole; other mappings are not in it."""
    task = loaded().plan.tasks[0]

    (found,) = mappings(TEXT, lost(task, 0, Ref("a.test", "team")))

    (first,) = found
    assert (first["from"], first["tags"]) == ("regex:app/.*", ["semver: >=1.0.0", "keep: latest 3"])


@pytest.mark.parametrize(("index", "count", "expected"), [(0, 1, 0), (1, 3, 1)])
def test_a_shard(index: int, count: int, expected: int) -> None:
    """A mapping that stays whole means the repositories of all shards: the file says with which it is to be run."""
    file = loaded()
    assert file.read is not None
    plan = file.plan.sharded(Shard(index, count))
    task = plan.tasks[0]
    wide = Report(task, 0, 1, (lost(task, 0, Ref("a.test", "team")),))
    narrow = Report(task, 0, 1, (lost(task, 1, Ref("a.test", "team/fixed", "1.30"), *both("other", "p-1.30")),))

    texts = [config(file.read, replayed(file.read, plan, of), shard=shard_of(of)) for of in (wide, narrow)]

    assert [text.count(f"run it with '--shard {index}/{count}'") for text in texts] == [expected, 0]
    assert all(len(loaded(text).plan.tasks) == 1 for text in texts)


def test_tags_that_could_not_be_listed() -> None:
    """Where nobody knows which tags there are, the mapping is narrowed to the repository."""
    task = loaded().plan.tasks[0]

    ((found,),) = mappings(TEXT, lost(task, 0, Ref("a.test", "team/app/x")))

    assert (found["from"], found["to"], found["tags"]) == (
        *("app/x", "mirror/x"),
        ["semver: >=1.0.0", "keep: latest 3"],
    )


def test_a_date_that_could_not_be_read() -> None:
    """Where nobody knows whether a tag is among the newest, all of the repository is looked at again."""
    task = loaded().plan.tasks[0]

    ((found,),) = mappings(TEXT, lost(task, 2, Ref("a.test", "team/z", "1")))

    assert (found["from"], found["to"], found["tags"]) == ("z", "all/z", ["keep: newest 2"])


def test_a_name_that_is_none() -> None:
    """Where the mapping makes an illegal name, the mapping itself is to be mended: it stays, and can be read."""
    text = TEXT.replace("to: regex:^/app/(.*),/mirror/$1", "to: regex:^/app/(.*),/BAD/$1")
    task = loaded(text).plan.tasks[0]

    ((found,),) = mappings(text, lost(task, 0, Ref("a.test", "app/x")))

    assert found["from"] == "regex:app/.*"


ONE_LINE = """
tasks:
- name: t
  source: {registry: a.test}
  target: {registry: b.test}
  mappings: [{from: x, to: y, tags: ['1']}, {from: x, to: z, tags: ['1']}, {from: q, platform: linux/arm64}, {from: q}]
"""


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (Ref("a.test", "x", "1"), Ref("b.test", "y", "1"), {"from": "x", "to": "y", "tags": ["1"]}),
        (Ref("a.test", "x", "1"), Ref("b.test", "z", "1"), {"from": "x", "to": "z", "tags": ["1"]}),
        (Ref("a.test", "q", "7"), Ref("b.test", "q", "7"), {"from": "q", "tags": ["7"]}),
    ],
)
def test_mappings_in_one_line(source: Ref, target: Ref, expected: dict[str, object]) -> None:
    """It is told by what a mapping means, not by its line alone, which of them it was."""
    task = loaded(ONE_LINE).plan.tasks[0]

    assert mappings(ONE_LINE, lost(task, 0, source, target)) == [[expected]]


def test_docker_hub() -> None:
    """An official image is found under the short name that the file has."""
    text = ONE_LINE.replace("a.test", "docker.io")
    task = loaded(text).plan.tasks[0]

    found = mappings(text, lost(task, 0, Ref("docker.io", "library/x", "1"), Ref("b.test", "y", "1")))

    assert found == [[{"from": "x", "to": "y", "tags": ["1"]}]]


def test_nothing_failed() -> None:
    """The file says so, has no tasks, and can be run."""
    file = loaded()
    assert file.read is not None
    task = file.plan.tasks[0]
    done = Outcome(Copy("t", Ref("a.test", "x", "1"), (), ()), None, Status.CURRENT)

    text = config(file.read, replayed(file.read, file.plan, Report(task, 0, 1, (done,))))

    assert "# Nothing did.\n" in text
    assert loaded(text).plan.tasks == ()


def test_what_was_cancelled() -> None:
    """It is in the file like what failed; a run that was cut short is told of."""
    file = loaded(ONE_LINE)
    task = file.plan.tasks[0]
    assert file.read is not None
    copy = Copy("t", Ref("a.test", "x", "1"), (Ref("b.test", "y", "1"),), (0,), where=task.rules[0].where)
    outcome = Outcome(copy, copy.targets[0], Status.CANCELLED)

    text = config(file.read, replayed(file.read, file.plan, Report(task, 0, 1, (outcome,), (), True)), cut=True)

    assert yaml.safe_load(text)["tasks"][0]["mappings"] == [{"from": "x", "to": "y", "tags": ["1"]}]
    assert "A run was cut short" in text


def test_a_task_of_another_file() -> None:
    """Of a task that the file does not have nothing is written."""
    file, other = loaded(ONE_LINE), loaded(ONE_LINE)
    assert file.read is not None
    outcome = lost(other.plan.tasks[0], 0, Ref("a.test", "x", "1"), Ref("b.test", "y", "1"))

    assert replayed(file.read, file.plan, Report(other.plan.tasks[0], 0, 1, (outcome,))) == []


def test_a_tag_that_another_mapping_has() -> None:
    """What was refused to keep another mapping's image is not replayed, where that mapping would be missing."""
    file = loaded(ONE_LINE)
    task = file.plan.tasks[0]
    assert file.read is not None
    refused = lost(task, 0, Ref("a.test", "x", "1"), Ref("b.test", "y", "1"))
    report = Report(task, 0, 1, (replace(refused, failure=Failure.of(TagTaken("y:1 is to hold z:1 already"))),))

    text = config(file.read, replayed(file.read, file.plan, report), taken=taken(report))

    assert loaded(text).plan.tasks == ()
    assert "# 1 image is not in here: the tag at the target belongs to another mapping" in text
    assert "Nothing did" not in text
