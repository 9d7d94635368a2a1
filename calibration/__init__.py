"""Chooses calibration frames, measures ranges, writes precision into the graph and gates the result."""
