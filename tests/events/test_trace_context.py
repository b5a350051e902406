"""Where a run stands in a trace that others began."""

from __future__ import annotations

import re

import pytest

from runner.events.trace_context import TraceContext

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    "traceparent",
    [f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00", f"cc-{TRACE}-{SPAN}-01-what-comes-later"],
)
def test_a_run_is_below_its_caller_and_is_sampled_as_that_is(traceparent: str) -> None:
    context = TraceContext.below(traceparent)

    assert (TRACE, SPAN, traceparent.split("-")[3]) == (context.trace, context.parent, context.flags)
    assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-{context.flags}", context.traceparent)
    assert SPAN not in context.traceparent


@pytest.mark.parametrize(
    "traceparent",
    [
        None,
        "",
        "nonsense",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}",
    ],
)
def test_what_is_no_context_begins_a_trace_of_its_own(traceparent: str | None) -> None:
    one, other = TraceContext.below(traceparent), TraceContext.below(traceparent)

    assert (None, None) == (one.parent, other.parent)
    assert len({one.trace, other.trace, TRACE}) == 3
    assert one.traceparent.endswith("-01")


def test_the_span_of_an_attempt_of_a_job_follows_from_what_it_is_of() -> None:
    context = TraceContext(TRACE, SPAN)

    found = {context.of_job(job, attempt) for job in ("build", "test (3.11)") for attempt in (1, 2)}
    assert len(found) == 4 and SPAN not in found
    assert context.of_job("build", 1) == TraceContext(TRACE, SPAN).of_job("build", 1)
    assert f"00-{TRACE}-{context.of_job('build', 1)}-01" == context.below_job("build", 1)
