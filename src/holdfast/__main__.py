"""``python -m holdfast``, and the command ``holdfast``."""

import signal

# While the rest is loaded, Ctrl-C ends the process without a word: nothing has begun.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from holdfast.main import main  # noqa: E402 - as above

if __name__ == "__main__":
    main()
