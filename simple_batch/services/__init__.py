"""What a user can do, the same from a page, a command or the API: jobs, configs, uploads, backups."""
