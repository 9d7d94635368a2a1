"""A camera for the tests: MJPEG over HTTP on loopback, with the time burned in. Run: python mjpeg_server.py PORT."""

from __future__ import annotations

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

FPS, WIDTH, HEIGHT, BITS = 20, 160, 120, 20


def clock_picture(tick: int) -> bytes:
    """The JPEG of twenty vertical bars, white for the ones of the number, the most significant first."""
    bars = np.array([tick >> (BITS - 1 - place) & 1 for place in range(BITS)], np.uint8) * 255
    _, data = cv2.imencode(".jpg", np.tile(bars.repeat(WIDTH // BITS), (HEIGHT, 1)))
    return data.tobytes()


class Camera(BaseHTTPRequestHandler):
    """Sends a picture at every tick, /slow one a second; /bare leaves out the length of each, as some cameras do."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        while True:
            pause = 1.0 if self.path == "/slow" else 1 / FPS
            time.sleep(pause - time.monotonic() % pause)
            picture = clock_picture(int(time.monotonic() * FPS) % 2**BITS)
            length = "" if self.path == "/bare" else f"Content-Length: {len(picture)}\r\n"
            head = f"--frame\r\nContent-Type: image/jpeg\r\n{length}\r\n"
            try:
                self.wfile.write(head.encode() + picture + b"\r\n")
            except OSError:
                return

    def log_message(self, *arguments: object) -> None:
        """Silence."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Camera)
    print("ready", flush=True)
    server.serve_forever()
