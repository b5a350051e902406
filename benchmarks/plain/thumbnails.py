"""Small pictures of big ones by a script of one's own: what workflows/thumbnails.yaml is compared with.

python benchmarks/plain/thumbnails.py --photos 'photos/*.jpg'
"""

import argparse
import json
import sys
from functools import partial
from io import BytesIO
from multiprocessing import Pool
from pathlib import Path

from PIL import Image


def shrink(path: Path, size: int) -> tuple[Path, bytes | None, str]:
    try:
        with Image.open(path) as picture:
            picture.thumbnail((size, size))
            small = BytesIO()
            picture.save(small, "PNG")
        return path, small.getvalue(), ""
    except Exception as error:
        return path, None, f"{type(error).__name__}: {error}"


def write(path: Path, data: bytes) -> None:
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.write_bytes(data)
    unfinished.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make small pictures of big ones.")
    parser.add_argument("--photos", default="photos/*.jpg", help="a pattern such as `photos/**/*.jpg`")
    parser.add_argument("--folder", default="thumbnails", type=Path, help="the folder for what comes out")
    parser.add_argument("--size", default=128, type=int, help="the most pixels at a side")
    parser.add_argument(
        "--most-errors", default=0.1, type=float, help="the share of photos that may be broken"
    )
    given = parser.parse_args()
    photos = sorted(path for path in Path().glob(given.photos) if path.is_file())
    if not photos:
        sys.exit(f"no file is called {given.photos}")
    given.folder.mkdir(parents=True, exist_ok=True)
    failed = {}
    with Pool(2) as pool:
        for path, data, error in pool.imap_unordered(partial(shrink, size=given.size), photos):
            if data is None:
                failed[str(path)] = error
            else:
                write(given.folder / f"{path.stem}.png", data)
    if failed:
        Path("failed.json").write_text(json.dumps(failed, indent=2))
        print(f"{len(failed)} of {len(photos)} photos failed: failed.json", file=sys.stderr)
    if len(failed) > given.most_errors * len(photos):
        sys.exit(1)


if __name__ == "__main__":
    main()
