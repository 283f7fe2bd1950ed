#!/bin/bash
# The container's command, under upstream's name. It never ends by itself: a host starts a host
# container that ended again, whatever its exit status.
/usr/bin/control boot
exec sleep infinity
