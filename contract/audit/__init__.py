"""The form of an audit on disk: who writes one, the host's daemon or admin, writes it so.

segments   the files, one chain through all of them   (I/O)
sink       the seam of whatever keeps lines, and its twin
check      checking a directory offline               (I/O)
"""
