"""The page for app developers as text; tests/kotlin compiles and runs its code."""

import kotlin_page

MOST_COLUMNS, MOST_LINES = 100, 150
FILES = (
    "App.kt", "Files.kt", "Bundle.kt", "PackedWeights.kt", "Rows.kt", "Model.kt", "Noise.kt",
    "Mezo.kt", "Journal.kt", "Run.kt", "Writer.kt", "Gpu.kt",
)  # fmt: skip


def page() -> str:
    """Returns the page."""
    return kotlin_page.PAGE.read_text(encoding="utf-8")


def test_every_block_of_kotlin_is_a_file_that_the_tests_compile():
    files = kotlin_page.cut(page())

    assert tuple(files) == FILES
    assert page().count("```kotlin\n") == len(files)


def test_a_file_is_a_concept_of_a_few_screens():
    for name, code in kotlin_page.cut(page()).items():
        lines = code.splitlines()
        assert len(lines) <= MOST_LINES, name
        assert [line for line in lines if len(line) > MOST_COLUMNS] == [], name


def test_the_top_says_what_was_run_and_what_was_not():
    top = page().partition("\n## ")[0]

    assert "JVM" in top and "stand-ins" in top and "**Untested**: a phone, an APK" in top
