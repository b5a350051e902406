"""Commands for GitHub Actions, and what must not become one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.render.github import disarm, masks, workflow_command


@pytest.mark.parametrize(
    ("expected", "made"),
    [
        ("::endgroup::", workflow_command("endgroup")),
        ("::group::a%25%0D%0Ab: c, d", workflow_command("group", "a%\r\nb: c, d")),
        (
            "::error file=a%3Ab%2Cc%25,line=3::boom",
            workflow_command("error", "boom", file="a:b,c%", line=3, col=None),
        ),
    ],
)
def test_a_command_is_escaped_as_the_runner_reads_it(expected: str, made: str) -> None:
    assert expected == made


@given(st.text(), st.text())
def test_no_message_or_property_can_end_a_command_or_begin_another(message: str, value: str) -> None:
    made = workflow_command("error", message, title=value)

    assert 1 == len(made.split("\n")) == len(made.split("\r"))
    assert 2 == made.removesuffix(made.split("::", 2)[2]).count("::")


def test_secrets_are_masked_each_and_empty_ones_not() -> None:
    assert "::add-mask::s3cret\n::add-mask::two%0Alines\n" == masks(["s3cret", "", " ", "two\nlines"])


def test_a_command_of_the_older_form_is_disarmed_wherever_it_stands() -> None:
    assert "a # #[error]b ::x::" == disarm("a ##[error]b ::x::")
