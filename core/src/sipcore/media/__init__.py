"""The media engine: a process of its own that owns every RTP socket and the 20 ms clock."""
