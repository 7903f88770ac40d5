"""Import me first: libraries count their threads when they load, and here each has one."""

import os

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLOSC_NTHREADS")
for _name in THREADS:
    os.environ[_name] = "1"
# SVT-AV1 tells of itself otherwise.
os.environ["SVT_LOG"] = "1"
