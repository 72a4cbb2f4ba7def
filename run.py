"""Serves Simple Batch: python run.py [--host 127.0.0.1] [--port 7861] [--demo]"""

from simple_batch.core.patching import patch_all

patch_all()

import sys

from simple_batch.serve import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
