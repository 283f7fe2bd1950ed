"""What all rooms agree on: types of the host API, of user-data and of rpc, and a few leaves.

Nothing here opens a network connection on import, and nothing here knows a room above it.
"""

__version__ = "0.1.0"
