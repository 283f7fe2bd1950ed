"""The host API: HTTP/1.1 and one WebSocket over Unix sockets, as stock clients expect them."""
