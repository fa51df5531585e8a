"""Name the one exception that becomes one line on the terminal."""


class UserError(Exception):
    """Say what the user can change: a setting, a file, a key. Exit code 2."""
