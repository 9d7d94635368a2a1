"""Trains generators: networks, losses, systems, augmentation, compression and data. Imports nothing else of ours."""
