from dregsy.orders import Orders


def test_runs_are_taken_in_the_order_they_were_asked_for() -> None:
    """Asked for twice a task runs once, and nothing is left when all are taken."""
    orders = Orders()
    for name in ("b", "a", "b"):
        orders.run_now(name)

    assert (orders.is_asked("a"), orders.given.is_set()) == (True, True)
    assert [orders.take(), orders.take(), orders.take()] == ["b", "a", None]
    assert (orders.is_asked("a"), orders.given.is_set()) == (False, False)


def test_pausing() -> None:
    """What is paused stays so until it is resumed; a run that is asked for changes nothing about that."""
    orders = Orders()
    orders.pause("a")
    orders.run_now("a")
    orders.take()
    paused = orders.is_paused("a"), orders.is_paused("b")
    orders.resume("a")

    assert (*paused, orders.is_paused("a")) == (True, False, False)


def test_tasks_that_are_no_more() -> None:
    """What was wanted of them is forgotten, so that names do not pile up."""
    orders = Orders()
    for name in ("old", "new"):
        orders.run_now(name)
        orders.pause(name)
    orders.keep(["new"])

    assert [orders.is_paused("old"), orders.is_paused("new")] == [False, True]
    assert [orders.take(), orders.take()] == ["new", None]
    orders.run_now("new")
    orders.keep([])
    assert not orders.given.is_set()
