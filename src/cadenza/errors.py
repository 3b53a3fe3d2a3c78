"""The errors a person can act on.

Every message is one line that names the value and the remedy. The command line prints it and exits with 2; anything
else that escapes is a failure of ours (exit code 1).
"""


class CadenzaError(Exception):
    """Base of every error that Cadenza raises on purpose."""


class UserError(CadenzaError, ValueError):
    """Something the caller can put right: a bad argument, file, name or setting."""


class CheckpointError(UserError):
    """A model directory or foreign checkpoint that is missing, corrupt, hostile or of another shape."""
