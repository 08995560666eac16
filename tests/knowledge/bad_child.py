"""A parser process that misbehaves as its request's path says; started by test_extract_worker."""

import ctypes
import os
import sys

from localmind.knowledge.extract_child import allow_cpu, limit_process, read_frame, write_frame

limit_process(int(sys.argv[1]))
source, target = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
while (request := read_frame(source)) is not None:
    match request["path"]:
        case "crash":
            ctypes.string_at(0)
        case "hang":
            os.read(os.pipe()[0], 1)
        case "spin":
            allow_cpu(0)
            while True:
                pass
        case "leave":
            os._exit(3)
        case "bloat":
            try:
                bytearray(3 * 1024**3)
            except MemoryError:
                write_frame(target, {"ok": {"chunks": [], "skip": "no memory"}})
        case "write":
            try:
                with open(os.path.join(os.environ["LOCALMIND_HOME"], "file"), "wb") as stream:
                    stream.write(b"x")
                answer = "written"
            except OSError:
                answer = "not written"
            write_frame(target, {"ok": {"chunks": [], "skip": answer}})
        case path:
            write_frame(target, {"ok": {"chunks": [], "skip": f"{path} by {os.getpid()}"}})
