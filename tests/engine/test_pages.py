"""Large pages: asked for before the first large tensor, unless the user has chosen."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")
PROGRAM = """
from cadenza.engine.pages import prefer_large_pages
{first}
import torch
block = torch.ones(1 << 25)
sizes = [line.split()[1] for line in open("/proc/self/smaps_rollup") if line.startswith("AnonHugePages")]
print(sum(map(int, sizes)) * 1024 >= block.nbytes // 2)
"""


@pytest.mark.skipif(
    not ENABLED.is_file() or "[madvise]" not in ENABLED.read_text(), reason="Linux gives no large pages on request"
)
@pytest.mark.parametrize(
    ("first", "chosen", "is_large"),
    [
        ("prefer_large_pages()", {}, True),
        ("", {}, False),
        ("prefer_large_pages()", {"THP_MEM_ALLOC_ENABLE": "0"}, False),
    ],
)
def test_large_tensors_lie_in_large_pages(first: str, chosen: dict[str, str], is_large: bool) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "THP_MEM_ALLOC_ENABLE"} | chosen
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(first=first)], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == str(is_large)
