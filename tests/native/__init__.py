"""Tests of the native program: a package, so that its conftest is not the other folders'."""
