"""`python -m unsee_verify`."""

import sys

from unsee_verify.cli import main

sys.exit(main())
