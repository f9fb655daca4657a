"""What a call fails with."""


class CallError(Exception):
    """A call got no reply, or a wrong one."""

    def __init__(self, code: str, message: str = "") -> None:
        """Creates an error whose `code` is the same for calls that fail in the same way."""
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
