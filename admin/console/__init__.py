"""Logins at the kernel's consoles, while user-data has a password: agetty and login(1), watched.

    plan     which consoles there are, and how agetty is run on one   (pure)
    told     what PAM says of a login, sent on                        (a program of PAM's)
    attend   one console from its prompt to the end of its session    (a process)

Whoever attends a console holds a lock on its device; the host's own image does the same while
control's shell is open on it.
"""
