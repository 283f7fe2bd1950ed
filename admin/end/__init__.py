"""The end of a session: whoever was started through it ends with it, wherever they went.

    marks     what a session's processes are known by: cgroup, parenthood, audit session id
    members   who bears a mark                    (reads /proc and the cgroups)
    ending    asked, then killed, until nobody is left
    watch     the end of a session that has no session process    (entry)
    deputies  what others began meanwhile, and the tool that stops it

Each mark alone leaves somebody alive: a move leaves the cgroup, a fork in a foreign pid namespace
the descendants, root writes its audit session id anew.
"""
