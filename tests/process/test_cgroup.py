"""Control groups in made-up trees: which folders count, under cgroup v1, v2, both, and seen from a container."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from runner.process.cgroup import (
    UNLIMITED,
    Limit,
    count_kills,
    memory_limits,
    out_of_memory_counter,
    process_limits,
    read_kernel_file,
    read_number,
)

V1_UNLIMITED = "9223372036854771712\n"


@dataclass(frozen=True)
class Tree:
    """What `/proc/self/cgroup` says, what is mounted (`top folder kind options`), and the files of the groups."""

    own: str
    mounts: tuple[str, ...]
    files: dict[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        """Make it real below `path`; returns what stands for /proc."""
        proc = path / "proc"
        (proc / "self").mkdir(parents=True)
        (proc / "self/cgroup").write_text(self.own)
        lines = ["23 1 0:5 / / rw,relatime - ext4 /dev/root rw\n"]
        for number, mount in enumerate(self.mounts):
            top, folder, kind, options = mount.split(" ")
            where = f"{30 + number} 23 0:{number} {top} {path / 'fs'}/{folder}"
            lines.append(f"{where} rw,nosuid shared:9 - {kind} {kind} {options}\n")
        (proc / "self/mountinfo").write_text("".join(lines))
        for name, text in self.files.items():
            file = path / "fs" / name.removesuffix("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith("/"):
                file.mkdir()  # can't be read, not even by root
            else:
                file.write_text(text)
        return proc


V2 = ("/ cg cgroup2 rw,nsdelegate",)
V1 = ("/ cg/memory cgroup rw,memory", "/ cg/pids cgroup rw,pids", "/ cg/unified cgroup2 rw")

MEMORY = {
    "v2: the own group": (Tree("0::/a.scope\n", V2, {"cg/a.scope/memory.max": "512\n"}), [512]),
    "v2: every group on the way up": (
        Tree(
            "0::/u.slice/a.scope\n",
            V2,
            {"cg/u.slice/memory.max": "300\n", "cg/u.slice/a.scope/memory.max": "512\n"},
        ),
        [512, 300],
    ),
    "v2: the root of a container": (Tree("0::/\n", V2, {"cg/memory.max": "512\n"}), [512]),
    "v2: max is no limit": (
        Tree("0::/u/a\n", V2, {"cg/u/a/memory.max": "max\n", "cg/u/memory.max": "512\n"}),
        [512],
    ),
    "v2: a group beside is not on the way": (Tree("0::/u/a\n", V2, {"cg/u/b/memory.max": "512\n"}), []),
    "v2: what can't be read bounds nothing": (
        Tree("0::/u/a\n", V2, {"cg/u/a/memory.max/": "", "cg/u/memory.max": "512\n"}),
        [512],
    ),
    "v2: what is no number bounds nothing": (Tree("0::/a\n", V2, {"cg/a/memory.max": "much\n"}), []),
    "v1: the own group and those above": (
        Tree(
            "8:pids:/p\n4:memory:/d/c\n0::/\n",
            V1,
            {
                "cg/memory/d/c/memory.limit_in_bytes": "512\n",
                "cg/memory/d/memory.limit_in_bytes": "600\n",
                "cg/memory/memory.limit_in_bytes": V1_UNLIMITED,
            },
        ),
        [512, 600],
    ),
    "v1: a container that is named as the host sees it": (
        Tree(
            "4:memory:/docker/c1/job\n",
            ("/docker/c1 cg/memory cgroup rw,memory",),
            {"cg/memory/job/memory.limit_in_bytes": "200\n", "cg/memory/memory.limit_in_bytes": "512\n"},
        ),
        [200, 512],
    ),
    "v1: controllers mounted together": (
        Tree(
            "4:cpu,memory:/c\n",
            ("/ cg/cpu,memory cgroup rw,cpu,memory",),
            {"cg/cpu,memory/c/memory.limit_in_bytes": "512\n"},
        ),
        [512],
    ),
    "v1: the groups of another controller say nothing": (
        Tree("8:pids:/c\n1:name=systemd:/c\n", V1, {"cg/memory/c/memory.limit_in_bytes": "512\n"}),
        [],
    ),
    "hybrid: memory by v2 although pids is by v1": (
        Tree("8:pids:/c\n0::/c\n", V1[1:], {"cg/unified/c/memory.max": "512\n"}),
        [512],
    ),
    "hybrid: memory by v1 and v2's tree without it": (
        Tree("4:memory:/c\n0::/c\n", V1, {"cg/memory/c/memory.limit_in_bytes": "512\n"}),
        [512],
    ),
    "namespace: a group outside of it has the topmost folder": (
        Tree("0::/../..\n", V2, {"cg/memory.max": "512\n", "memory.max": "1\n"}),
        [512],
    ),
    "namespace: a group beside it has the topmost folder": (
        Tree("0::/../other\n", V2, {"cg/memory.max": "512\n", "other/memory.max": "1\n"}),
        [512],
    ),
    "namespace: mounted from above, the group is below it": (
        Tree(
            "0::/../other\n",
            ("/.. cg cgroup2 rw",),
            {"cg/memory.max": "512\n", "cg/other/memory.max": "30\n"},
        ),
        [30, 512],
    ),
    "the mount that the own group is below": (
        Tree(
            "0::/k/pod\n",
            ("/elsewhere cg1 cgroup2 rw", "/k/pod cg2 cgroup2 rw"),
            {"cg1/memory.max": "1\n", "cg2/memory.max": "512\n"},
        ),
        [512],
    ),
    "a folder with a space in its name": (
        Tree("0::/a b\n", ("/ c\\040g cgroup2 rw",), {"c g/a b/memory.max": "512\n"}),
        [512],
    ),
    "a group whose name has a colon": (Tree("0::/a:b\n", V2, {"cg/a:b/memory.max": "512\n"}), [512]),
    "nothing is mounted": (Tree("0::/a\n", ()), []),
    "lines that say nothing": (Tree("\nnonsense\n0::/\n", V2, {"cg/memory.max": "512\n"}), [512]),
}


@pytest.mark.parametrize("name", MEMORY)
def test_memory_is_bounded_on_the_whole_way_up(name: str, tmp_path: Path) -> None:
    tree, expected = MEMORY[name]

    assert expected == [limit.most for limit in memory_limits(tree.write(tmp_path))]


PROCESSES = {
    "v2": (
        Tree(
            "0::/u/a\n",
            V2,
            {"cg/u/a/pids.max": "max\n", "cg/u/pids.max": "100\n", "cg/u/pids.current": "60\n"},
        ),
        [Limit(100, 60)],
    ),
    "v1": (
        Tree(
            "8:pids:/c\n4:memory:/other\n0::/\n",
            V1,
            {"cg/pids/c/pids.max": "50\n", "cg/pids/c/pids.current": "7\n", "cg/pids/pids.max": "90\n"},
        ),
        [Limit(50, 7), Limit(90, 0)],
    ),
    "none": (Tree("0::/a\n", V2), []),
}


@pytest.mark.parametrize("name", PROCESSES)
def test_processes_are_bounded_on_the_whole_way_up(name: str, tmp_path: Path) -> None:
    tree, expected = PROCESSES[name]

    assert expected == list(process_limits(tree.write(tmp_path)))


@pytest.mark.parametrize(
    ("files", "used"),
    [
        ({"memory.current": "300\n"}, 300),
        ({"memory.current": "300\n", "memory.stat": "anon 100\ninactive_file 120\nactive_file 80\n"}, 180),
        ({"memory.current": "300\n", "memory.stat": "total_inactive_file 120\n"}, 300),
        ({"memory.current": "300\n", "memory.stat": "inactive_file 400\n"}, 0),
        ({}, 0),
    ],
)
def test_what_may_be_forgotten_at_once_is_not_in_use_under_v2(
    files: dict[str, str], used: int, tmp_path: Path
) -> None:
    tree = Tree(
        "0::/\n", V2, {"cg/memory.max": "512\n", **{f"cg/{name}": text for name, text in files.items()}}
    )

    assert (Limit(512, used),) == memory_limits(tree.write(tmp_path))


def test_what_may_be_forgotten_at_once_is_not_in_use_under_v1(tmp_path: Path) -> None:
    files = {
        "cg/memory/memory.limit_in_bytes": "512\n",
        "cg/memory/memory.usage_in_bytes": "300\n",
        "cg/memory/memory.stat": "inactive_file 1\ntotal_inactive_file 120\n",
    }

    assert (Limit(512, 180),) == memory_limits(Tree("4:memory:/\n", V1, files).write(tmp_path))


def test_a_group_over_its_limit_has_nothing_left() -> None:
    assert (0, 2) == (Limit(10, 12).left, Limit(10, 8).left)


@pytest.mark.parametrize(
    ("own", "mounts", "files", "expected"),
    [
        ("0::/u/a\n", V2, {"cg/u/a/memory.events": "oom 1\noom_kill 1\n"}, "cg/u/a/memory.events"),
        ("0::/u/a\n", V2, {"cg/u/memory.events": "oom_kill 1\n"}, None),
        ("0::/\n", V2, {}, None),
        (
            "4:memory:/c\n0::/c\n",
            V1,
            {
                "cg/memory/c/memory.oom_control": "under_oom 0\noom_kill 3\n",
                "cg/unified/c/memory.events": "low 0\n",
            },
            "cg/memory/c/memory.oom_control",
        ),
        (
            "4:memory:/c\n0::/c\n",
            V1,
            {"cg/memory/c/memory.oom_control": "under_oom 0\n", "cg/unified/c/memory.events": "oom_kill 0\n"},
            "cg/unified/c/memory.events",
        ),
    ],
)
def test_kills_for_want_of_memory_are_counted_where_the_own_group_has_them(
    own: str, mounts: tuple[str, ...], files: dict[str, str], expected: str | None, tmp_path: Path
) -> None:
    found = out_of_memory_counter(Tree(own, mounts, files).write(tmp_path))

    assert (tmp_path / "fs" / expected if expected else None) == found


def test_a_file_that_counts_no_kills_has_no_number_of_them(tmp_path: Path) -> None:
    (tmp_path / "some").write_text("oom 4\noom_kill 3\noom_group_kill 1\n")
    (tmp_path / "none").write_text("oom 4\noom_group_kill 1\n")

    assert [3, None, None] == [count_kills(tmp_path / name) for name in ("some", "none", "missing")]


def test_a_number_that_is_not_there_is_what_the_caller_takes_for_it(tmp_path: Path) -> None:
    (tmp_path / "seven").write_text("7\n")
    (tmp_path / "max").write_text("max\n")

    assert [7, UNLIMITED, UNLIMITED] == [read_number(tmp_path / name) for name in ("seven", "max", "missing")]
    assert (0, "") == (read_number(tmp_path / "missing", 0), read_kernel_file(tmp_path))


def test_nothing_bounds_where_the_kernel_tells_nothing(tmp_path: Path) -> None:
    assert ((), (), None) == (
        memory_limits(tmp_path),
        process_limits(tmp_path),
        out_of_memory_counter(tmp_path),
    )
