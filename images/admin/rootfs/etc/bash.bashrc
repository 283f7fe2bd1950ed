# Interactive shells, of every user. The message of the day is the session's business.
PS1='[\u@admin]\$ '
shopt -s checkwinsize
alias ll='ls -l'
if [ -n "${BASH_VERSION-}" ] && [ -n "${PS1-}" ]; then . /etc/bash_completion.d/sheltie; fi
