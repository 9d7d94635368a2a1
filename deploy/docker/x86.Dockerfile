# in loco on x86-64, with or without an RTX card, from a bundle; building it needs no network but for the base image.
#
#     make bundle TARGET=x86-rtx                              # or x86-cpu; its wheels must be for this base's Python
#     docker build -t inloco -f deploy/docker/x86.Dockerfile dist/inloco-x86-rtx
#     docker run --rm --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
#         -v inloco:/var/lib/inloco/state -p 127.0.0.1:8080:8080 inloco
#     docker run … --gpus all inloco stream --engine /var/lib/inloco/engines/cyclegan_fp16.plan --source rtsp://…
FROM python:3.11-slim-bookworm AS installed
COPY . /bundle
RUN /bundle/install.sh /usr

FROM python:3.11-slim-bookworm
COPY --from=installed /usr/lib/inloco /usr/lib/inloco
COPY --from=installed /usr/bin/inloco /usr/bin/inloco
COPY --from=installed /usr/share/doc/inloco /usr/share/doc/inloco
COPY --from=installed /var/lib/inloco/engines /var/lib/inloco/engines
RUN install -d -o 10001 -g 10001 -m 700 /var/lib/inloco/state
# The card's driver comes from the host, by NVIDIA's container toolkit.
ENV PYTHONUNBUFFERED=1 HOME=/var/lib/inloco/state XDG_STATE_HOME=/var/lib/inloco/state \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
WORKDIR /var/lib/inloco/state
VOLUME /var/lib/inloco/state
EXPOSE 8080
STOPSIGNAL SIGTERM
# Of the service; a stream or a node ends by itself where it cannot go on: use --restart and --no-healthcheck.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["/usr/lib/inloco/venv/bin/python", "-c", \
    "import ssl, urllib.request as r; r.urlopen('https://127.0.0.1:8080/health', None, 4, context=ssl._create_unverified_context())"]
ENTRYPOINT ["/usr/bin/inloco"]
CMD ["serve", "--engine", "/var/lib/inloco/engines/cyclegan_int8.onnx", "--host", "0.0.0.0", "--token-file", "token"]
