"""Memory of this process in bytes. Linux keeps the peak of a process across exec in rusage, so the high-water mark is read from /proc there."""
import resource
import sys


def _status(field):
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    raise KeyError(field)


def peak_bytes():
    if sys.platform == "linux":
        return _status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def resident_bytes():
    """Now; where the system does not say, the peak so far."""
    return _status("VmRSS") if sys.platform == "linux" else peak_bytes()
