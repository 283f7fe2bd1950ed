"""The unprivileged container: it asks the host, and opens and shuts the door to admin.

Layers, from below: keys, addresses, remembered (what lies where); admin (its rpc); host (the API as
control needs it); ours and stock (two kinds of host); waiting; then enabling, disabling, entering,
state and boot, which are the commands; text, which shows; app and the entry point.
"""
