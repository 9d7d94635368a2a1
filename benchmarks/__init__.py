"""Judges engines and systems and writes the reports."""
