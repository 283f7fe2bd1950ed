"""A root shell, or one command, in the namespaces of the host's PID 1.

    options   the command line                    (pure)
    command   what is executed, and how           (pure, but for the exec)
    host      is PID 1 the host's? enter it       (I/O)
    execution the session under /exec, whose end a watcher sees to (I/O)
    terminal  a pty of the host's, and its relay  (I/O)
    kernel    the system calls

Only the standard library's lightest modules are imported, all of them before the host is entered:
afterwards an import would read the host's files. Whoever holds the pty is where a session is
recorded: `terminal.Relay`.
"""
