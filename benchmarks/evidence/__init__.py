"""Evidence that a system learns: a short training on real data, and one figure beside what knows nothing."""
