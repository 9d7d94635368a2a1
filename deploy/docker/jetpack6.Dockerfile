# in loco on a Jetson Orin with JetPack 6.1 or 6.2 (L4T 36.4: CUDA 12.6, TensorRT 10.3, Python 3.10), from a bundle.
#
#     make bundle TARGET=orin-jp6                             # on any machine; carry dist/inloco-orin-jp6 to the Jetson
#     docker build -t inloco -f inloco/deploy/docker/jetpack6.Dockerfile .          # there, in that folder
#     docker run --rm --runtime nvidia -v inloco:/var/lib/inloco/state inloco \
#         engine /var/lib/inloco/engines/cyclegan_fp16.onnx --backend tensorrt --out cyclegan_fp16.plan
#     docker run --runtime nvidia --restart on-failure --no-healthcheck --device /dev/video0 --group-add video \
#         -v inloco:/var/lib/inloco/state inloco stream --engine cyclegan_fp16.plan --camera 0 --sink null:
#
# CSI cameras also want: -v /tmp/argus_socket:/tmp/argus_socket
FROM nvcr.io/nvidia/l4t-jetpack:r36.4.0
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv gstreamer1.0-plugins-good \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -c 'import tensorrt; assert tensorrt.__version__.startswith("10.3"), tensorrt.__version__'
COPY . /bundle
RUN /bundle/install.sh /usr && rm -rf /bundle && install -d -o 10001 -g 10001 -m 700 /var/lib/inloco/state
ENV PYTHONUNBUFFERED=1 HOME=/var/lib/inloco/state XDG_STATE_HOME=/var/lib/inloco/state
USER 10001:10001
WORKDIR /var/lib/inloco/state
VOLUME /var/lib/inloco/state
EXPOSE 8080
STOPSIGNAL SIGTERM
# Of the service; a stream or a node ends by itself where it cannot go on.
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s CMD ["/usr/lib/inloco/venv/bin/python", "-c", \
    "import ssl, urllib.request as r; r.urlopen('https://127.0.0.1:8080/health', None, 4, context=ssl._create_unverified_context())"]
ENTRYPOINT ["/usr/bin/inloco"]
CMD ["serve", "--engine", "/var/lib/inloco/engines/cyclegan_int8.onnx", "--host", "0.0.0.0", "--token-file", "token"]
