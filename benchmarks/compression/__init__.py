"""Real trained networks and their students: what a smaller and faster one keeps."""
