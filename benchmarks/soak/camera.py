"""A camera that misbehaves when it is told to: MJPEG over HTTP on loopback; run by `rig`, never shipped.

Standard input takes lines: "garbage N" sends N frames that are none, "huge N" sends N of 48 megapixels.
"""

from __future__ import annotations

import random
import sys
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import cv2
import numpy as np

FPS, WIDTH, HEIGHT = 12, 640, 360
_HUGE = (6000, 8000)
_ORDERS: deque[bytes] = deque()  # what goes out before the next proper frame
_NOISE = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
_FRAMES = deque(cv2.imencode(".jpg", np.roll(_NOISE, turn))[1].tobytes() for turn in range(25))


def broken(dice: random.Random) -> bytes:
    """Bytes that are no picture: noise, the head of one without its body, or a head that promises too much."""
    proper = _FRAMES[0]
    size = proper.find(b"\xff\xc0") + 5  # where a JPEG states height and width
    return dice.choice([
        dice.randbytes(4000),
        proper[:200],
        proper[:size] + b"\xff\xfe\xff\xfe" + proper[size + 4 :],
    ])  # fmt: skip


class Camera(BaseHTTPRequestHandler):
    """One viewer."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        while True:
            time.sleep(1 / FPS - time.monotonic() % (1 / FPS))
            _FRAMES.rotate()
            picture = _ORDERS.popleft() if _ORDERS else _FRAMES[0]
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + picture + b"\r\n")
            except OSError:
                return

    def log_message(self, *arguments: object) -> None:
        """Silence."""


def serve(port: int) -> None:
    """Run until killed."""
    server = ThreadingHTTPServer(("127.0.0.1", port), Camera)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    dice = random.Random(port)
    huge = cv2.imencode(".jpg", np.zeros((*_HUGE, 3), np.uint8))[1].tobytes()
    for line in sys.stdin:
        order, count = line.split()
        _ORDERS.extend(huge if order == "huge" else broken(dice) for _ in range(int(count)))
