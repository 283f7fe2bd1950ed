"""`sheltie --look`: the host as it is, for a process that the kernel lets change nothing.

    confine   the steps, in their order                       (entry)
    settings  the owner's wishes, a uid for the session       (I/O)
    device    a tiny /dev                                     (I/O)
    cover     masks over secrets and over what reading eats   (I/O)
    readable  what Landlock lets it open                      (I/O)
    kernel    the system calls, by ctypes
    program   the seccomp filter, assembled                   (pure)
    allow     what a look may ask of the kernel, by name      (pure)
    numbers   the names' numbers on x86_64 and aarch64        (pure)
    rights    Landlock's rights by ABI                        (pure)
    masks     what is covered                                 (pure)
    mounts    a mount table, read                             (pure)

Like sheltie it imports light modules of the standard library only, all before the host is entered.
`docs/look.md` says what it protects, and what not.
"""
