"""Recordings beside a stream: original and translated in one picture, in segments that play after a power cut.

options.py says what is kept; recorder.py takes frames from the stream; fragments.py encodes them; events.py knows what
is worth keeping; segment.py writes a file so that no cut harms more than its last second; archive.py removes the
oldest; start.py joins it all with a command.
"""
