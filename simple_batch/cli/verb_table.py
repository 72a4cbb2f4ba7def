"""The verbs of the program simple-batch. Each is loaded when it is called: the help needs none of them."""

from typing import NamedTuple


class Verb(NamedTuple):
    name: str  # of two words in a group
    place: str  # module of this package and attribute
    help: str
    makes_calls: bool = False  # needs a process patched by gevent

    @property
    def flask(self) -> str:
        """The flask command that it is."""
        return self.place.partition(".")[2].replace("_", "-")


class Section(NamedTuple):
    title: str
    verbs: tuple[Verb, ...]


SECTIONS = (
    Section(
        "Start",
        (
            Verb("serve", "serving.serve", "Open the pages in a browser, and run jobs.", True),
            Verb("demo", "demo.demo", "Try it: a job of example questions, no key needed.", True),
            Verb(
                "run", "run_verb.run_job", "Send a file of prompts, and wait for the answers.", True
            ),
            Verb("doctor", "doctor.doctor", "Check this installation, and say what to do.", True),
        ),
    ),
    Section(
        "Jobs",
        (
            Verb("ls", "job_figures.list_jobs", "List jobs, newest first."),
            Verb("show", "job_figures.show_job", "Show the figures of a job."),
            Verb("watch", "run.watch_job", "Follow a job that runs elsewhere."),
            Verb("logs", "logs.logs", "Show what happened to a job, and its failures."),
            Verb("pause", "jobs.pause_job", "Pause a job: no new calls."),
            Verb("resume", "jobs.resume_job", "Resume a paused job."),
            Verb("cancel", "jobs.cancel_job", "Cancel a job; finished answers are kept."),
            Verb("retry", "jobs.retry_job", "Send failed requests again."),
            Verb("export", "export.export_job", "Write the results of a job to a file."),
            Verb("rm", "deletion.delete_job", "Delete a job; restore brings it back."),
            Verb("restore", "deletion.restore_job", "Restore a deleted job."),
            Verb("create", "jobs.create_job", "Create a job and do not wait for it."),
            Verb("reset", "jobs.reset_job", "Delete the results of a job, to start again."),
            Verb("share", "jobs.share_job", "Set who else sees a job."),
            Verb("tag", "jobs.tag_job", "Add and remove tags of a job."),
            Verb("send-rest", "jobs.send_rest_now", "Send by calls what waits in batches."),
        ),
    ),
    Section(
        "APIs and templates",
        (
            Verb("api add", "configs.add_config", "Save the connection to an API."),
            Verb("api ls", "configs.list_configs", "List the connections."),
            Verb("api edit", "configs.edit_config", "Change a connection."),
            Verb("api test", "configs.test_config", "Make a few small calls.", True),
            Verb("api rm", "configs.remove_config", "Delete a connection."),
            Verb("api providers", "gallery.list_providers", "List the known providers."),
            Verb("template save", "templates.save_template", "Save a template."),
            Verb("template ls", "templates.list_templates", "List the saved templates."),
            Verb("template show", "templates.show_template", "Print a saved template."),
            Verb("template rm", "templates.remove_template", "Delete a saved template."),
        ),
    ),
    Section(
        "Users and programs",
        (
            Verb("user add", "users.create_user", "Create a user."),
            Verb("user ls", "users.list_users", "List the users."),
            Verb("user password", "users.set_password", "Change a user's password."),
            Verb("user role", "users.set_role", "Change a user's role."),
            Verb("user disable", "users.disable_user", "Disable a user."),
            Verb("user enable", "users.enable_user", "Enable a disabled user."),
            Verb("user rm", "users.remove_user", "Delete a user."),
            Verb("user log", "users.audit_log", "Print the audit log."),
            Verb("token add", "access.create_token", "Create an access token."),
            Verb("token ls", "access.list_tokens", "List the tokens."),
            Verb("token revoke", "access.revoke_token", "Revoke a token."),
            Verb("webhook add", "access.create_webhook", "Notify a URL when jobs end."),
            Verb("webhook ls", "access.list_webhooks", "List the webhooks."),
            Verb("webhook rm", "access.remove_webhook", "Delete a webhook."),
        ),
    ),
    Section(
        "Data and shell",
        (
            Verb(
                "completion", "completion.completion", "Print the script that completes in a shell."
            ),
            Verb("backup make", "maintenance.backup_db", "Back the database up."),
            Verb("backup restore", "maintenance.restore_db", "Replace the database with a backup."),
            Verb("db copy", "copy_db.copy_db", "Copy all rows into another database."),
            Verb("db clean", "maintenance.clean", "Delete data by the retention rules."),
            Verb("db rotate-key", "maintenance.rotate_key", "Encrypt the secrets with a new key."),
        ),
    ),
)
GROUPS = {
    "api": "Add, list, edit, test and remove connections to APIs.",
    "template": "Save, list, show and remove templates.",
    "user": "Manage users, and print the audit log.",
    "token": "Manage access tokens for programs.",  # nosec B105 - a help text
    "webhook": "Manage notifications when jobs end.",
    "backup": "Back the database up, and restore it.",
    "db": "Copy, clean and re-encrypt the database.",
}
VERBS = tuple(verb for section in SECTIONS for verb in section.verbs)
# says itself what is wrong with the settings
WITHOUT_SETTINGS = frozenset({"doctor"})
WITHOUT_DATABASE = frozenset({"serve", "doctor", "completion", "api providers", "backup restore"})
