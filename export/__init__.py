"""Checkpoint → frame graph → engine, each with its manifest."""
