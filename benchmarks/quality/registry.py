"""All metrics: a name, the question it answers, what it needs, and the function that answers."""

from __future__ import annotations

from benchmarks.quality import against_sets, against_truth, by_judges, pixels
from benchmarks.quality.against_truth import answer_with
from benchmarks.quality.metric import Metric

METRICS = {metric.name: metric for metric in (
    Metric("psnr", "how near is it to the true picture, pixel by pixel?", ("pairs",),
           answer_with(pixels.psnr, "PSNR", "high", "dB")),
    Metric("y_psnr", "the same of super-resolution: luminance, 4 px cut off", ("pairs",),
           answer_with(pixels.luminance_psnr, "PSNR of the luminance", "high", "dB")),
    Metric("ssim", "how near in structure?", ("pairs",), answer_with(pixels.ssim, "SSIM", "high")),
    Metric("ms_ssim", "how near in structure, seen from several distances?", ("pairs",),
           answer_with(pixels.ms_ssim, "MS-SSIM", "high")),
    Metric("lpips", "how near to people's eyes?", ("pairs", "weights"), against_truth.lpips),
    Metric("rmse", "maps: how far off are the levels?", ("pairs",),
           answer_with(pixels.rmse, "RMSE", "low", "levels of 255")),
    Metric("pixel_accuracy", "maps: how many pixels are right?", ("pairs",), against_truth.pixel_accuracy),
    Metric("edges", "is what is seen still where it was?", ("source",), against_truth.kept_edges),
    Metric("fid", "does the set look like the target domain? (the published measure)", ("target", "inception"),
           against_sets.fid),
    Metric("kid", "the same of few pictures, unbiased", ("target", "inception"), against_sets.kid),
    Metric("fd_squeezenet", "does the set look like the target domain? (no FID)", ("target", "weights"),
           against_sets.fd_squeezenet),
    Metric("kid_squeezenet", "the same of few pictures, unbiased (no KID)", ("target", "weights"),
           against_sets.kid_squeezenet),
    Metric("precision_recall", "are the pictures real-looking, and is all of the domain made?", ("target", "weights"),
           against_sets.precision_recall),
    Metric("inception_score", "is every picture clearly something, and not always the same?", ("inception",),
           against_sets.score_by_inception),
    Metric("memorisation", "does it give training images back?", ("train", "target", "weights"),
           against_sets.memorisation),
    Metric("diversity", "how different are the pictures of one source?", ("draws", "weights"), by_judges.diversity),
    Metric("mode_collapse", "how many different pictures are there at all?", ("draws",), by_judges.mode_collapse),
    Metric("spacing", "do different inputs become different pictures?", ("target", "weights"), against_sets.spread_out),
    Metric("classifier_accuracy", "does a classifier see the class that was asked for?", ("classifier", "classes"),
           by_judges.classifier_accuracy),
    Metric("fcn_score", "does a segmenter see what the label map says?", ("segmenter", "labels"), by_judges.fcn_score),
    Metric("checkerboard", "does up-sampling draw a grid?", ("engine",), by_judges.checkerboard),
    Metric("flicker", "is it steady from frame to frame?", ("source", "consecutive"), by_judges.flicker),
)}  # fmt: skip


def described() -> str:
    """The list of --help."""
    return "\n".join(f"  {name:<20}{metric.question}" for name, metric in METRICS.items())
