"""The service and its live page.

    python -m runtime.serve --engine cyclegan_int8.onnx --camera 0
    python -m runtime.serve --engine cyclegan_int8.onnx --source rtsp://10.0.0.7/line --host 0.0.0.0 --token-file token
"""

from __future__ import annotations

import argparse
from pathlib import Path

from runtime.errors import DONE, EngineError, run_command
from runtime.recording.options import add_record_options, record_options
from runtime.stream_options import StreamOptions, add_engine_arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m runtime.serve",
        description="Translate pictures for requests, and a camera for browsers. On loopback anybody on this machine "
        "may use it; on any other address it wants a token and speaks TLS.",
        epilog="example:\n  python -m runtime.serve --engine cyclegan_int8.onnx --camera 0\n  then open "
        "http://127.0.0.1:8080/, or: curl --data-binary @in.png http://127.0.0.1:8080/translate -o out.png",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_engine_arguments(parser, required=True)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s); 0.0.0.0 is every one")
    add("--port", type=int, default=8080, help="0: any that is free (default: %(default)s)")
    add("--allow-host", action="append", default=[], metavar="NAME", help="a name that this machine is reached by")
    add("--token-file", type=Path, metavar="FILE", help="holds the token; made where there is none")
    add("--cert", type=Path, metavar="PEM", help="TLS certificate; off loopback one is made where none is given")
    add("--key", type=Path, metavar="PEM", help="its key, unencrypted")
    add("--rate", type=float, default=60.0, metavar="N", help="requests a second from one address; 0: no limit")
    add("--max-upload", type=float, default=32.0, metavar="MB", help="of one picture (default: %(default)g)")
    add("--max-megapixels", type=float, default=40.0, metavar="MP", help="of one picture (default: %(default)g)")
    add_record_options(parser)
    return parser


def main() -> int:
    """The command."""
    arguments = _parser().parse_args()
    try:  # what needs the extra comes after what --help needs
        from runtime.service.access import Access
        from runtime.service.limits import Limits
        from runtime.service.run import ServeOptions, run
    except ImportError as error:
        raise EngineError(f"the service needs {error.name!r}, which is absent: pip install 'inloco[serve]'") from error
    source = (arguments.source or "") if arguments.camera is None else f"v4l2:{arguments.camera}"
    if arguments.deadline and not source:
        raise EngineError("a deadline is for the live stream: name where frames come from with --source")
    stream = StreamOptions(
        engine=arguments.engine, source=source, sink="null:", backend=arguments.backend,
        controls=tuple(arguments.control), fit=arguments.fit, compare=True,
        deadline_s=arguments.deadline, ladder=tuple(arguments.ladder), original=not arguments.no_original,
        record=record_options(arguments),
    )  # fmt: skip
    access = Access(
        host=arguments.host, port=arguments.port, names=tuple(arguments.allow_host), token_file=arguments.token_file,
        certificate=arguments.cert, key=arguments.key,
    )  # fmt: skip
    limits = Limits(
        rate=arguments.rate, upload_bytes=int(arguments.max_upload * 1e6), pixels=int(arguments.max_megapixels * 1e6)
    )
    run(ServeOptions(stream, access, limits))
    return DONE


if __name__ == "__main__":
    raise SystemExit(run_command(main))
