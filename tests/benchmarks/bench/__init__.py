"""Tests of the bench: a package, so that its conftest is not the other folders'."""
