"""What `sheltie --help` prints: imported for that alone."""

__all__ = ["HELP"]

HELP = """\
Usage: sheltie [OPTIONS] [--] [COMMAND [ARGS...]]
       sheltie [OPTIONS] get HOSTPATH [LOCAL|-]
       sheltie [OPTIONS] put LOCAL|- HOSTPATH
       sheltie act NAME [VALUES...] | --list

Root on the host: a shell, or one command of the host's.

sheltie enters all namespaces of the host's PID 1 (mount, pid, network, IPC, UTS, cgroup). It leaves
nothing there: the shell is a static program of this container, executed by descriptor, and never
appears among the host's files.

  sheltie                          a root shell on the host
  sheltie systemctl status kubelet one command of the host, found by the host's PATH
  sheltie -- ls -l /               the same; `--` ends our options
  sheltie < script.sh              the shell reads its commands from standard input
  sheltie cat /var/log/x | less    pipes, exit codes and signals pass unchanged
  sheltie --tools tcpdump -i any   a tool of this container, in the host's network and processes
  sheltie --pod web                a shell in a workload's namespaces
  sheltie get /var/log/syslog      copy a file of the host's here; put copies the other way. Whole
                                   or not at all; prints the SHA-256 as sha256sum does

Without root, sheltie calls itself by sudo. On a terminal, the shell and commands get a terminal of
the host's own: job control, Ctrl-Z, fg, Ctrl-C and window changes work.

To read is enough? These change nothing, and the kernel sees to it:

  sheltie --look                   a shell that can read the host, and change nothing
  sheltie --look less /var/log/syslog
  sheltie netstat                  a report: units, logs UNIT, containers, pods, netstat, files PID,
                                   environ PID, stacks PID, firewall, disk, capture; each has --help
  sheltie -- netstat               the host's command of that name

Is it one of the things that are done often? Then by name, checked and recorded:

  sheltie act --list               restart-unit, restart-container, kill-pid, rotate-logs,
                                   free-images, support-bundle; each has --help and --dry-run
  sheltie act restart-unit kubelet

What sessions changed on the host, and is still there:

  sheltie leftovers [--json]       listed, each with a number
  sheltie leftovers --undo [NUMBER...]
                                   ends or undoes it where that is safe; asks first, unless --yes

Options (only before COMMAND):
  --look                     as an unprivileged uid of its own, all read-only, secrets covered
  --look-secrets             the same with secrets uncovered; for `environ`, with the values
  --shell auto|bash|busybox  which static shell; auto takes busybox, which brings ls, ps, cat and
                             the rest with it, where the host has no ls          [default: auto]
  --busybox                  the same as --shell busybox
  --tools                    COMMAND is a tool of this container; it sees the host's processes,
                             network and IPC, and the host's files below /.bottlerocket/rootfs
  --target PID               enter the namespaces of this process of the host's, not of PID 1
  --pod NAME                 those of a pod or container, asked of the host's crictl, ctr or podman
  --no-mnt, --no-pid, --no-net, --no-ipc, --no-uts, --no-cgroup
                             stay in this container's namespace of that kind
  --version                  print the version
  -h, --help                 print this page

Exit status: that of the shell or the command; a command that died of a signal ends sheltie by the
same signal. 127: the host has no such command; 126: it cannot be executed. sheltie's own errors are
one line on standard error, with a code in brackets, and 2 (usage), 4 (no such target), 6 (this
container or kernel lacks something) or 1.

This container's own tools see the host's files, read-only, below /.bottlerocket/rootfs.
"""
