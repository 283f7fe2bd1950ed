#!/bin/bash
# The container's command, under upstream's name.
exec /usr/bin/admin serve "$@"
