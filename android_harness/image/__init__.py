"""The folder that a phone runs from: Debian's loader and Python, wheels, the runtime."""
