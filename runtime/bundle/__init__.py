"""A bundle's manifest: read, checked, with its checksum."""
