"""The findings of a search for people: report.md with the table, and pareto.png."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.plots import COLOURS
from benchmarks.search.fit import Costs
from benchmarks.search.students import Student


def frontier(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The (ms, quality) that no other beats in both, from fast to slow."""
    kept: list[tuple[float, float]] = []
    for ms, quality in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or quality > kept[-1][1]:
            kept.append((ms, quality))
    return kept


def draw_pareto(students: Sequence[Student], winner: Student, budget_ms: float, out: Path) -> None:
    """Milliseconds against decibels; the budget as a dashed line."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    points = [(student.measured_ms or student.predicted_ms, student.psnr) for student in students]
    edge = frontier(points)
    axes.plot(*zip(*edge, strict=True), color=COLOURS[0], linewidth=1.5, zorder=1, label="Pareto front")
    for student, (ms, quality) in zip(students, points, strict=True):
        passed = student.gate == "passed"
        axes.scatter(
            ms, quality, s=70 if student is winner else 35, zorder=2, color=COLOURS[1 if student is winner else 0],
            marker="*" if student is winner else "o" if passed else "x",
        )  # fmt: skip
        axes.annotate(student.shape.name, (ms, quality), xytext=(6, -11), textcoords="offset points", fontsize=8)
    axes.axvline(budget_ms, color="gray", linestyle="--", linewidth=1, label=f"budget {budget_ms:g} ms")
    times = [ms for ms, _ in points] + [budget_ms]
    axes.set_xlim(0, max(times) * 1.35)  # room for the last name
    low, high = min(q for _, q in points), max(q for _, q in points)
    margin = max(0.3, 0.15 * (high - low))
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlabel("milliseconds of a frame, INT8")
    axes.set_ylabel("PSNR against the teacher, dB")
    axes.grid(alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(out, dpi=140)


def as_markdown(facts: dict[str, Any], students: Sequence[Student], winner: Student, costs: Costs) -> str:
    """The page."""
    teacher = facts["teacher"]
    lines = [
        f"# Search: {winner.shape.name} for {facts['budget_ms']:g} ms", "", f"    {facts['command']}", "",
        "![milliseconds against quality](pareto.png)", "",
        "| student | GMAC | M parameters | predicted ms | measured ms | off | PSNR dB | SSIM | INT8 gate |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    height, width = facts["size"]
    for student in sorted(students, key=lambda student: -student.psnr):
        measured = f"{student.measured_ms:.2f}" if student.measured_ms else "–"
        off = f"{student.predicted_ms / student.measured_ms - 1:+.0%}" if student.measured_ms else "–"
        shape = student.shape
        lines.append(
            f"| {'**' + shape.name + '**' if student is winner else shape.name} "
            f"| {shape.macs(height, width, facts['channels']) / 1e9:.2f} "
            f"| {shape.parameters(facts['channels']) / 1e6:.2f} | {student.predicted_ms:.2f} | {measured} | {off} "
            f"| {student.psnr:.2f} | {student.ssim:.4f} | {student.gate} |"
        )
    if teacher["measured_ms"]:
        ms, gmac = teacher["measured_ms"], teacher["gmac"]
        lines.append(f"| teacher, {teacher['name']} | {gmac:.2f} | | | {ms:.2f} | | | | |")
    within = f"The probes lie within {costs.worst_error:.0%} of the sums of their parts:"
    lines += ["", f"Device: {facts['device']}. {within}", "", "| part | ms |", "|---|---|"]
    lines += [f"| {part} | {ms:.4f} |" for part, ms in costs.ms.items()]
    return "\n".join(lines) + "\n"
