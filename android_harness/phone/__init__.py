"""A phone over adb: its folders, files, jobs, and what is wrong with it."""
