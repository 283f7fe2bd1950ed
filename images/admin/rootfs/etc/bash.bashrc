# Interactive shells, of every user. The message of the day is the session's business.
PS1='[\u@admin]\$ '
shopt -s checkwinsize
alias ll='ls -l'
