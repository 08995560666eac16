"""The microphone of whoever sits at the terminal: opened by the command line and the terminal app, never by the daemon.

`open_capture` gives a Capture, which yields sound as the daemon takes it. Importing this package loads no native code.
"""

from localmind.microphone.capture import Capture, loudness_db, meter
from localmind.microphone.device import Device, devices, open_capture
from localmind.microphone.recording import FileCapture

__all__ = ["Capture", "Device", "FileCapture", "devices", "loudness_db", "meter", "open_capture"]
