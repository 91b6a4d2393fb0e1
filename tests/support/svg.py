"""The text of an SVG file."""

from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"


def texts_of(path):
    """Returns all text of an SVG file, which must be well-formed."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == f"{SVG}svg"
    return ["".join(element.itertext()).strip() for element in root.iter(f"{SVG}text")]
