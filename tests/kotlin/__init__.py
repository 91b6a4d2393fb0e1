"""Tests of the Kotlin page: a package, so that its conftest is not the other folders'."""
