"""The handler of thumbnails.yaml. It needs Pillow: `pip install 'mprun[images]'`."""

from __future__ import annotations

from io import BytesIO
from typing import Any

try:
    from PIL import Image
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError("these pictures need Pillow: pip install 'mprun[images]'") from missing


def shrink(photo: dict[str, Any], size: int) -> dict[str, object]:
    """Return a small picture of one. Raises OSError for one that is not whole."""
    with Image.open(photo["path"]) as picture:
        picture.thumbnail((size, size))
        small = BytesIO()
        picture.save(small, "PNG")
    return {"name": f"{photo['stem']}.png", "data": small.getvalue()}
