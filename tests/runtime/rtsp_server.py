"""A camera for the tests: GStreamer's RTSP server on loopback. Runs under the system's Python: rtsp_server.py PORT.

    /line        a bouncing ball
    /clock       frames of 160 × 120 at 20 a second with the time burned in, as tests/runtime/burned_clock.py reads it
    /stuck       the same; its clock stands still after a second, the frames go on
    /plain       the same as /clock, from an encoder that was not told to be quick
    /slow        the same as /clock, one frame a second
"""

import sys
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

FPS, WIDTH, HEIGHT, BITS = 20, 160, 120, 20
_BALL = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=160,height=120,framerate=20/1"
_CLOCK = (
    "appsrc name=clock is-live=true do-timestamp=true format=time "
    f"caps=video/x-raw,format=GRAY8,width={WIDTH},height={HEIGHT},framerate={FPS}/1"
)
_PIPELINE = (
    "( {source} ! videoconvert ! video/x-raw,format=I420 ! x264enc {encoder} key-int-max=10 "
    "! rtph264pay name=pay0 pt=96 config-interval=1 )"
)
_QUICK = "tune=zerolatency bitrate=500"
_PLAIN = "bframes=0 rc-lookahead=0 sync-lookahead=0 sliced-threads=true bitrate=500"


def clock_frame(tick: int) -> bytes:
    """Twenty vertical bars, white for the ones of the number, the most significant first."""
    bars = [255 if tick >> (BITS - 1 - place) & 1 else 0 for place in range(BITS)]
    return bytes(level for level in bars for _ in range(WIDTH // BITS)) * HEIGHT


class Clock(GstRtspServer.RTSPMediaFactory):
    """Pushes the time, in frames since the machine started, into whatever pipeline is made."""

    def __init__(self, encoder, stops_after=None, fps=FPS):
        super().__init__()
        self.set_launch(_PIPELINE.format(source=_CLOCK, encoder=encoder))
        self.set_shared(True)
        self._stops_after, self._fps = stops_after, fps
        self.connect("media-configure", self._configure)

    def _configure(self, _, media):
        source = media.get_element().get_by_name_recurse_up("clock")
        GLib.timeout_add(1000 // self._fps, self._push, source, time.monotonic())

    def _push(self, source, started):
        now = time.monotonic()
        if self._stops_after is not None:
            now = min(now, started + self._stops_after)
        frame = Gst.Buffer.new_wrapped(clock_frame(int(now * FPS) % 2**BITS))
        return source.emit("push-buffer", frame) == Gst.FlowReturn.OK


def main():
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(sys.argv[1])
    ball = GstRtspServer.RTSPMediaFactory()
    ball.set_launch(_PIPELINE.format(source=_BALL, encoder=_QUICK))
    ball.set_shared(True)
    mounts = {
        "/line": ball, "/clock": Clock(_QUICK), "/stuck": Clock(_QUICK, stops_after=1.0), "/plain": Clock(_PLAIN),
        "/slow": Clock(_QUICK, fps=1),
    }  # fmt: skip
    for path, factory in mounts.items():
        server.get_mount_points().add_factory(path, factory)
    if not server.attach(None):
        raise SystemExit("cannot listen")
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
