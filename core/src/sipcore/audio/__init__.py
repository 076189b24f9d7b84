"""Audio frames, codecs, resampling and WAV files, sans-I/O."""
