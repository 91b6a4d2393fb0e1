"""A phone over adb: paths, files, jobs, and checks of the phone."""
