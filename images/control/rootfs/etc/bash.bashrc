# Interactive shells: bash reads this by itself, sh through ENV (sessions by SSM are sh).
PS1='[\u@control]\$ '
alias ll='ls -l'
if [ -z "${SHELTIE_MOTD-}" ] && [ -t 1 ]; then
    export SHELTIE_MOTD=shown
    cat /etc/motd
fi
if [ -n "${BASH_VERSION-}" ] && [ -n "${PS1-}" ]; then . /etc/bash_completion.d/sheltie; fi
