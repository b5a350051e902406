"""Files that are no workflow, or a wrong one, in each way that ends the reading at another place."""

from __future__ import annotations

from pathlib import Path

REFUSED: dict[str, bytes | None] = {
    "nowhere.yaml": None,
    "folder.yaml/inside": b"",
    "broken.yaml": b"a: [",
    "empty.yaml": b"",
    "comment.yaml": b"# only\n",
    "binary.yaml": b"\xff\xfe\x00bad",
    "two.yaml": b"a: 1\n---\nb: 2\n",
    "tab.yaml": b"name: x\nstages:\n\ta: 1\n",
    "bomb.yaml": b"a: &a [x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\n" * 3,
    "kind.yaml": b"name: x\nstages: {a: {run: {nokindatall: {}}}}\n",
    "reference.yaml": b'name: x\nstages: {a: {run: {command: "echo ${{ params.no }}"}}}\n',
    "include.yaml": b"name: x\ninclude: [nowhere.yaml, /etc/passwd]\n",
    "job.yaml": b"name: x\njobs: {a: {needs: b, run: x}}\n",
}


def write_refused(folder: Path, name: str) -> Path:
    """Write the file of this name in `REFUSED`, and return what to give to a command."""
    written, file = REFUSED[name], folder / name
    file.parent.mkdir(exist_ok=True)
    if written is not None:
        file.write_bytes(written)
    return file.parent if name.endswith("/inside") else file
