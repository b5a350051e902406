"""The moving picture of the README is made from a real run, and shows what the first command prints."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

NAMESPACE = {"svg": "http://www.w3.org/2000/svg"}


def texts(picture: Path) -> list[str]:
    """What stands in each frame, a text for each."""
    root = ET.fromstring(picture.read_text(encoding="utf-8"))
    rows = {
        f"#{group.get('id')}": " ".join(text.text or "" for text in group.findall("svg:text", NAMESPACE))
        for group in root.findall("svg:defs/svg:g", NAMESPACE)
    }
    frames = [group for group in root.findall("svg:g", NAMESPACE) if group.get("class") == "f"]
    return [
        "\n".join(rows[str(use.get("href"))] for use in frame.findall("svg:use", NAMESPACE))
        for frame in frames
    ]


@pytest.mark.slow
def test_the_script_makes_a_picture_of_a_real_run(checkout: Path, tmp_path: Path) -> None:
    script = checkout / "docs" / "pictures" / "record.py"

    subprocess.run([sys.executable, str(script), str(tmp_path / "run.svg")], check=True, timeout=120)

    frames = texts(tmp_path / "run.svg")
    assert len(frames) > 10
    assert any("running" in frame and "steamer" in frame for frame in frames)
    assert re.search(r"ledger: 9 put = 9 done\n(.*\n)*done in \d+\.\ds", frames[-1])


def test_the_one_that_is_shown_begins_with_the_command_and_ends_with_the_ledger(checkout: Path) -> None:
    frames = texts(checkout / "docs" / "pictures" / "baozi.svg")

    assert frames[0].startswith("$ mprun workflows/baozi.yaml")
    assert "ledger: 9 put = 9 done" in frames[-1]
