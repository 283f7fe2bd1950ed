"""The unprivileged container: it asks the host, and opens and shuts the door to admin.

Layers, from below: keys, addresses, remembered (what lies where); admin (its rpc) and host (what
control needs of one); ours and stock, and kind, which tells them apart; waiting; then enabling,
disabling, entering, state and boot, which are the commands; text, which shows; app and the entry
point.
"""
