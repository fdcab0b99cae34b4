"""Flags that a running loop reads between its steps, and a thread for the loop to run in.

A button's handler may be called late, in another thread or in the middle of a step; so nothing here
acts by itself. It leaves a flag, and the loop obeys where its state is whole.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from workbench.errors import BadArgument
from workbench.train.history import Row

if TYPE_CHECKING:
    from workbench.train.loop import Run

STATES = ("waiting", "running", "paused", "stopped", "interrupted", "failed", "done")
"""What a run may be doing; "waiting" is before its first step."""
NAP = 0.05
"""Seconds between two looks at the flags while paused."""


class Control:
    """What somebody outside the loop asks of it; every `Run` has one as `run.control`.

    Each method only sets a flag, from any thread; the loop obeys between two steps. A new `for`,
    `async for` or `finish` begins unpaused and unstopped, so that a click which arrives after the
    loop has ended does not stop the next one.

    Attributes: `state`, one of `STATES`; `error`, what a failed step said, else empty; `owner`, the
    thread of `background`, which nobody else may step beside.

    Example:
        >>> control = Control()
        >>> control.pause()
        >>> control.paused, control.state
        (True, 'waiting')

    Breaks when: several processes train one model: each reads its own flags, and one that waits
    alone leaves the others waiting for it.
    """

    def __init__(self) -> None:
        self._paused, self._stopping, self._saving = (threading.Event() for _ in range(3))
        self.state, self.error = "waiting", ""
        self.owner: threading.Thread | None = None

    def pause(self) -> None:
        """Wait before the next step until `resume` or `stop`."""
        self._paused.set()

    def resume(self) -> None:
        """Go on."""
        self._paused.clear()

    def stop(self) -> None:
        """Finish this step, save, and end the iteration; the run can be iterated on later."""
        self._stopping.set()

    def checkpoint(self) -> None:
        """Save at the end of the step in progress, or at once while paused."""
        self._saving.set()

    @property
    def paused(self) -> bool:
        """Has somebody asked for a pause?"""
        return self._paused.is_set()

    @property
    def stopping(self) -> bool:
        """Has somebody asked for a stop that the loop has not yet obeyed?"""
        return self._stopping.is_set()

    @property
    def saving(self) -> bool:
        """Has somebody asked for a checkpoint that is not yet written?"""
        return self._saving.is_set()

    # -- what the loop calls -------------------------------------------------------------------

    def renew(self) -> None:
        """A new iteration begins: forget what was asked of the last one.

        Raises:
            BadArgument: a thread of `background` is training this run.
        """
        self._check_owner()
        self._paused.clear()
        self._stopping.clear()

    def wait(self, save: Callable[[], object]) -> bool:
        """Obey what was asked for between two steps: sleep through a pause, save on a stop.

        Args:
            save: writes a checkpoint; called in a pause if one is wanted, when an interrupt ends a
                pause, and on a stop.

        Returns:
            May the loop take another step?

        Raises:
            BadArgument: a thread of `background` is training this run.

        Example:
            >>> control = Control()
            >>> control.stop()
            >>> control.wait(lambda: None), control.wait(lambda: None)
            (False, True)
        """
        with self._between(save):
            while self._held(save):
                time.sleep(NAP)
        return not self._ends(save)

    async def wait_async(self, save: Callable[[], object]) -> bool:
        """The same as `wait`; others may act meanwhile."""
        with self._between(save):
            while self._held(save):
                await asyncio.sleep(NAP)
        return not self._ends(save)

    def check_still(self) -> None:
        """Refuse to look into a run while a thread of `background` moves it.

        Raises:
            BadArgument: it trains just now; while paused it may be looked into.
        """
        if self._elsewhere and not (self.paused and self.state == "paused"):
            wanted = "a thread is training it"
            raise BadArgument("run", self.state, wanted, "Pause it first: run.control.pause().")

    @property
    def _elsewhere(self) -> bool:
        owner = self.owner
        here = owner is None or owner is threading.current_thread()
        return not here and owner is not None and owner.is_alive()

    def _check_owner(self) -> None:
        if self._elsewhere:
            wanted = "a thread is training it"
            raise BadArgument("run", self.state, wanted, "Join that first, or stop it.")

    @contextmanager
    def _between(self, save: Callable[[], object]) -> Iterator[None]:
        self._check_owner()
        before = self.state
        try:
            yield
        except BaseException:  # an interrupt, or a cancelled task
            self.state = "interrupted"
            save()
            raise
        self.state = before

    def _held(self, save: Callable[[], object]) -> bool:
        if self.stopping or not self.paused:
            return False
        self.state = "paused"
        if self.take_checkpoint():
            save()
        return True

    def _ends(self, save: Callable[[], object]) -> bool:
        if not self.stopping:
            return False
        save()
        self._saving.clear()
        self._stopping.clear()
        self.state = "stopped"
        return True

    def take_checkpoint(self) -> bool:
        """Is a checkpoint wanted? Asked for once."""
        wanted = self.saving
        self._saving.clear()
        return wanted

    @contextmanager
    def stepping(self) -> Iterator[None]:
        """Around one step: keep what went wrong in it."""
        self.state, self.error = "running", ""
        try:
            yield
        except KeyboardInterrupt:
            self.state = "interrupted"
            raise
        except Exception as error:
            self.state, self.error = "failed", f"{type(error).__name__}: {error}"
            raise


class Background:
    """A run that trains in a thread of its own; made by `background`.

    Attributes: `run`; `error`, what ended it, or None.
    """

    def __init__(self, run: Run) -> None:
        self.run, self.error = run, None  # type: Run, BaseException | None
        self._thread = threading.Thread(target=self._train, name="workbench-train", daemon=True)
        self._rows: Iterator[Row] = iter(run)  # here, so that a stop asked for from now on counts
        run.control.owner = self._thread
        self._thread.start()

    def _train(self) -> None:
        try:
            for _ in self._rows:
                pass
        except BaseException as error:
            self.error = error

    @property
    def alive(self) -> bool:
        """Is it still training (or paused)?"""
        return self._thread.is_alive()

    def join(self, timeout: float | None = None) -> Run:
        """Wait for its end and raise what went wrong in it, if anything did.

        Args:
            timeout: seconds; None = as long as it takes. When they are over it trains on.

        Returns:
            The run.

        Raises:
            BaseException: whatever ended the loop.
        """
        self._thread.join(timeout)
        if self.error is not None:
            raise self.error
        return self.run

    def __repr__(self) -> str:
        what = "training" if self.alive else self.run.control.state
        if self.error is not None:
            what = f"failed, {type(self.error).__name__}: {self.error}"
        return f"Background({what}, {self.run!r})"


def background(run: Run) -> Background:
    """Train a run in a thread, so that the notebook stays free; ask it through `run.control`.

    Args:
        run: what `fit` made; nobody else may iterate it meanwhile.

    Returns:
        A handle at once: `.join()` waits and raises what went wrong, `.alive`, `.error`.

    Raises:
        BadArgument: a thread is training this run already.

    Example:
        >>> from workbench.train.control import background
        >>> callable(background)
        True

    Breaks when: the notebook draws torch's random numbers meanwhile: each step seeds the generator
    that is common to all threads, so both would see other numbers than alone.
    """
    return Background(run)
