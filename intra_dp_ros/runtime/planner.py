"""Plans for every strategy asked for, made in the background: the frame thread only looks them up.

LOSS searches for a server that is free.  For a busy one, and for a round trip that differs by less than a message
costs, the plans found are priced anew: a search takes seconds of the robot's processor, and how busy the server is, or
the machine that measures round trips, changes sooner.  Of the strategies that were asked for, the last one's
plans are kept up to date.

Threading: one thread searches; `table` and `plans` may be read by anyone: the dictionary they read is replaced, never
changed.
"""
import logging
import threading
from dataclasses import replace
from typing import Callable, Collection, Dict, FrozenSet, List, NamedTuple, Optional, Tuple

from intra_dp_ros.lop.plan import Plan
from intra_dp_ros.loss import table as tables
from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.objective import Objective
from intra_dp_ros.loss.profile import Profile
from intra_dp_ros.loss.table import PlanTable
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.runtime.engine import Engine, Progress, no_progress

_LOG = logging.getLogger(__name__)
_SEARCHED = "intra_dp"  # the strategy whose plans take long to find; the baselines' are made anew


class _Aims(NamedTuple):
    """What plans are made for."""

    server: Optional[Profile]  # None: not known yet
    load: float  # times slower than alone that the server is
    link: LinkModel  # its bandwidths are replaced by those of the ladder
    codec: str  # of the graph's inputs
    objective: Objective


class Planner:
    """Plan tables of one graph.

    Args:
        engine: with its profile measured.
        slowdown: of the emulated robot.
        link: what the link is like; its bandwidths are replaced by those of the ladder.
        codec: of the graph's inputs.
        objective, power: what LOSS minimises.
        folder: where tables are kept.
        ready: called with all plans whenever there are new ones.
        progress: called with (what, done, of).
    """

    def __init__(self, engine: Engine, slowdown: float, link: LinkModel, codec: str, objective: Objective,
                 power: PowerModel, folder: str, ready: Callable[[List[Plan]], None],
                 progress: Progress = no_progress) -> None:
        self._engine = engine
        self._robot = engine.profile.scaled(slowdown)
        #: What a local run takes, as measured at start [s].
        self.local_s = self._robot.frame_ms([rule.rows for rule in engine.tiling.rules]) / 1e3
        self._aims = _Aims(None, 1.0, link, codec, objective)
        self._power = power
        self._folder = folder
        self._ready = ready
        self._progress = progress
        self._change = threading.Condition()
        self._version = 0  # a search for an older one is stopped: nobody may use what it finds
        self._wanted: List[str] = []  # the last one that was asked for first
        self._failed: FrozenSet[str] = frozenset()  # strategies for which there are no plans under the present aims
        self._tables: Dict[str, PlanTable] = {}
        self._stale: FrozenSet[str] = frozenset()  # strategies whose tables are for other aims than the present ones
        self._found: Dict[str, Tuple[_Aims, PlanTable]] = {}  # what was searched for, of a free server
        self._epoch = 1  # of the next plan
        self._closed = False
        self.timeline: Optional[Timeline] = None
        self._timeline_of: Tuple[Optional[Profile], float] = None, 0.0
        self._thread = threading.Thread(target=self._run, name="planner", daemon=True)
        self._thread.start()

    def table(self, strategy: str) -> Optional[PlanTable]:
        """The plans of a strategy, None while they are not ready."""
        return self._tables.get(strategy)

    def is_current(self, strategy: str) -> bool:
        """Whether the plans of a strategy are there and made for the present aims."""
        return strategy in self._tables and strategy not in self._stale

    def want(self, strategy: str) -> None:
        """Have the plans of a strategy made, if they are not yet."""
        with self._change:
            self._wanted = [strategy, *(other for other in self._wanted if other != strategy)]
            self._failed -= {strategy}
            self._change.notify_all()

    def server_is(self, profile: Profile) -> None:
        """The server's times; plans for a server with other times are made anew."""
        with self._change:
            if profile != self._aims.server:
                self._tables = {}
                self._renew(self._aims._replace(server=profile), stop=True)

    def load_is(self, level: float) -> None:
        """Plan for a server so many times slower than alone; the plans there are serve until new ones are ready."""
        with self._change:
            if level != self._aims.load:
                self._renew(self._aims._replace(load=level))

    def aim(self, link: LinkModel, codec: str, objective: Objective) -> None:
        """Plan for another link or objective; the plans that are there serve until new ones are ready."""
        with self._change:
            aims = self._aims._replace(link=link, codec=codec, objective=objective)
            if aims != self._aims:
                self._renew(aims, stop=(codec, objective) != (self._aims.codec, self._aims.objective))

    def close(self) -> None:
        """Stop searching soon."""
        with self._change:
            self._closed = True
            self._change.notify_all()

    def _renew(self, aims: _Aims, stop: bool = False) -> None:
        """All plans are to be made anew; the caller locks.

        Args:
            stop: the search that is going on.  One for a link or a load that has changed a little goes on: on a slow
                robot they might change again and again, and it would never have any plans.
        """
        self._aims = aims
        self._version += stop
        self._stale, self._failed = frozenset(self._tables), frozenset()
        self._change.notify_all()

    def _run(self) -> None:
        while True:
            with self._change:
                while not self._closed and not self._todo():
                    self._change.wait()
                if self._closed:
                    return
                aims, strategy, version = self._aims, self._todo(), self._version
            try:
                made = self._make(aims, strategy, version)
            except Exception as error:  # one strategy's failure must not take the others' plans
                _LOG.exception("no plans for strategy %s: %s", strategy, error)
                with self._change:
                    self._failed |= {strategy} if aims == self._aims else frozenset()
                continue
            with self._change:
                if self._closed or version != self._version:
                    continue
                self._tables = {**self._tables, strategy: made}
                self._stale = self._stale - {strategy} if aims == self._aims else self._stale | {strategy}
                plans = {p.epoch: p for t in self._tables.values() for p in t.plans if not p.is_local}
            try:
                self._ready(list(plans.values()))
            except Exception:  # this thread must not die: without it there are never any other plans
                _LOG.exception("the plans of strategy %s cannot be used", strategy)

    def _todo(self) -> Optional[str]:
        """The next strategy to make plans for: one without any, or the one in use whose plans are stale."""
        if self._aims.server is None:
            return None
        return next((s for s in self._wanted if s not in self._failed and (
            s not in self._tables or s == self._wanted[0] and s in self._stale)), None)

    def _make(self, aims: _Aims, strategy: str, version: int) -> PlanTable:
        if (aims.server, aims.load) != self._timeline_of:  # another one makes what frames have shown be forgotten
            self._timeline_of = aims.server, aims.load
            self.timeline = Timeline(self._engine.tiling, self._robot, aims.server.scaled(aims.load))
        timeline = self.timeline
        if strategy != _SEARCHED:
            return self._numbered(self._search(aims, strategy, version, timeline))
        free = aims._replace(load=1.0)
        made_for, found = self._found.get(strategy, (None, None))
        if made_for is None or not _serve(made_for, free):
            if made_for is not None:
                _LOG.info("plans are made anew: %s", "; ".join(_changes(made_for, free)))
            found = self._numbered(self._search(free, strategy, version, timeline if aims == free else Timeline(
                self._engine.tiling, self._robot, free.server)))
            made_for = free
            if version == self._version:  # else the search was stopped
                self._found[strategy] = free, found
        if aims == made_for:
            return found
        return tables.priced_anew(found, timeline, aims.link, aims.objective, self._power)

    def _search(self, aims: _Aims, strategy: str, version: int, timeline: Timeline) -> PlanTable:
        key = tables.key(self._engine.tiling, self._robot, aims.server.scaled(aims.load), aims.link, strategy,
                         aims.codec, aims.objective, self._power)
        made = tables.load(self._folder, key, self._engine.tiling, self._epoch)
        if made is None:
            def is_late() -> bool:
                return self._closed or version != self._version

            made = tables.build(self._engine.tiling, timeline, aims.link, strategy, aims.codec,
                                aims.objective, self._power, first_epoch=self._epoch,
                                progress=lambda done, total: self._progress("planning " + strategy, done, total),
                                should_stop=is_late)
            if not is_late():  # else the search was stopped: these are not its best plans
                _keep(self._folder, key, made)
        return made

    def _numbered(self, table: PlanTable) -> PlanTable:
        """With the epochs of equal plans that there are, and others that no plan has had in a session."""
        table = _as_known(table, [*self._tables.values(), *(found for _, found in self._found.values())])
        self._epoch = max([self._epoch, *(p.epoch + 1 for p in table.plans)])
        return table


