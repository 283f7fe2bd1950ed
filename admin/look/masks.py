"""What a look does not show. A component may hold one `*`; what does not exist is passed over."""

from __future__ import annotations

__all__ = ["CONSUMED", "SECRETS", "STATE", "STATE_SECRETS"]

CONSUMED = (
    # To read these is to take something away, or to touch a device. Covered in every look.
    "/proc/kmsg",
    "/proc/sysrq-trigger",
    "/proc/acpi/event",
    "/sys/kernel/debug",
    "/sys/kernel/tracing",
    "/sys/bus/pci/devices/*/resource[0-9]*",
    "/sys/bus/pci/devices/*/rom",
)

STATE = "/var/lib/sheltie"
"""The daemon's state directory where nothing else is known."""
STATE_SECRETS = (
    # Below the daemon's state: settings, host keys, user-data, recordings, the SSM vault.
    "settings",
    "keys",
    "audit",
    "host-containers",
    "containers/*/bundle/config.json",
)

SECRETS = (
    # The kernel's memory, and what was in memory.
    "/proc/kcore",
    "/proc/vmcore",
    "/proc/keys",
    "/proc/key-users",
    "/proc/kallsyms",
    "/swapfile",
    "/swap.img",
    "/var/crash",
    "/var/lib/systemd/coredump",
    # Host keys, password hashes, private keys of people and services.
    "/etc/ssh/ssh_host_*_key",
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/ssl/private",
    "/etc/pki/tls/private",
    "/etc/wireguard",
    "/etc/NetworkManager/system-connections",
    "/etc/netplan",
    "/etc/krb5.keytab",
    "/root/.ssh",
    "/root/.aws",
    "/root/.config",
    "/root/.docker",
    "/root/.gnupg",
    "/root/.kube",
    "/root/.netrc",
    "/home/*/.ssh/id_*",
    "/home/*/.aws",
    "/home/*/.docker",
    "/home/*/.gnupg",
    "/home/*/.kube",
    "/home/*/.netrc",
    # systemd's credentials, cloud-init's user-data.
    "/etc/credstore",
    "/etc/credstore.encrypted",
    "/run/credentials",
    "/run/credstore",
    "/run/systemd/ask-password",
    "/var/lib/systemd/credential.secret",
    "/var/lib/systemd/random-seed",
    "/var/lib/cloud/instances",
    "/run/cloud-init/instance-data-sensitive.json",
    # Bottlerocket: settings and host containers.
    "/var/lib/bottlerocket",
    "/local/var/lib/bottlerocket",
    "/local/host-containers",
    "/local/bootstrap-containers",
    "/mnt/host-containers",
    # The agent of AWS Systems Manager.
    "/var/lib/amazon/ssm",
    # Kubernetes: the kubelet's keys, the control plane's, and the pods' secrets and tokens.
    "/etc/kubernetes/*.conf",
    "/etc/kubernetes/*.kubeconfig",
    "/etc/kubernetes/kubeconfig",
    "/etc/kubernetes/kubelet/kubeconfig",
    "/etc/kubernetes/pki",
    "/etc/kubernetes/manifests",
    "/var/lib/kubelet/pki",
    "/var/lib/kubelet/kubeconfig",
    "/var/lib/kubelet/config.json",
    "/var/lib/kubelet/pods/*/volumes/kubernetes.io~secret",
    "/var/lib/kubelet/pods/*/volumes/kubernetes.io~projected",
    "/var/lib/kubelet/pods/*/volumes/kubernetes.io~csi",
    "/var/lib/kubelet/pods/*/volume-subpaths",
    "/var/lib/etcd",
    "/var/lib/rancher",
    "/etc/rancher",
    "/var/lib/k0s",
    # Container engines: specifications hold the containers' environment, which holds secrets.
    "/run/containerd/io.containerd.runtime.v2.task",
    "/run/containerd/runc",
    "/run/host-containerd/io.containerd.runtime.v2.task",
    "/run/host-containerd/runc",
    "/var/lib/containerd/io.containerd.metadata.v1.bolt",
    "/var/lib/host-containerd/io.containerd.metadata.v1.bolt",
    "/run/runc",
    "/run/crun",
    "/run/docker",
    "/run/crio",
    "/run/containers",
    "/run/libpod",
    "/run/secrets",
    "/run/user/*/containers",
    "/run/user/*/libpod",
    "/run/user/*/crun",
    "/var/lib/containers/storage/overlay-containers",
    "/var/lib/containers/storage/secrets",
    "/var/lib/containers/storage/libpod",
    "/var/lib/containers/storage/db.sql",
    "/var/lib/docker/containers/*/config.v2.json",
    "/var/lib/docker/swarm",
    "/etc/containers/auth.json",
)
