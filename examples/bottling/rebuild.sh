#!/usr/bin/env bash
# Make the shipped example again from the clips: frames, training, graphs, engines, figures.
#
#   examples/bottling/rebuild.sh CLIPS WORK      CLIPS = folder of the three .mp4; WORK = about 1 GB, resumes where it stopped
#
# Training takes about an hour on two CPU cores: a generator by CycleGAN, then the narrower student of it that ships.
# Every step is a public command: replace the frames and it is your line.
set -euo pipefail
clips=$(realpath "$1") work=$(realpath -m "$2")
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
run() { echo "+ $*"; "$@"; }
: "${PYTHON:=python}"

[ -d "$work/trainA" ] || run "$PYTHON" -m examples.bottling.prepare --video "$clips" --out "$work"
run "$PYTHON" -m models.train --recipe "$here/teacher.toml" --set "data=$work" --out "$work/teacher"
run "$PYTHON" -m models.checkpoint "$work/teacher/checkpoint.safetensors" --part ab --out "$here/teacher.safetensors"
run "$PYTHON" -m models.train --recipe "$here/student.toml" --set "data=$work" --out "$work/student"
run "$PYTHON" -m models.checkpoint "$work/student/checkpoint.safetensors" --part generator --out "$here/cyclegan.safetensors"

run "$PYTHON" -m export.onnx "$here/cyclegan.safetensors" --size 360x640 --frames "$work/valA" --out "$here/cyclegan.onnx"
# Stem and head are INT8 too: the last phase of training has learned to live with it.
run "$PYTHON" -m calibration.quantize "$here/cyclegan.onnx" --frames "$work/trainA" --precision int8 --ends int8 \
    --out "$work/cyclegan_int8.onnx"
run "$PYTHON" -m calibration.quantize "$here/cyclegan.onnx" --frames "$work/trainA" --precision fp16 \
    --out "$work/cyclegan_fp16.onnx"
run "$PYTHON" -m export.engine "$work/cyclegan_int8.onnx" --backend openvino --out "$here/cyclegan_int8.onnx"
run "$PYTHON" -m export.engine "$work/cyclegan_fp16.onnx" --backend tensorrt-rtx \
    --targets sm75,sm80,sm86,sm89,sm120 --out "$here/cyclegan_fp16.plan"
run cp "$work/cyclegan_fp16.onnx" "$work/cyclegan_fp16.onnx.json" "$work/cyclegan_int8.onnx.frames.txt" "$here"
run cp "$work/clip.mp4" "$here/degraded.mp4"
run "$PYTHON" -m examples.bottling.evaluate --engine "$here/cyclegan_int8.onnx" --data "$work"
