"""The keeper, `admin serve`: the root process that keeps the door and answers for it.

    policy   what user-data means for the door          (pure)
    report   the door's state, as status tells it       (pure)
    watch    user-data changed?                         (I/O)
    door     the SSH monitor: start, configure, restart (I/O)
    records  the sessions, told to the audit            (I/O)
    rpc      the keeper's socket, served                (I/O)
    serve    all of it together
    place, client, show, log
             where the socket lies; asking it; showing what it says; the log's form

It stays up whatever user-data says, and tells why nobody can log in.
"""
