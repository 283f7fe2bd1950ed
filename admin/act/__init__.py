"""`sheltie act NAME`: a few things that are done often, by name, with parameters that are checked.

    __main__   judges, runs, records                            (entry)
    arguments  the command line, from the declarations          (pure)
    record     who acts, told to the audit                      (I/O)
    running    the ways that an action has, and taking one      (I/O)
    bundle     what is collected, as one archive                (I/O)
    host       programs of the host's, run through sheltie      (I/O)
    declared   the shipped declarations, `actions/NAME.toml`    (I/O)
    plan       an action with its values: what would be run     (pure)
    declare    a declaration, parsed and judged                 (pure)
    values     kinds of parameters                              (pure)

An action is a declaration and no code: words of programs with parameters in them, no shell. It is
less than root: whoever may run it chooses values of the declared kinds, and nothing else.
"""
