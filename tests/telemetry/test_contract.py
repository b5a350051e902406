"""The contract of metrics: every declaration keeps the rules of the field, and the page in docs/ is made of them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from runner.telemetry.contract import CONTRACT, MetricDeclaration, MetricType, metrics_page

BASE_UNITS = {"seconds", "bytes", "items", ""}
NOT_LABELS = {"item", "error", "worker", "pid", "le", "quantile"}

each_metric = pytest.mark.parametrize("declaration", CONTRACT, ids=lambda each: each.name)


def test_the_page_in_docs_is_fresh(checkout: Path) -> None:
    page = checkout / "docs" / "metrics.md"
    if os.environ.get("UPDATE_DOCS"):
        page.write_text(metrics_page(), encoding="utf-8")

    assert metrics_page() == page.read_text(encoding="utf-8"), "run: UPDATE_DOCS=1 pytest tests/telemetry"


@each_metric
def test_a_name_says_of_what_it_is_and_ends_as_its_type_asks(declaration: MetricDeclaration) -> None:
    assert re.fullmatch(r"mprun(_[a-z]+)+", declaration.name)
    assert declaration.name.endswith("_total") == (declaration.type is MetricType.COUNTER)
    assert declaration.name.endswith("_info") == (declaration.type is MetricType.INFO)
    assert not declaration.family.endswith(("_count", "_sum", "_bucket", "_created", "_total", "_info"))


@each_metric
def test_a_unit_is_a_base_unit_and_the_end_of_the_name(declaration: MetricDeclaration) -> None:
    assert declaration.unit in BASE_UNITS
    assert declaration.family.endswith(declaration.unit)


@each_metric
def test_what_it_means_is_a_sentence_and_labels_are_few_and_bounded(declaration: MetricDeclaration) -> None:
    assert re.fullmatch(r"[A-Z].*\.", declaration.help)
    assert not NOT_LABELS & set(declaration.labels)
    assert ("run" in declaration.labels) == (declaration.type is MetricType.INFO)
    assert set(declaration.words) <= set(declaration.labels)


def test_no_two_metrics_have_one_name() -> None:
    assert len({each.family for each in CONTRACT}) == len(CONTRACT)
