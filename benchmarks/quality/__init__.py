"""How good translated pictures are: metrics with their names right, and the report over them (docs/quality.md)."""
