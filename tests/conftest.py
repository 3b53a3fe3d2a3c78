"""What every test runs under: one thread per process, shapes checked at every call."""

import os

# Before torch is imported anywhere: tests are many and tiny, and a second thread costs more than it gives.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # tests marked `network` remove it for themselves

from jaxtyping import install_import_hook

install_import_hook("cadenza", "typecheck.check")
