"""Search by measured latency: the best student of a teacher that meets a budget on a given device."""
