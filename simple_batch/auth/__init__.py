"""Who may do what: the guard of every request, sessions, users, passwords, tokens, the audit log."""
