# SPDX-License-Identifier: GPL-2.0-only
"""
A machine without a guest: memory, the test device and the monitor, driven
through QEMU's qtest protocol.  What the tests of the models share.
"""

import os
import subprocess
import sys

K4, M2, G1 = 1 << 12, 1 << 21, 1 << 30
ANY = 0xffffffff

EV_TRANS, EV_ATS, EV_WALK, EV_HIT = 0x200, 0x201, 0x202, 0x203
EV_RAISED, EV_RECORDED, EV_COLLAPSED, EV_LOST = range(0x210, 0x214)

OK, READ_FAULT, WRITE_FAULT = 1, 8, 9
F_EXEC, F_PRIV, F_NO_ATS = 4, 8, 16


class Failed(Exception):
    pass


def same(what, got, want):
    if got != want:
        def show(v):
            return hex(v) if isinstance(v, int) else repr(v)
        raise Failed("%s is %s, not %s" % (what, show(got), show(want)))


class Bare:
    """
    A machine says where things are: ECAM, the BARs PTD and IMON, the devfns,
    and TOP, the memory that page() hands out.
    """

    ECAM = PTD = IMON = TOP = None
    PTD_DEVFN, IMON_DEVFN = 0x40, 0x48

    def __init__(self, args):
        self.log = open(os.environ.get("QTEST_LOG", os.devnull), "a",
                        encoding="ascii")
        self.p = subprocess.Popen(
            args + ["-nodefaults", "-no-user-config", "-display", "none",
                    "-accel", "qtest", "-qtest", "stdio", "-qtest-log",
                    "none"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
            text=True)
        self.top = self.TOP

    def find_devices(self):
        """Once configuration space can be reached"""
        for devfn, bar in ((self.PTD_DEVFN, self.PTD),
                           (self.IMON_DEVFN, self.IMON)):
            self.writel(self.cfg(devfn, 0x10), bar)
            self.writew(self.cfg(devfn, 4), 6)
        self.caps = {}
        cap = 0x100
        while cap:
            head = self.readl(self.cfg(self.PTD_DEVFN, cap))
            self.caps[head & 0xffff] = cap
            cap = head >> 20
        # PASID, with execute and privileged
        self.writew(self.cfg(self.PTD_DEVFN, self.caps[0x1b] + 6), 7)
        for q in (0, 1):
            self.writel(self.PTD + 0x1000 * (1 + q), 1)

    def close(self):
        self.p.stdin.close()
        self.p.stdout.close()
        self.p.kill()
        self.p.wait()
        self.log.close()

    def cmd(self, s):
        return self.cmds(s)[0]

    def cmds(self, *cmds):
        """Written at once: nothing of the machine runs in between"""
        self.p.stdin.write("".join(s + "\n" for s in cmds))
        self.p.stdin.flush()
        return [self.reply(s) for s in cmds]

    def reply(self, s):
        while True:
            line = self.p.stdout.readline()
            if not line:
                raise Failed("QEMU is gone after '%s'" % s)
            if line.startswith("IRQ"):
                continue
            if not line.startswith("OK"):
                raise Failed("'%s' gives %s" % (s, line.strip()))
            return line[3:].strip()

    def writew(self, a, v):
        self.cmd("writew %#x %#x" % (a, v))

    def writel(self, a, v):
        self.cmd("writel %#x %#x" % (a, v & 0xffffffff))

    def writeq(self, a, v):
        self.cmd("writeq %#x %#x" % (a, v & (1 << 64) - 1))

    def readw(self, a):
        return int(self.cmd("readw %#x" % a), 16)

    def readl(self, a):
        return int(self.cmd("readl %#x" % a), 16)

    def readq(self, a):
        return int(self.cmd("readq %#x" % a), 16)

    def cfg(self, devfn, reg):
        return self.ECAM + (devfn << 12) + reg

    def page(self, size=K4):
        """Zeroed memory, aligned to its size"""
        a = (self.top + size - 1) & ~(size - 1)
        self.top = a + size
        if size <= 1 << 17:
            self.cmd("memset %#x %#x 0" % (a, size))
        return a

    # The monitor

    def count(self, event, pasid=ANY, sid=ANY):
        self.writel(self.IMON + 0x20, event)
        self.writel(self.IMON + 0x24, sid)
        self.writel(self.IMON + 0x28, pasid)
        return self.readq(self.IMON + 0x30)

    # The device

    def submit(self, op, pasid=None, flags=0, src=0, dst=0, imm=0, length=0,
               q=0):
        page = self.PTD + 0x1000 * (1 + q)
        d = (op | flags << 32,
             (pasid | 1 << 31 if pasid is not None else 0) | 7 << 32,
             src, dst, imm, 0, length, 0)
        for i, v in enumerate(d):
            self.writeq(page + 0x40 + i * 8, v)
        self.writel(page + 0xc, 1)

    def done(self, q=0):
        return self.readl(self.PTD + 0x1000 * (1 + q) + 0x80)

    def result(self, q=0):
        page = self.PTD + 0x1000 * (1 + q)
        for _ in range(2000):
            if self.done(q):
                break
        else:
            raise Failed("the device does not complete")
        st = self.readl(page + 0xa0 + 28)
        res = self.readq(page + 0xa0 + 16)
        self.writel(page + 0x84, 1)
        return st, res

    def op(self, *args, **kw):
        self.submit(*args, **kw)
        return self.result(kw.get("q", 0))

    def fill(self, pasid, addr, val, flags=F_NO_ATS):
        return self.op(2, pasid, flags, dst=addr, imm=val, length=8)[0]

    def crc(self, pasid, addr, flags=F_NO_ATS):
        return self.op(4, pasid, flags, src=addr, length=8)[0]

    def add(self, pasid, addr, val, flags=F_NO_ATS):
        return self.op(5, pasid, flags, dst=addr, imm=val, length=8)

    def sees(self, pasid, addr, want, flags=F_NO_ATS):
        """Reads and writes through the device, status and value"""
        st, old = self.add(pasid, addr, 0, flags)
        same("status", st, OK)
        same("value", old, want)

    def ats(self, on=True):
        self.writew(self.cfg(self.PTD_DEVFN, self.caps[0xf] + 6),
                    0x8000 if on else 0)


tests = []


def test(props=""):
    """A test of the script, with more PROPS of the model"""
    def deco(f):
        tests.append((f.__name__, f, props))
        return f
    return deco


def run(prefix, machine, doc):
    """Each test has a machine of its own"""
    if len(sys.argv) < 2:
        sys.exit(doc.strip())
    todo = [t for t in tests if not sys.argv[2:] or t[0] in sys.argv[2:]]
    print("KTAP version 1")
    print("1..%d" % len(todo))
    bad = 0
    for i, (name, func, props) in enumerate(todo, 1):
        m = None
        try:
            m = machine(sys.argv[1], props)
            func(m)
            print("ok %d %s.%s" % (i, prefix, name), flush=True)
        except Failed as e:
            bad += 1
            print("# %s: %s" % (name, e))
            tb = e.__traceback__
            while tb:
                print("#   line %d" % tb.tb_lineno)
                tb = tb.tb_next
            print("not ok %d %s.%s" % (i, prefix, name), flush=True)
        finally:
            if m:
                m.close()
    sys.exit(1 if bad else 0)
