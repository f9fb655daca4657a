"""What a job ends with when it can't do what it was asked."""

from streamflow_offline.quoting import concealed, revealed


class JobError(Exception):
    """A job refused its input or could not finish; the message says why and what to do, and is all a user needs."""

    def __init__(self, message: str = "") -> None:
        """Create an error; what the message has `quoted` is shown on a terminal and left out of logs."""
        super().__init__(revealed(message))
        self.message = message
        """The message with its quotes marked, for an error that goes on with it."""

    @property
    def logged(self) -> str:
        """The message without what it quotes."""
        return concealed(self.message)
