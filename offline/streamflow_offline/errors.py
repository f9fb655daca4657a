"""What a job ends with when it can't do what it was asked."""


class JobError(Exception):
    """A job refused its input or could not finish; the message says why and what to do, and is all a user needs."""
