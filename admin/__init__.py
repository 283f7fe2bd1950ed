"""The privileged host container: SSH ends here, and `sheltie` opens the host.

Importing this package imports nothing else: sheltie counts its start in milliseconds.
"""
