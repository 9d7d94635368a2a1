"""Verifies and runs engines on frames; owns the engine format. Never imports torch or onnx."""