def _serve(made_for: _Aims, aims: _Aims) -> bool:
    """Whether what was searched for holds the plans for other aims, too."""
    link = made_for.link
    apart = abs(aims.link.rtt_s - link.rtt_s)
    return (made_for._replace(link=replace(link, rtt_s=aims.link.rtt_s)) == aims
            and (apart == 0.0 or apart < link.per_message_s))


def _changes(old: _Aims, new: _Aims) -> List[str]:
    """What is other than plans were made for, in words."""
    words = [] if old.server == new.server else ["the server's times"]
    words += ["{} {} -> {}".format(name, getattr(old, name), getattr(new, name)) for name in ("codec", "objective")
              if getattr(old, name) != getattr(new, name)]
    if old.link.rtt_s != new.link.rtt_s:
        words.append("round trip {:.2g} -> {:.2g} ms".format(old.link.rtt_s * 1e3, new.link.rtt_s * 1e3))
    words += ["costs of {} {} -> {}".format(name, *(
        "({:.2g}, {:.2g} s/byte, {:.2g} s/byte)".format(*link.codecs[name]) if name in link.codecs else "unknown"
        for link in (old.link, new.link)))
        for name in sorted({*old.link.codecs, *new.link.codecs})
        if old.link.codecs.get(name) != new.link.codecs.get(name)]
    return words


def _as_known(table: PlanTable, others: Collection[PlanTable]) -> PlanTable:
    """The table with the epochs of equal plans that there are: the server has those, and what their frames took holds.
    """
    known = {p.unnumbered: p.epoch for other in others for p in other.plans if not p.is_local}
    return replace(table, rungs=tuple(
        replace(rung, plan=replace(rung.plan, epoch=known.get(rung.plan.unnumbered, rung.plan.epoch)))
        for rung in table.rungs))


def _keep(folder: str, key: str, table: PlanTable) -> None:
    try:
        tables.save(folder, key, table)
    except OSError as error:  # they are there all the same, until the next start
        _LOG.warning("plans cannot be kept for the next start: %s", error)
