"""After `make demo`: what it left is whole, and the environment holds nothing but what running needs.

    .venv/bin/python tests/fresh/check_demo.py out
"""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path

import av
import cv2


def main(out: Path) -> None:
    """Open each output as its reader would; raise AssertionError naming what is wrong."""
    absent = ["torch", "onnx", "onnxruntime", "lightning_fabric", "matplotlib"]
    assert not [name for name in absent if find_spec(name)], f"more than running needs is installed: {absent}"
    with av.open(str(out / "translated.mp4")) as video:
        stream = video.streams.video[0]
        frames = sum(1 for _ in video.decode(stream))
        context = stream.codec_context
    assert (context.name, context.pix_fmt) == ("h264", "yuv420p"), "a browser cannot play the video"
    assert frames > 100, f"the video has only {frames} frames"
    picture = cv2.imread(str(out / "side_by_side.png"))
    assert picture is not None, "the picture is not readable"
    assert picture.shape[1] == 2 * context.width, "the picture is not two frames wide"
    pages = list((out / "report").glob("*.html"))
    assert pages, "there is no HTML report"
    page = pages[0].read_text(encoding="utf-8")
    assert "<svg" in page or "data:image" in page, "the report has no plot"
    afar = re.findall(r"""(?:src|href)=["']?https?://[^"' >]+""", page)
    assert not afar, f"the report loads from afar: {afar}"
    print(f"{frames} frames of {context.width}×{context.height} H.264, picture {picture.shape}, report {pages[0].name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
