"""``python -m eventlstm.cli``: the command line without its entry point."""

import sys

from .entry import main

sys.exit(main())
