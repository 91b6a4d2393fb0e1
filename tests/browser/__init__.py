"""Tests of the browser example: a package, so that its conftest is not the other folders'."""
