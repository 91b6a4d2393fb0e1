"""The phone, seen from the workstation: its Python image and everything that goes over adb."""
