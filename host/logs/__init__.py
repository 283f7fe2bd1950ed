"""What containers wrote, as conmon keeps it: the last lines, and those to come."""
