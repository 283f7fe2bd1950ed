"""Images on disk: found by reference, checked by digest, unpacked once."""
