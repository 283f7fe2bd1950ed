"""`sheltie units`, `netstat`, … : what a look cannot see for itself, told by a fixed helper.

    __main__   asks a helper, shows the answer                       (entry)
    helper     the helper: one typed request, one typed answer       (entry)
    arguments  the command line                                      (pure)
    show       an answer for people, or as JSON
    privilege  what each report may do, and the giving up of the rest
    engines    units, logs, containers, pods: the host's own programs
    network    netstat, firewall, capture
    processes  files, environ, stacks
    disks      disk
    program    runs a program within bounds
    wire       requests and answers                                  (pure)

The helper takes no command line and no path: a request is one of eleven structures, whose fields
are numbers and checked words. It changes nothing; `docs/look.md` has the table of its privileges.
"""
