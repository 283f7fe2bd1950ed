"""The door: an SSH server with separated privileges.

A monitor (root, no SSH library) accepts, holds the host keys, verifies and decides; a listener per
connection (no privilege, no key) speaks SSH; a process per session owns the pty or the pipes.
"""
