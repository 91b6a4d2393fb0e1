"""A test that is skipped quietly proves nothing: in CI it fails, and every excuse is stated."""

import subprocess
import sys
from pathlib import Path

import pytest
from required import CI, STATED

ROOT = Path(__file__).resolve().parents[2]
FORMS = {
    "test_call.py": "import pytest\ndef test_a(): pytest.skip('no tool')",
    "test_mark.py": "import pytest\n@pytest.mark.skip(reason='no tool')\ndef test_a(): ...",
    "test_if.py": "import pytest\n@pytest.mark.skipif(True, reason='no tool')\ndef test_a(): ...",
    "test_param.py": (
        "import pytest\n@pytest.mark.parametrize('a', [pytest.param(1, marks=pytest.mark.skip("
        "reason='no tool'))])\ndef test_a(a): ..."
    ),
    "test_fixture.py": (
        "import pytest\n@pytest.fixture\ndef tool(): pytest.skip('no tool')\ndef test_a(tool): ..."
    ),
    "test_import.py": (
        "import pytest\npytest.importorskip('no_such_module', reason='no tool')\ndef test_a(): ..."
    ),
    "test_module.py": "import pytest\npytest.skip('no tool', allow_module_level=True)",
}


def run_tests(folder, name, source, monkeypatch, ci):
    """Runs one test file under the hooks of tests/conftest.py; returns the result."""
    (folder / name).write_text(source)
    hooks = (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")
    start = hooks.index("@pytest.hookimpl")
    end = hooks.index("@pytest.fixture(params=ENGINES)")
    (folder / "conftest.py").write_text(
        f"import pytest\nfrom required import fail_in_ci\n{hooks[start:end]}"
    )
    monkeypatch.delenv(CI, raising=False)
    if ci:
        monkeypatch.setenv(CI, "true")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null",
         f"--rootdir={folder}", str(folder / name)],
        capture_output=True, text=True, cwd=folder,
    )  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_a_skip_is_a_failure_in_ci_and_none_elsewhere(name, tmp_path, monkeypatch):
    here = run_tests(tmp_path, name, FORMS[name], monkeypatch, ci=False)
    there = run_tests(tmp_path, name, FORMS[name], monkeypatch, ci=True)

    assert here.returncode in (0, 5) and "1 skipped" in here.stdout, here.stdout
    assert there.returncode in (1, 2) and "no tool" in there.stdout, there.stdout


@pytest.mark.parametrize("reason", STATED)
def test_a_stated_reason_is_a_skip_in_ci_too(reason, tmp_path, monkeypatch):
    source = f"import pytest\ndef test_a(): pytest.skip({reason!r})"

    done = run_tests(tmp_path, "test_a.py", source, monkeypatch, ci=True)

    assert done.returncode == 0 and "1 skipped" in done.stdout, done.stdout


def test_every_stated_reason_is_some_tests():
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]

    for reason in STATED:
        assert any(f'pytest.skip("{reason}")' in text for text in texts), reason


def test_ci_sets_what_makes_a_skip_a_failure():
    assert f"export {CI}=true" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
