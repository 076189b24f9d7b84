"""The programs: settings, the server, the phone and the command line."""
