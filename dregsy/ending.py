"""How work ends early: the first signal lets it come to an end, the second cancels it, the third kills."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dregsy.model.report import Listener, Warned

LAST_CALL = 5.0
"""How long everything may take to clean up after an abort, in seconds, before it is cancelled."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Ending:
    """What signals set off: stop, then abort, and should that not help, the end of everything."""

    def __init__(self, grace: float, deadline: asyncio.Timeout, emit: Listener) -> None:
        self.stop = asyncio.Event()
        self.abort = asyncio.Event()
        self.turn = asyncio.Event()
        """Set when no other task may begin: with ``stop``, or for a new config."""
        self.working = False
        """Whether there may be copies to wait for."""
        self._grace = grace
        self._deadline = deadline
        self._emit = emit
        self._patience: asyncio.TimerHandle | None = None

    def signalled(self) -> None:
        """Take a signal."""
        if self.stop.is_set() or not self.working:
            self.give_up()
            return
        self.stop.set()
        self.turn.set()
        self._patience = asyncio.get_running_loop().call_later(self._grace, self.give_up)
        remaining = f"copies in flight, if any, have {self._grace:g} s to finish; signal again to cancel them"
        self._emit(Warned("", f"stopping: {remaining}"))

    def give_up(self) -> None:
        """Cancel the copies now, and soon after whatever else takes its time.

        From now on a signal kills: that ends even a relay that does not let itself be cancelled.
        """
        self.close()
        self.stop.set()
        self.turn.set()
        self.abort.set()
        for number in _SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        if self.working:
            self._emit(Warned("", "cancelling what is in flight; signal again to end without cleaning up"))
        wait = LAST_CALL if self.working else 0.0
        self._deadline.reschedule(asyncio.get_running_loop().time() + wait)

    def close(self) -> None:
        """Forget the grace period."""
        if self._patience is not None:
            self._patience.cancel()


@asynccontextmanager
async def until_signalled(grace: float, emit: Listener) -> AsyncIterator[Ending]:
    """Heed signals inside; what they cut short is left without an error."""
    deadline = asyncio.timeout(None)
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        async with deadline:
            ending = Ending(grace, deadline, emit)
            loop = asyncio.get_running_loop()
            try:
                for number in _SIGNALS:
                    loop.add_signal_handler(number, ending.signalled)
                yield ending
            finally:
                ending.close()
                for number, handler in before.items():
                    loop.remove_signal_handler(number)
                    signal.signal(number, handler or signal.SIG_DFL)
    except TimeoutError:
        if not deadline.expired():
            raise
