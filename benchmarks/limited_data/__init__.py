"""Trains on few images with and without the limited-data switches, and says which helped."""
