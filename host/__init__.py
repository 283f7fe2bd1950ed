"""The daemon on the host: settings, host containers, the API, exec. Command `hostd`."""
