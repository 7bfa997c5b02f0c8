"""Without its extra the room says what is missing."""

from __future__ import annotations

import subprocess
import sys


def test_without_httpx2_the_extra_is_named():
    code = "import sys; sys.modules['httpx2'] = None\nfrom penstock import ServiceClient"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert 'pip install "penstock[client]"' in run.stderr


def test_policies_need_no_http_client():
    code = (
        "import sys\nfrom penstock import Policy, Retry\nPolicy('a', Retry()).call(int, '1')\n"
        "print([n for n in ('httpx2', 'httpx', 'aiohttp', 'http') if n in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
