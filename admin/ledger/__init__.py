"""What sessions changed on the host: files as the kernel tells it, small tables before and after.

    tables, parse            rows, their difference, and reading them out of text        (pure)
    tally, span              what a session's processes did; what is otherwise in the end (pure)
    fanotify                 the kernel's side: groups, marks, events
    filesystems, whose       which file, and whose process
    listener, ear            a process at real-time priority, and the ledger's end of it
    reading, taking, shots   the tables, read in a child that enters the host
    book                     the records that are kept
    serve                    the ledger's process: sessions, listener and tables together
    client, leftovers, undo  what sessions and `sheltie leftovers` ask, and what can be undone

Nothing of this is on sheltie's own way: it is told by the kernel that sheltie was started.
"""
