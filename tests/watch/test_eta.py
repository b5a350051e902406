"""When a run is done, as it is told while it goes on, held against runs that are simulated to their end."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from runner.events.run import RunProgress, RunStarted, StageFinished
from runner.facts import dataclass
from runner.watch.eta import LEAST_SECONDS, LEAST_SHARE, Eta, EtaModel, coarse_duration, eta_line

AT = 1_764_600_000.0


def declared(name: str, source: str | None, *targets: str, total: int | None = None, **more: Any) -> Any:
    to = targets[0] if len(targets) == 1 else None
    known = {"name": name, "role": "", "workers": 1, "daemon": False, "from": source, "to": to}
    return {**known, "targets": list(targets), "total": total, **more}


def begun(*stages: Any, jobs: int | None = None) -> RunStarted:
    return RunStarted(
        workflow="w", file="w.yaml", transport="leased", pid=1, stages=stages, queues=[], jobs=jobs
    ).stamped(AT, "r1")


def counted(name: str, sent: float, read: int | None = None, to_read: int | None = None) -> Any:
    return {"name": name, "sent": int(sent), "read": read, "to_read": to_read}


def queued(name: str, put: float, waiting: float = 0, leased: float = 0) -> Any:
    return {"name": name, "put": int(put), "waiting": int(waiting), "leased": int(leased)}


def told(elapsed: float, stages: list[Any], queues: list[Any]) -> RunProgress:
    return RunProgress(elapsed=elapsed, stages=stages, queues=queues).stamped(AT + elapsed, "r1")


def watched(started: RunStarted, *snapshots: Any) -> Eta | None:
    model = EtaModel()
    for event in (started, *snapshots):
        model.observe(event)
    return model.estimate()


def estimated(started: RunStarted, *snapshots: Any) -> Eta:
    found = watched(started, *snapshots)
    assert found is not None
    return found


CHAIN = (declared("lister", None, "urls", total=1000), declared("fetcher", "urls", "pages"))
SAVER = declared("saver", "pages")


def test_what_is_under_way_is_not_done_and_a_dropped_item_is() -> None:
    queues = [queued("urls", 600, 50, 10), queued("pages", 540, 30, 10)]

    found = estimated(begun(*CHAIN, SAVER), told(60, [counted("lister", 600)], queues))

    assert (0.5, 1000) == (found.share, found.whole)


def test_of_several_that_are_made_of_one_each_is_a_part_of_it() -> None:
    queues = [queued("urls", 500), queued("pages", 5000, 1000)]

    assert 0.4 == estimated(begun(*CHAIN, SAVER), told(60, [counted("lister", 500)], queues)).share


def test_of_a_filter_those_that_go_on_stand_for_themselves() -> None:
    queues = [queued("urls", 500), queued("pages", 5, 4)]

    assert 0.496 == estimated(begun(*CHAIN, SAVER), told(60, [counted("lister", 500)], queues)).share


def test_an_item_that_goes_to_two_queues_is_half_done_where_one_of_them_has_it_no_more() -> None:
    stages = (
        declared("lister", None, "a", "b", total=100),
        declared("one", "a"),
        declared("other", "b"),
    )
    queues = [queued("a", 100), queued("b", 100, 100)]

    assert 0.5 == estimated(begun(*stages), told(60, [counted("lister", 100)], queues)).share


def test_where_one_of_two_producers_has_no_end_nothing_is_known_until_it_has_ended() -> None:
    stages = (*CHAIN, SAVER, declared("other", None, "urls"))
    now = told(60, [counted("lister", 400), counted("other", 100)], [queued("urls", 500)])

    assert watched(begun(*stages), now) is None
    ended = StageFinished(stage="other", workers=1).stamped(AT, "r1")
    assert 1100 == estimated(begun(*stages), ended, now).whole


def test_a_producer_that_never_ends_by_itself_is_no_part_of_it() -> None:
    stages = (*CHAIN, SAVER, declared("clock", None, "ticks", daemon=True), declared("reader", "ticks"))
    now = told(
        60,
        [counted("lister", 500), counted("clock", 7)],
        [queued("urls", 500), queued("pages", 0), queued("ticks", 7)],
    )

    found = estimated(begun(*stages), now)
    assert (0.5, 1000) == (found.share, found.whole)


def test_a_source_is_as_far_as_it_has_read_and_how_many_items_that_will_be_is_not_claimed() -> None:
    stages = (declared("reader", None, "lines"), declared("parser", "lines"))

    found = estimated(
        begun(*stages), told(60, [counted("reader", 100, 1 << 20, 1 << 22)], [queued("lines", 100)])
    )

    assert (0.25, None) == (found.share, found.whole)


def test_a_total_that_was_too_small_is_believed_no_longer() -> None:
    assert watched(begun(*CHAIN, SAVER), told(60, [counted("lister", 1001)], [queued("urls", 1001)])) is None


def test_of_jobs_and_of_stages_without_queues_nothing_is_known() -> None:
    assert watched(begun(declared("jobs", "jobs"), jobs=3), told(60, [], [queued("jobs", 3)])) is None
    assert watched(begun(declared("main", None)), told(60, [counted("main", 0)], [])) is None


def test_items_that_come_back_do_not_count_as_made() -> None:
    stages = (
        declared("lister", None, "urls", total=1000),
        declared("fetcher", "urls", "urls", "pages"),
        SAVER,
    )
    queues = [queued("urls", 900), queued("pages", 500)]

    assert 0.5 == estimated(begun(*stages), told(60, [counted("lister", 500)], queues)).share


def test_nothing_is_foretold_early_or_of_a_run_in_which_nothing_moves() -> None:
    def at(*moments: tuple[float, int]) -> Eta:
        return estimated(
            begun(*CHAIN[:1], declared("f", "urls")),
            *(told(elapsed, [counted("lister", n)], [queued("urls", n)]) for elapsed, n in moments),
        )

    assert at((1, 100), (9.9, 500)).remaining is None
    assert at((1, 1), (60, 19)).remaining is None
    assert at((1, 100), (90, 100)).remaining is None
    assert at((0, 0), (10, 500)).remaining == 10


def test_what_moves_no_more_for_long_is_foretold_by_the_time_that_it_stands_too() -> None:
    moments = [(float(n), min(n, 60) * 10) for n in range(300)]

    found = estimated(
        begun(*CHAIN[:1], declared("f", "urls")),
        *(told(at, [counted("lister", n)], [queued("urls", n)]) for at, n in moments),
    )

    assert found.remaining is not None
    assert found.remaining > 100


# A run that is simulated, step by step, to its end.


@dataclass(frozen=True, slots=True)
class Chain:
    """A producer and stages in a row, each with its pace, and how many it makes of one."""

    total: int
    paces: tuple[float, ...]
    yields: tuple[float, ...]
    bound: int
    late: float = 0.0
    """Seconds after which the first consumer is there."""

    @property
    def started(self) -> RunStarted:
        names = [f"q{n}" for n in range(len(self.yields) + 1)]
        stages = [declared("source", None, "q0", total=self.total)]
        stages += [declared(f"s{n}", names[n], names[n + 1]) for n in range(len(self.yields))]
        return begun(*stages, declared("last", names[-1]))

    def snapshots(self, step: float = 1.0) -> list[RunProgress]:
        """Go on until all has left, and tell each step."""
        put, left = [0.0] * (len(self.paces) - 1), [0.0] * (len(self.paces) - 1)
        made, elapsed, found = 0.0, 0.0, []
        while (
            not found
            or left[-1] < put[-1] - 1e-6
            or made < self.total
            or any(gone < came - 1e-6 for gone, came in zip(left, put, strict=True))
        ):
            elapsed += step
            new = min(self.paces[0] * step, self.total - made, self.bound - (put[0] - left[0]))
            made, put[0] = made + new, put[0] + new
            for n in range(len(put)):
                if n == 0 and elapsed < self.late:
                    continue
                many = min(self.paces[n + 1] * step, put[n] - left[n])
                if n + 1 < len(put):
                    room = self.bound - (put[n + 1] - left[n + 1])
                    many = min(many, max(room, 0.0) / self.yields[n])
                    put[n + 1] += many * self.yields[n]
                left[n] += many
            found.append(self._told(elapsed, made, put, left))
            assert elapsed < 1e6
        return found

    def _told(self, elapsed: float, made: float, put: list[float], left: list[float]) -> RunProgress:
        queues = [
            queued(f"q{n}", came, int(came) - int(gone))
            for n, (came, gone) in enumerate(zip(put, left, strict=True))
        ]
        return told(elapsed, [counted("source", made)], queues)


paces = st.floats(20, 200)
chains = st.integers(0, 2).flatmap(
    lambda n: st.builds(
        Chain,
        total=st.integers(2000, 6000),
        paces=st.tuples(*[paces] * (n + 2)),
        yields=st.tuples(*[st.sampled_from([0.2, 1.0, 2.0])] * n),
        bound=st.integers(400, 1000),
        late=st.sampled_from([0.0, 5.0, 20.0]),
    )
)


def foretold(started: RunStarted, snapshots: list[RunProgress]) -> list[Eta]:
    model = EtaModel()
    model.observe(started)
    found = []
    for each in snapshots:
        model.observe(each)
        found.append(model.estimate())
    assert None not in found
    return cast("list[Eta]", found)


@settings(max_examples=25)
@given(chains)
def test_the_share_grows_from_nothing_to_all_and_the_end_is_told_from_the_middle_on(chain: Chain) -> None:
    snapshots = chain.snapshots()
    seconds = snapshots[-1].elapsed
    assume(seconds > 4 * max(chain.late, LEAST_SECONDS))

    etas = foretold(chain.started, snapshots)

    shares = [eta.share for eta in etas]
    assert 1.0 == shares[-1]
    assert all(0 <= share <= 1 for share in shares)
    assert all(later >= earlier - 0.05 for earlier, later in pairwise(shares))
    for snapshot, eta in zip(snapshots, etas, strict=True):
        if eta.share < LEAST_SHARE or snapshot.elapsed < LEAST_SECONDS:
            assert eta.remaining is None
        elif snapshot.elapsed > max(seconds / 2, chain.late + 60):
            assert eta.remaining is not None
            assert abs(snapshot.elapsed + eta.remaining - seconds) <= 0.1 * seconds + 5


@settings(max_examples=25)
@given(chains, st.randoms())
def test_it_is_the_same_in_whichever_order_stages_and_queues_are_told(chain: Chain, random: Any) -> None:
    started, snapshots = chain.started, chain.snapshots()[::5]
    stages = random.sample(started.stages, len(started.stages))
    mixed = [
        told(each.elapsed, list(each.stages), random.sample(each.queues, len(each.queues)))
        for each in snapshots
    ]

    assert foretold(started, snapshots) == foretold(begun(*stages), mixed)


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.filter_too_much]
)  # most chains are over too soon
@given(chains, st.floats(0.2, 0.7))
@pytest.mark.slow
def test_another_runner_that_goes_on_tells_the_same_end_once_it_has_run_for_a_while(
    chain: Chain, killed_at: float
) -> None:
    snapshots = chain.snapshots()
    seconds = snapshots[-1].elapsed
    killed = killed_at * seconds
    assume(seconds - killed > 100 and seconds > 4 * chain.late)
    # Queues go on counting; what stages have sent, and the clock of the run, begin anew.
    made = next(each.stages[0]["sent"] for each in snapshots if each.elapsed >= killed)
    after = [
        told(each.elapsed - killed, [counted("source", each.stages[0]["sent"] - made)], list(each.queues))
        for each in snapshots
        if each.elapsed >= killed
    ]

    etas = foretold(chain.started, [*snapshots[:3], *after])

    assert 1.0 == etas[-1].share
    for snapshot, eta in zip(after, foretold(chain.started, after), strict=True):
        if snapshot.elapsed > 70:
            assert eta.remaining is not None
            assert abs(snapshot.elapsed + eta.remaining - (seconds - killed)) <= 0.15 * seconds + 5


@pytest.mark.parametrize(
    ("eta", "previous", "expected"),
    [
        (None, None, ""),
        (None, (3130.0, AT), "took 52m10s on 12-01"),
        (Eta(0.849, 400_000, 540.0, AT), (3130.0, AT), "84% of 400,000, done about 14:49 (in 9m)"),
        (Eta(0.849, None, 40.2, AT), None, "84%, done about 14:40 (in 41s)"),
        (Eta(0.01, 400_000, None, AT), None, "1% of 400,000"),
        (Eta(0.01, 400_000, None, AT), (3130.0, AT), "1% of 400,000, took 52m10s on 12-01"),
        (Eta(0.5, 10, 86400.0, AT), None, "50% of 10, done about 12-02 14:40 (in 24h00m)"),
    ],
)
def test_a_line_says_how_much_is_done_and_when_all_is(
    eta: Eta | None, previous: tuple[float, float] | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()

    assert expected == eta_line(eta, previous)


def test_the_past_is_asked_once_and_only_where_somebody_has_waited_for_an_end_that_cannot_be_foretold() -> (
    None
):
    asked: list[str] = []

    def previous(started: RunStarted) -> tuple[float, float]:
        asked.append(started.workflow)
        return 3130.0, AT

    model, lines = EtaModel(previous), []
    for elapsed in (0.0, 9.0, 10.0, 11.0):
        model.observe(begun(declared("jobs", "jobs"), jobs=3) if not elapsed else told(elapsed, [], []))
        lines.append(model.line())

    assert (["", "", "took 52m10s on 12-01", "took 52m10s on 12-01"], ["w"]) == (lines, asked)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.2, "1s"), (59.5, "60s"), (61, "1m"), (3599, "1h00m"), (7500, "2h05m")]
)
def test_a_time_to_come_is_told_no_more_exactly_than_it_is_known(seconds: float, expected: str) -> None:
    assert expected == coarse_duration(seconds)
