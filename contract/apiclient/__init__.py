"""A client of the host API over its Unix socket, and the command line `apiclient`.

It needs nothing but upstream's API, so it works against a stock host too. Layers, from below:
dial, exchange, failure, client for HTTP; channel, flow, conversation, run, attach for /exec; then
arguments, verbs and the entry point.
"""
