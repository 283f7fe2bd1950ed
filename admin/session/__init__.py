"""One process per session: it owns the pty or the pipes, and starts the shell as the login user.

Whoever holds the pty sees all there is to see; this is where a recorder will sit.
"""
