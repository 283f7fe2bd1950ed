"""The commands of `hostd` that look: at the audit, at generations, at events and logs."""
