"""Signals that end a run between two steps, with all work saved."""

import signal


class Signals:
    """SIGINT and SIGTERM, noted instead of obeyed while steps are under way."""

    def __init__(self):
        self.noted = None
        self.handlers = {}

    def begin(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            self.handlers[number] = signal.signal(number, self.note)

    def note(self, number, frame):
        self.noted = number

    def end(self):
        """Restore the handlers, and raise a signal that came but has not stopped the run."""
        while self.handlers:
            signal.signal(*self.handlers.popitem())
        if self.noted is not None:
            number, self.noted = self.noted, None
            signal.raise_signal(number)
