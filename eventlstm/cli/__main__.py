"""``python -m eventlstm.cli``: the command line without its entry point."""

import sys

from .parser import main

sys.exit(main())
