"""The checksums of many files by a script of one's own: what workflows/checksums.yaml is compared with.

python benchmarks/plain/checksums.py --files 'photos/**/*.jpg'
"""

import argparse
import subprocess
import sys
from multiprocessing import Pool
from pathlib import Path

BATCH = 64


def sums(paths: list[str]) -> bytes:
    done = subprocess.run(["sha256sum", "--", *paths], capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace"))
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the checksums of many files.")
    parser.add_argument("--files", default="*.yaml", help="a pattern such as `photos/**/*.jpg`")
    parser.add_argument(
        "--sums", default="checksums.txt", type=Path, help="the file that they are written to"
    )
    given = parser.parse_args()
    target = given.sums
    paths = sorted(str(path) for path in Path().glob(given.files) if path.is_file())
    if not paths:
        sys.exit(f"no file is called {given.files}")
    batches = [paths[at : at + BATCH] for at in range(0, len(paths), BATCH)]
    unfinished = target.with_name(f"{target.name}.part")
    try:
        with Pool(2) as pool, unfinished.open("wb") as out:
            for lines in pool.imap(sums, batches):
                out.write(lines)
        unfinished.replace(target)
    except BaseException:
        unfinished.unlink()
        raise


if __name__ == "__main__":
    main()
