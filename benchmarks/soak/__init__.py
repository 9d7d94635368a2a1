"""Months in minutes: a stream under the faults that a plant has, and what must hold afterwards.

    python -m benchmarks.soak --engine cyclegan_int8.onnx --minutes 10
"""
