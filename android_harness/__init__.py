"""The workstation's side of a phone: the Python image it runs, and what goes over adb."""
