"""docs/architecture.md shows the tree as it is."""

import re

import pages

PACKAGES = ("runtime", "tflite_models", "export", "benchmarks", "android_harness")


def test_the_tree_names_every_room_of_every_package_and_no_other():
    text = (pages.ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    tree = re.search(r"## The tree\n.*?```text\n(.*?)```", text, re.S)[1]

    assert rooms_in(tree) == rooms_on_disk()


def rooms_in(tree):
    """Returns the packages and their rooms as `package/room`; a room is indented by two."""
    rooms, package = set(), ""
    for line in tree.splitlines():
        names = re.findall(r"(?<!\S)([\w/]+)/(?!\S)", line[: line.find("   ")] + " ")
        if not line.startswith(" "):
            package = names[0]
            names = []
        rooms |= {f"{package}/{name}" for name in names}
    return {room for room in rooms if room.split("/")[0] in PACKAGES}


def rooms_on_disk():
    """Returns every folder with an `__init__.py` inside a package, and the bundled checkpoints."""
    inside = [path for package in PACKAGES for path in (pages.ROOT / package).rglob("__init__.py")]
    rooms = {str(path.parent.relative_to(pages.ROOT)) for path in inside}
    return rooms - set(PACKAGES) | {"tflite_models/roberta_micro", "tflite_models/opt_micro"}
