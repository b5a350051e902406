"""References that are filled later: each leads to what is needed and declared, or is told before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.loader.load import check
from runner.spec.diagnostics import LocatedDiagnostic

BUILD = "  build: {run: x, outputs: {values: [wheel, size]}}\n  lint: {run: x}\n"


def diagnostics(folder: Path, jobs: str) -> list[LocatedDiagnostic]:
    path = folder / "w.yaml"
    path.write_text(f"name: w\njobs:\n{BUILD}{jobs}", encoding="utf-8")
    return [p for p in check(path).diagnostics if p.code != "missing-secret"]


@pytest.mark.parametrize(
    "job",
    [
        "{needs: build, run: 'x ${{ needs.build.outputs.wheel }} ${{ needs.build.result }}'}",
        "{needs: build, run: [x, '${{ needs.build.outputs }}']}",
        "{needs: build, run: x, env: {A: '${{ needs.build.outputs.size }}'}}",
        "{secrets: TOKEN, run: 'x ${{ secrets.TOKEN }}'}",
        "{secrets: [A, TOKEN], steps: [{run: x, env: {A: '${{ secrets.TOKEN }}'}}]}",
        "{needs: build, shell: python, run: x, env: {A: '${{ needs.build.outputs.wheel }}'}}",
        "{needs: build, shell: bash, run: 'x ${{ needs.build.outputs.wheel }}'}",
        '{needs: build, run: "cat <<END\\n${{ needs.build.outputs.wheel }}\\nEND\\n"}',
        "{strategy: {matrix: {n: [1]}}, shell: python, run: 'print(1)', env: {N: '${{ matrix.n }}'}}",
        "{strategy: {matrix: {n: [x]}}, shell: python, run: '${{ matrix.n }}'}",
        "{run: 'echo ${{ env.PATH }}'}",
    ],
)
def test_what_leads_somewhere_is_fine(job: str, tmp_path: Path) -> None:
    assert [] == diagnostics(tmp_path, f"  a: {job}\n")


@pytest.mark.parametrize(
    ("job", "code", "wrong", "words"),
    [
        (
            "{needs: build, run: 'x ${{ needs.build.outputs.wheal }}'}",
            "unknown-reference",
            "needs.build.outputs.wheal",
            "needs.build.outputs.wheel",
        ),
        (
            "{needs: build, run: 'x ${{ needs.lint.result }}'}",
            "unknown-reference",
            "needs.lint.result",
            "build",
        ),
        ("{run: 'x ${{ needs.build.result }}'}", "unknown-reference", "needs.build.result", ""),
        (
            "{needs: lint, run: 'x ${{ needs.lint.outputs.x }}'}",
            "unknown-reference",
            "needs.lint.outputs.x",
            "",
        ),
        (
            "{secrets: TOKEN, run: 'x ${{ secrets.TOKEM }}'}",
            "unknown-reference",
            "secrets.TOKEM",
            "secrets.TOKEN",
        ),
        ("{run: 'x ${{ secrets.TOKEN }}'}", "unknown-reference", "secrets.TOKEN", ""),
        (
            "{needs: build, shell: python, run: 'print(${{ needs.build.outputs.wheel }})'}",
            "reference-in-script",
            "${{ needs.build.outputs.wheel }}",
            "`env`",
        ),
        (
            "{strategy: {matrix: {n: [1, 2]}}, shell: python, run: 'print(${{ matrix.n }})'}",
            "reference-in-script",
            "${{ matrix.n }}",
            "`env`",
        ),
        (
            "{steps: [x, {shell: 'perl {0}', run: 'print ${{ env.PATH }}'}]}",
            "reference-in-script",
            "${{ env.PATH }}",
            "`env`",
        ),
        (
            "{shell: python, run: '0', services: {db: {run: '0', ready: {run: 'x(${{ env.PATH }})'}}}}",
            "reference-in-script",
            "${{ env.PATH }}",
            "`env`",
        ),
        (
            "{needs: build, run: \"cat <<'END'\\n${{ needs.build.outputs.wheel }}\\nEND\\n\"}",
            "reference-in-script",
            "${{ needs.build.outputs.wheel }}",
            "take the quotes off",
        ),
        (
            "{steps: [{run: x, env: {A: '${{ needs.zzz.result }}'}}]}",
            "unknown-reference",
            "needs.zzz.result",
            "",
        ),
    ],
)
def test_what_leads_nowhere_is_told_at_its_place(
    job: str, code: str, wrong: str, words: str, tmp_path: Path
) -> None:
    (diagnostic,) = diagnostics(tmp_path, f"  a: {job}\n")

    start = diagnostic.span.column - 1
    assert (code, 5) == (diagnostic.code, diagnostic.span.line)
    assert wrong in diagnostic.snippet[start : start + diagnostic.span.width]
    assert words in (diagnostic.help or "")


def test_a_need_that_does_not_exist_is_told_once_and_not_at_each_reference(tmp_path: Path) -> None:
    found = diagnostics(tmp_path, "  a: {needs: biuld, run: 'x ${{ needs.build.outputs.wheel }}'}\n")

    assert ["unknown-need"] == [diagnostic.code for diagnostic in found]
