"""What user-data makes of the container at its start, and again whenever it changes.

    plan     what is to be done, from what is wanted and what is there  (pure)
    machine  what is there, and doing it                                (I/O)

Everything may be done twice: a second boot with the same user-data changes nothing.
"""
