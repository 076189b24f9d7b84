"""What sipcore and the authors of plugins test with."""
