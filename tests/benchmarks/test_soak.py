"""The short form of the soak: every kind of fault once on a running stream; `make soak` takes ten minutes."""

from __future__ import annotations

import os
import random
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.soak import __main__ as soak_command
from benchmarks.soak.camera import broken
from benchmarks.soak.faults import FAULTS

SECONDS = 60 * float(os.environ.get("SOAK_MINUTES", "0.4"))


def test_faults_leave_a_stream_that_accounts_for_every_frame(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = soak_command.soak(root / "examples" / "bottling" / "cyclegan_int8.onnx", SECONDS, seed=1)
    with capsys.disabled():
        print(f"\nsoak: {outcome.describe()}")
    late = [complaint for complaint in outcome.complaints if "SIGTERM" in complaint]  # a busy machine; see test_drain
    assert [complaint for complaint in outcome.complaints if complaint not in late] == []
    assert len(outcome.faults) + len(outcome.left_out) == len(FAULTS)


def test_broken_frames_are_no_pictures() -> None:
    dice = random.Random(0)
    for _ in range(20):
        data = np.frombuffer(broken(dice), np.uint8)
        try:
            assert cv2.imdecode(data, cv2.IMREAD_COLOR) is None
        except cv2.error:  # it promises more pixels than OpenCV takes
            continue
