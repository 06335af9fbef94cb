"""The processes of the server: started, replaced, and stopped in order.

Whoever has this decides when; it knows processes only by `Launcher`.  Rule: at most one process
starts at a time in a place, and nobody is told to stop before somebody else serves, unless the
whole server stops.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from takotwist.server.supervisor.handing import Handing
from takotwist.server.supervisor.kinds import Kind
from takotwist.server.supervisor.members import Launcher, Member, Run, ended_how
from takotwist.server.supervisor.place import PlaceState

#: Seconds that a process has to become ready.
START_SECONDS = 60.0

#: Seconds that it has to take the connections that were handed to it, before it is told to stop.
TAKE_SECONDS = 2.0

#: Seconds that a process serves on when its successor is there: who has just connected may still
#: be in a handshake, or about to say what it wants, and would be told to come back.
LINGER_SECONDS = 1.0

#: Seconds between two rolling restarts that processes of two releases bring about.
OUTDATED_SECONDS = 30.0

#: Seconds that all processes have to read their configuration again.
RELOAD_SECONDS = 30.0


@attrs.define(slots=True, eq=False)
class Crew:
    """All processes.

    :param stop_seconds: that a process has from SIGTERM to its end.
    :param on_ready: all have become ready, for the first time or after `reload`.
    :param on_hopeless: the server cannot go on; a sentence that says why.
    """

    _reactor: IReactorTime
    _kinds: Sequence[Kind]
    _launch: Launcher
    _handing: Handing
    _stop_seconds: float
    _on_ready: Callable[[], object]
    _on_hopeless: Callable[[str], object]
    members: list[Member] = attrs.field(init=False)
    #: Whether all have been ready once.
    complete: bool = attrs.field(default=False, init=False)
    _stopping: Deferred[None] | None = attrs.field(default=None, init=False)
    _rolling: bool = attrs.field(default=False, init=False)
    _roll_again: bool = attrs.field(default=False, init=False)
    _not_again_before: float = attrs.field(default=0.0, init=False)
    _reload_timer: IDelayedCall | None = attrs.field(default=None, init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    @members.default
    def _empty_places(self) -> list[Member]:
        kinds = sorted(self._kinds, key=lambda one: one.stage)
        return [Member(kind, number + 1) for kind in kinds for number in range(kind.count)]

    def start(self) -> None:
        """Start those of the first stage; each other one follows when the ones before are ready."""
        self._start_next_stage()

    @property
    def serving(self) -> int:
        """Number of places whose process takes connections."""
        return sum(one.kind.serves and one.place.serves for one in self.members)

    # starting

    def _start_next_stage(self) -> None:
        waiting = [one for one in self.members if not one.place.serves]
        if not waiting:
            self.complete = True
            self._on_ready()
            return
        for member in waiting:
            stage = waiting[0].kind.stage
            if member.kind.stage == stage and member.place.state is PlaceState.EMPTY:
                self._start(member)

    def _start(self, member: Member) -> None:
        member.pause = None
        member.place.started()
        try:
            member.run = self._run(member)
        except OSError as failure:
            self._after_end(member, f"could not be started ({failure.strerror})")

    def _run(self, member: Member) -> Run:
        run = Run(member, member.free_slot())
        run.process = self._launch(
            member.kind,
            member.number,
            run.slot,
            lambda message: self._received(run, message),
            lambda code: self._ended(run, code),
        )
        run.timer = self._reactor.callLater(START_SECONDS, self._late, run, "to become ready")
        return run

    def _late(self, run: Run, to_do: str) -> None:
        self._log.error(
            "{name} (process {pid}) takes too long {to_do}: killed",
            name=run.member.label,
            pid=run.process.pid,
            to_do=to_do,
        )
        run.process.signal(signal.SIGKILL)

    # what processes say

    def _received(self, run: Run, message: Mapping[str, object]) -> None:
        if "ready" in message and not run.told:
            self._ready(run)
        elif "taken" in message and run.told and not run.asked:
            run.cancel()
            if self._stopping is not None:
                self._tell(run)
            else:
                run.timer = self._reactor.callLater(LINGER_SECONDS, self._tell, run)
        elif "outdated" in message:
            self._make_one_release()
        elif "reloaded" in message:
            run.reloading = False
            self._check_reloaded()

    def _ready(self, run: Run) -> None:
        member = run.member
        run.cancel()
        run.ready = True
        before = member.run if run is member.successor else None
        member.run, member.successor = run, None
        member.place.ready(self._reactor.seconds())
        if run.process.taker is not None:
            self._handing.add(run.process.taker)
        if before is not None:
            member.leaving.append(before)
            self._dismiss(before)
        self._log.info("{name} is ready (process {pid})", name=member.label, pid=run.process.pid)
        if not self.complete:
            self._start_next_stage()
        elif before is None:
            self._is_replaced(member, well=True)

    # ends

    def _ended(self, run: Run, code: int) -> None:
        member = run.member
        run.cancel()
        if run.process.taker is not None:
            self._handing.lost(run.process.taker)
        if run in member.leaving:
            member.leaving.remove(run)
        if run.reloading:
            run.reloading = False
            self._check_reloaded()
        how = ended_how(code)
        if self._stopping is not None:
            self._ended_in_stop(run)
        elif run is member.successor:
            member.successor = None
            member.place.abandoned()
            self._log.error(
                "the rolling restart is off: the successor of {name} {how} before it was ready."
                " Those that serve go on as they are.",
                name=member.label,
                how=how,
            )
            self._is_replaced(member, well=False)
        elif run is member.run and member.successor is not None:
            member.run, member.successor = member.successor, None
            member.place.inherited()
            self._log.error("{name} {how}; its successor starts", name=member.label, how=how)
        elif run is member.run and run.told:
            # Of a kind that is never there twice, in a rolling restart.
            member.run = None
            member.place.restarting()
            self._start(member)
        elif run is member.run:
            member.run = None
            self._after_end(member, how)
        elif member.run is not None and member.place.serves:
            self._is_replaced(member, well=True)

    def _after_end(self, member: Member, how: str) -> None:
        pause = member.place.ended(self._reactor.seconds())
        needed = not member.kind.serves or not self.serving
        if not self.complete:
            self._on_hopeless(f"{member.label} {how} before the server was ready")
            return
        self._is_replaced(member, well=False)
        if member.place.hopeless and needed:
            self._on_hopeless(
                f"{member.label} {how}, as {member.place.failed_starts} times in a row; it is not"
                " tried again. What it said before its end is above."
            )
            return
        self._log.error(
            "{name} {how}; it is started again in {pause} seconds",
            name=member.label,
            how=how,
            pause=pause,
        )
        member.pause = self._reactor.callLater(pause, self._start, member)

    # told to stop

    def _dismiss(self, run: Run) -> None:
        """Give it nothing more; once it has taken what it was given, tell it to stop."""
        run.cancel()
        run.told = True
        taker = run.process.taker
        if taker not in self._handing.takers or taker is None:
            self._tell(run)
            return
        self._handing.remove(taker)
        run.process.send(leave=True)
        run.timer = self._reactor.callLater(TAKE_SECONDS, self._tell, run)

    def _tell(self, run: Run) -> None:
        # By a message, and not by a signal: systemd sends that to all processes at once, unless
        # KillMode=mixed keeps it from it, and the last stage is to go on until the others end.
        run.asked = True
        run.process.send(stop=True)
        if not run.ready:
            # It may read no message for long.
            run.process.signal(signal.SIGTERM)
        run.timer = self._reactor.callLater(self._stop_seconds, self._late, run, "to stop")

    def stop(self) -> Deferred[None]:
        """Stop all of them, the last stage first.

        :return: fires when all have ended.
        """
        if self._stopping is not None:
            return self._stopping
        self._stopping = Deferred()
        if self._reload_timer is not None and self._reload_timer.active():
            self._reload_timer.cancel()
        for member in self.members:
            if member.pause is not None and member.pause.active():
                member.pause.cancel()
            if not member.runs and member.place.state is not PlaceState.CLOSED:
                member.place.stop(left=False)
            self._is_replaced(member, well=False)
        self._stop_last_stage()
        return self._stopping

    def _stop_last_stage(self) -> None:
        assert self._stopping is not None
        left = [one for one in self.members if one.place.state is not PlaceState.CLOSED]
        if not left:
            self._stopping.callback(None)
            return
        for member in left:
            if member.kind.stage == left[-1].kind.stage:
                if member.place.state is not PlaceState.STOPPING:
                    member.place.stop(left=True)
                for run in member.runs:
                    if not run.told:
                        self._dismiss(run)

    def _ended_in_stop(self, run: Run) -> None:
        member = run.member
        if run is member.run:
            member.run = None
        if run is member.successor:
            member.successor = None
        if not member.runs:
            if member.place.state is not PlaceState.STOPPING:
                # Of an earlier stage, whose turn to be told had not come.
                member.place.stop(left=True)
            member.place.closed()
            self._stop_last_stage()

    # a rolling restart

    def replace(self) -> None:
        """Replace all processes, one after the other, those of the first stage first."""
        if not self.complete or self._stopping is not None:
            self._log.info("no rolling restart now: the server starts or stops")
        elif self._rolling:
            self._roll_again = True
            self._log.info("a rolling restart is under way; another follows it")
        else:
            self._rolling = True
            self._log.info("rolling restart")
            self._replace_next(list(self.members))

    def _make_one_release(self) -> None:
        """Replace those who serve: one of them, or the writer, was started anew since an upgrade.

        A rolling restart that is under way makes them one as well.
        """
        now = self._reactor.seconds()
        if not self.complete or self._rolling or now < self._not_again_before:
            return
        self._not_again_before = now + OUTDATED_SECONDS
        self._log.warn("processes of two releases cannot work together: all are replaced")
        self.replace()

    def _replace_next(self, left: list[Member]) -> None:
        if self._stopping is not None:
            return
        if left:
            self._replace(left[0]).addCallback(
                lambda well: self._replace_next(left[1:]) if well else self._rolled()
            )
            return
        self._log.info("rolling restart: done")
        self._rolled()

    def _rolled(self) -> None:
        self._rolling = False
        if self._roll_again:
            self._roll_again = False
            self.replace()

    def _replace(self, member: Member) -> Deferred[bool]:
        """Fires when there is another one in the place, with whether that went well."""
        if member.place.state is not PlaceState.SERVING or member.run is None:
            # It starts anyway, or will.
            return succeed(True)
        if member.leaving:
            self._log.error(
                "the rolling restart is off: the one before of {name} still stops",
                name=member.label,
            )
            return succeed(False)
        if member.kind.serves:
            try:
                successor = self._run(member)
            except OSError as failure:
                self._log.error("the rolling restart is off: {failure}", failure=failure.strerror)
                return succeed(False)
            member.successor = successor
            member.place.replacing()
        else:
            self._dismiss(member.run)
        member.replaced = Deferred()
        return member.replaced

    def _is_replaced(self, member: Member, *, well: bool) -> None:
        replaced, member.replaced = member.replaced, None
        if replaced is not None:
            replaced.callback(well)

    # the configuration, read again

    def reload(self) -> None:
        """Have all that serve read their configuration again; `on_ready` follows."""
        for member in self.members:
            for run in (member.run, member.successor):
                if run is not None and not run.told:
                    run.reloading = run.process.send(reload=True) or run.reloading
        if self._reload_timer is not None and self._reload_timer.active():
            self._reload_timer.cancel()
        self._reload_timer = self._reactor.callLater(RELOAD_SECONDS, self._give_up_reload)
        self._check_reloaded()

    def _give_up_reload(self) -> None:
        for member in self.members:
            for run in member.runs:
                if run.reloading:
                    run.reloading = False
                    self._log.error(
                        "{name} has not read its configuration in time", name=member.label
                    )
        self._reloaded()

    def _check_reloaded(self) -> None:
        timer = self._reload_timer
        if timer is None or not timer.active():
            return
        if not any(run.reloading for member in self.members for run in member.runs):
            timer.cancel()
            self._reloaded()

    def _reloaded(self) -> None:
        # Else somebody is still to become ready, and it is told then.
        if self.complete:
            self._on_ready()
