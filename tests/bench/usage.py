"""What processes cost, read from /proc."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")

# /proc/PID/stat after the name, which is in brackets and may hold anything.
STAT_CPU_TICKS: Final = slice(11, 13)  # utime, stime
# /proc/stat: user nice system idle iowait irq softirq steal
MACHINE_BUSY_TICKS: Final = (0, 1, 2, 5, 6, 7)


def family(pid: int) -> list[int]:
    """`pid` and all its descendants."""
    members = [pid]
    for parent in members:  # grows while it is walked
        for children in PROC.glob(f"{parent}/task/*/children"):
            members += map(int, children.read_text().split())
    return members


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its descendants."""
    return sum(map(_cpu_ticks, family(pid))) / TICKS_PER_SECOND


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and its descendants."""
    return sum(map(_resident_pages, family(pid))) * PAGE_BYTES


def peak_resident_bytes(pid: int) -> int:
    """The most memory a process has held so far."""
    for line in (PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)  # it has ended, and nobody has asked for its status


def waited_cpu_seconds() -> float:
    """User and system time of this process's children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def machine_cpu_seconds() -> float:
    """Time all cores have been busy since the machine started."""
    ticks = (PROC / "stat").read_text().split("\n", 1)[0].split()[1:]
    return sum(int(ticks[i]) for i in MACHINE_BUSY_TICKS) / TICKS_PER_SECOND


def listener_pid(port: int) -> int | None:
    """The process that listens on a TCP port here, if we may know."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for link in PROC.glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) in sockets:
                return int(link.parts[2])
        except OSError:
            continue  # it ended, or belongs to somebody else
    return None


def _listening_inodes(port: int) -> list[str]:
    """From /proc/net/tcp: local address, state (0A: LISTEN) and inode."""
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in (PROC / "net" / table).read_text().splitlines()[1:]
    ]
    local = f":{port:04X}"
    return [row[9] for row in rows if row[1].endswith(local) and row[3] == "0A"]


def _cpu_ticks(pid: int) -> int:
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[STAT_CPU_TICKS]))


def _resident_pages(pid: int) -> int:
    return int((PROC / str(pid) / "statm").read_text().split()[1])
