"""Runs one service from its first check to its end."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
from dataclasses import dataclass
from functools import partial

from runtime.errors import DONE
from runtime.recording.start import flag_on_signal
from runtime.service.access import Access, allowed_hosts, find_certificate, find_token, is_loopback
from runtime.service.app import build_app
from runtime.service.limits import Limits
from runtime.service.server import Server, bind
from runtime.service.service import Service, open_service
from runtime.service.tls import Certificate
from runtime.service_manager import ServiceManager
from runtime.stream_options import StreamOptions

_END_S = 1.7  # from the signal to the end


@dataclass(frozen=True)
class ServeOptions:
    """One service. `stream.source` is "" where there is no live stream."""

    stream: StreamOptions
    access: Access
    limits: Limits


def run(options: ServeOptions) -> None:
    """Serve until SIGINT or SIGTERM, which end it within two seconds. Raises InlocoError for what is wrong at first."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    token, certificate = find_token(options.access), find_certificate(options.access)
    listener = bind(options.access.host, options.access.port)
    service = open_service(options.stream, options.limits)
    manager = ServiceManager()
    server = Server(
        build_app(service, allowed_hosts(options.access), token), options.limits, certificate, service.stop,
        partial(_tell, manager, service),
    )  # fmt: skip
    if service.live is not None:
        service.live.failed = server.end
    for number in (signal.SIGINT, signal.SIGTERM):  # whoever reads the announcement may end us at once
        signal.signal(number, server.handle_exit)
    if service.recorder is not None:
        flag_on_signal(service.recorder)
    _announce(options.access, listener, certificate, service)
    server.run([listener])
    manager.stopping()
    if not service.close(_END_S):
        # Vendor libraries abort the process when it ends below their threads.
        print("ended while an engine or a camera was still busy", file=sys.stderr, flush=True)
        os._exit(DONE)
    if service.live is not None and service.live.error is not None and not service.live.stats.frames:
        raise service.live.error


def _tell(manager: ServiceManager, service: Service) -> None:
    """Requests are answered; whether frames move is the service's own knowledge."""
    manager.ready()
    manager.say(f"{service.state()}, {service.viewers.taken} viewers")
    if service.beats():
        manager.alive()


def _announce(access: Access, listener: socket.socket, certificate: Certificate | None, service: Service) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    scheme = "https" if certificate else "http"
    who = "only this machine" if is_loopback(access.host) else "other machines, with the token"
    url = f"{scheme}://{shown}:{port}/"
    print(f"{service.manifest.file} on {service.translator.backend}, for {who}: {url}", file=sys.stderr)
    # One line for the program that started this one.
    print(json.dumps({"url": url, "engine_sha256": service.manifest.sha256["engine"]}), flush=True)
