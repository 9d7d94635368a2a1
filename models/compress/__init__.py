"""Teacher → student: what a large network knows, in one that runs on the spot."""
