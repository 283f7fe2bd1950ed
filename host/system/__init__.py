"""What the host's own image adds to the daemon: its first settings, and its console."""
