#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""
Tests of the VT-d model without a guest kernel: the tables are written by hand,
straight from the specification, so that model and driver cannot agree on a
mistake.  Talks to QEMU through its qtest protocol; prints KTAP.

    vtd.py QEMU [TEST...]
"""

import sys

from bare import (Bare, Failed, same, run, test, K4, M2, G1, OK, READ_FAULT,
                  WRITE_FAULT, F_EXEC, F_PRIV, F_NO_ATS, EV_ATS,
                  EV_WALK, EV_HIT, EV_RAISED, EV_RECORDED, EV_COLLAPSED,
                  EV_LOST)

VTD = 0xfed90000
PTD = 0xfe800000		# BAR0 of the test device
IMON = 0xfe900000		# BAR0 of the monitor
PTD_DEVFN = SID = Bare.PTD_DEVFN

# Registers, spec 11.4
GCMD, GSTS, RTADDR, FSTS, FECTL = 0x18, 0x1c, 0x20, 0x34, 0x38
IQH, IQT, IQA, IQER = 0x80, 0x88, 0x90, 0xb0
PQH, PQT, PQA, PRS, PECTL = 0xc0, 0xc8, 0xd0, 0xdc, 0xe0
IRTA = 0xb8
PPR, PRO = 1, 2
IM, IP = 1 << 31, 1 << 30
TE, SRTP, QIE = 1 << 31, 1 << 30, 1 << 26
PFO, PPF, IQE, ITE = 1, 2, 1 << 4, 1 << 6

CC, IOTLB, DTLB, IEC, WAIT, PIOTLB, PC, PDTLB, PGRP = range(1, 10)
EV_RECEIVED, EV_QUEUED, EV_DROPPED, EV_REFUSED = range(0x230, 0x234)
EV_ANSWERED, EV_AUTO = 0x240, 0x250

F_NO_PRI, F_GROUP = 32, 64

# Page requests of the test device, and their answers
CNT_PR, CNT_GROUP, CNT_OK, CNT_INVALID, CNT_FAILURE, CNT_STRAY = \
    range(0x150, 0x180, 8)
PR_READ, PR_WRITE, PR_EXEC, PR_PRIV, PR_LAST, PR_EACH = 1, 2, 4, 8, 16, 32
PRI_RF, PRI_UPRGI, PRI_STOPPED, PRI_PASID = 1, 2, 1 << 8, 1 << 15
SUCCESS, INVALID, FAILURE = 0, 1, 15

R, W, X = 1, 2, 4
P, RW, US, A, D, PS, XD = 1, 2, 4, 1 << 5, 1 << 6, 1 << 7, 1 << 63
FS, SS, NEST, PT = 1, 2, 3, 4
FPD = 2
SRE, ERE, WPE, NXE, SMEP, EAFE = 1, 2, 16, 32, 64, 128
MASK52 = (1 << 52) - K4
CANON = 0xffff000000000000

# Guest-physical addresses of nested tests are host-physical ones plus this
GPA_OFF = 0x40000000


# What vtd-model.rst lists, and what the tests have seen of it
REASONS = {*range(0x20, 0x25), 0x26, 0x31, *range(0x38, 0x3b),
           *range(0x40, 0x43), *range(0x44, 0x49), *range(0x50, 0x53),
           *range(0x58, 0x5e), *range(0x70, 0x7c), *range(0x80, 0x88)}
reasons = set()


class Machine(Bare):
    ECAM, PTD, IMON, TOP = 0xb0000000, PTD, IMON, 0x2000000

    def __init__(self, qemu, props=""):
        super().__init__([
            qemu, "-machine", "q35,kernel-irqchip=split", "-m", "1G",
            "-L", "/usr/share/seabios",
            "-device", "intel-iommu,intremap=on,device-iotlb=on,"
            "x-scalable-mode=on,x-nesting=on,aw-bits=48" + props,
            "-device", "pasid-testdev,addr=8", "-device",
            "iommu-monitor,addr=9"])
        # The region for the extended configuration space
        self.cmd("outl 0xcf8 0x80000064")
        self.cmd("outl 0xcfc 0x0")
        self.cmd("outl 0xcf8 0x80000060")
        self.cmd("outl 0xcfc %#x" % (self.ECAM | 1))
        self.find_devices()
        self.root = self.page()
        self.ctx = self.page()
        self.dir = self.page(1 << 17)
        self.iq = self.page()
        self.status = self.page()
        self.tail = self.tag = 0
        self.writeq(self.root, self.ctx | 1)
        self.prq = self.prq_mask = 0

    def flr(self):
        cap = self.readl(self.cfg(PTD_DEVFN, 0x34)) & 0xff
        while self.readl(self.cfg(PTD_DEVFN, cap)) & 0xff != 0x10:
            cap = self.readl(self.cfg(PTD_DEVFN, cap)) >> 8 & 0xff
        self.writew(self.cfg(PTD_DEVFN, cap + 8), 1 << 15)

    # Tables

    def context(self, lo=None, hi=0, pdts=7):
        """lo: bits besides the address; default P, DTE, PASIDE"""
        if lo is None:
            lo = 1 | 1 << 2 | 1 << 3
        self.writeq(self.ctx + SID * 32, self.dir | lo | pdts << 9)
        self.writeq(self.ctx + SID * 32 + 8, hi)

    def pe_addr(self, pasid):
        d = self.dir + (pasid >> 6) * 8
        v = self.readq(d)
        if not v & 1:
            v = self.page() | 1
            self.writeq(d, v)
        return (v & MASK52) + (pasid & 63) * 64

    def pe(self, pasid, pgtt, did=1, ss=0, fs=0, aw=2, val0=1, val1=0,
           val2=0):
        a = self.pe_addr(pasid)
        self.writeq(a, 0)
        self.writeq(a + 8, did | val1)
        self.writeq(a + 16, fs | val2)
        self.writeq(a, ss | pgtt << 6 | aw << 2 | val0)

    def _map(self, root, addr, target, leaf, size, table):
        t = root
        level = 4
        want = {K4: 1, M2: 2, G1: 3}[size]
        while level > want:
            slot = t + (addr >> 12 + 9 * (level - 1) & 511) * 8
            v = self.readq(slot)
            if not v & 3:
                v = self.page() | table
                self.writeq(slot, v)
            t = v & MASK52
            level -= 1
        slot = t + (addr >> 12 + 9 * (level - 1) & 511) * 8
        self.writeq(slot, target | leaf | (PS if size != K4 else 0))
        return slot

    def ss_map(self, root, gpa, hpa, perm=R | W, size=K4):
        return self._map(root, gpa, hpa, perm, size, R | W | X)

    def fs_map(self, root, va, pa, bits=P | RW | US, size=K4):
        return self._map(root, va, pa, bits, size, P | RW | US)

    # Registers

    def enable(self, scalable=True):
        self.writeq(VTD + RTADDR, self.root | (1 << 10 if scalable else 0))
        self.writel(VTD + GCMD, SRTP)
        self.writeq(VTD + IQA, self.iq | 1 << 11)
        self.writeq(VTD + IQT, 0)
        self.writel(VTD + GCMD, QIE)
        self.writel(VTD + GCMD, QIE | TE)
        same("GSTS", self.readl(VTD + GSTS) & (TE | QIE), TE | QIE)

    def put(self, *descs):
        """Write them into the queue; returns what IQT has to be then"""
        for d in descs:
            d = tuple(d) + (0,) * (4 - len(d))
            for i, v in enumerate(d):
                self.writeq(self.iq + self.tail * 32 + i * 8, v)
            self.tail = (self.tail + 1) % 128
        return self.tail << 5

    def post(self, *descs):
        """Without looking what became of them"""
        self.writeq(VTD + IQT, self.put(*descs))

    def wait(self):
        self.tag += 1
        return (WAIT | 1 << 5 | self.tag << 32, self.status)

    def inv(self, *descs):
        self.post(*descs, self.wait())
        same("FSTS", self.readl(VTD + FSTS) & (IQE | ITE), 0)
        same("wait status", self.readl(self.status), self.tag)

    def drain(self):
        """For x-async-queue=on"""
        for _ in range(1000):
            if self.readl(self.status) == self.tag:
                return
        raise Failed("the queue does not get to the wait")

    def faults(self):
        """Records pending, cleared as read"""
        cap = self.readq(VTD + 8)
        base = VTD + (cap >> 24 & 0x3ff) * 16
        n = (cap >> 40 & 0xff) + 1
        i = self.readl(VTD + FSTS) >> 8 & 0xff
        out = []
        for _ in range(n):
            lo, hi = self.readq(base + i * 16), self.readq(base + i * 16 + 8)
            if not hi >> 63:
                break
            self.writel(base + i * 16 + 12, 1 << 31)
            reasons.add(hi >> 32 & 0xff)
            out.append({
                "addr": lo, "sid": hi & 0xffff, "reason": hi >> 32 & 0xff,
                "pasid": hi >> 40 & 0xfffff if hi >> 31 & 1 else None,
                "read": hi >> 62 & 1, "at": hi >> 60 & 3,
                "exe": hi >> 30 & 1, "priv": hi >> 29 & 1,
                "t2": hi >> 28 & 1})
            i = (i + 1) % n
        return out

    def fault(self, reason, pasid, addr, read):
        f = self.faults()
        same("number of faults", len(f), 1)
        same("reason", f[0]["reason"], reason)
        same("PASID", f[0]["pasid"], pasid)
        same("address", f[0]["addr"], addr)
        same("read", f[0]["read"], read)
        same("source", f[0]["sid"], SID)
        return f[0]

    def refused(self, reason, pasid, addr, write=False, flags=F_NO_ATS):
        """One access that fails, and the one fault it leaves"""
        if write:
            same("status", self.fill(pasid, addr, 1, flags), WRITE_FAULT)
        else:
            same("status", self.crc(pasid, addr, flags), READ_FAULT)
        return self.fault(reason, pasid, addr, int(not write))

    # Page requests

    def pri(self, size=0, alloc=64, pre=1, **kw):
        """Everything page requests need, on a queue of 128 << size"""
        self.context(lo=1 | 1 << 2 | 1 << 3 | pre << 4, **kw)
        self.ats()
        self.prq = self.page(K4 << size)
        self.prq_mask = (K4 << size) - 1
        self.writeq(VTD + PQA, self.prq | size)
        self.writel(self.pri_cap() + 0xc, alloc)
        self.writew(self.pri_cap() + 4, 1)

    def pri_cap(self):
        return self.cfg(PTD_DEVFN, self.caps[0x13])

    def pending(self):
        return (self.readl(VTD + PQT) - self.readl(VTD + PQH) &
                self.prq_mask) // 32

    def requests(self, n=1):
        """Wait for n page requests, take them out of the queue"""
        for _ in range(2000):
            if self.pending() >= n:
                break
        same("page requests", self.pending(), n)
        out = []
        head = self.readl(VTD + PQH)
        for _ in range(n):
            lo, hi, d2, d3 = (self.readq(self.prq + head + i)
                              for i in range(0, 32, 8))
            same("type", lo & 0xff, 1)
            same("words 2 and 3", d2 | d3, 0)
            out.append({
                "pasid": lo >> 32 & 0xfffff if lo >> 8 & 1 else None,
                "sid": lo >> 16 & 0xffff, "exe": lo >> 52 & 1,
                "priv": lo >> 53 & 1, "perm": hi & 3, "last": hi >> 2 & 1,
                "prgi": hi >> 3 & 511, "addr": hi & ~0xfff})
            head = head + 32 & self.prq_mask
        self.writel(VTD + PRS, PPR)
        self.writeq(VTD + PQH, head)
        return out

    def request(self, pasid, addr, perm):
        """The one page request there is"""
        r = self.requests()[0]
        same("PASID", r["pasid"], pasid)
        same("address", r["addr"], addr & ~0xfff)
        same("permissions", r["perm"], perm)
        same("source", r["sid"], SID)
        same("last", r["last"], 1)
        return r

    def answer(self, r, code=SUCCESS):
        self.inv(pgrp(r["pasid"], r["prgi"], code))

    def send(self, pasid, addr, flags, prgi=0, n=1):
        self.writeq(PTD + 0x200, addr)
        self.writel(PTD + 0x208, pasid | 1 << 31 if pasid is not None else 0)
        self.writel(PTD + 0x20c, flags | prgi << 16)
        self.writel(PTD + 0x210, n)

    def responses(self):
        """What the device was told: PASID, index, code, stray"""
        out = []
        while self.readl(PTD + 0x220):
            r = self.readq(PTD + 0x228)
            out.append((r >> 32 & 0xfffff if r >> 61 & 1 else None,
                        r & 0x1ff, r >> 16 & 15, r >> 62 & 1))
            self.writel(PTD + 0x224, 1)
        return out

    def books(self):
        same("books of page requests", self.count(EV_RECEIVED),
             self.count(EV_QUEUED) + self.count(EV_DROPPED) +
             self.count(EV_REFUSED))
        same("books of faults", self.count(EV_RAISED),
             self.count(EV_RECORDED) + self.count(EV_COLLAPSED) +
             self.count(EV_LOST))


# Descriptors, spec 6.5.2

def cc_dev(sid=SID):
    return (CC | 3 << 4 | sid << 32,)


def pc(did, pasid):
    return (PC | 1 << 4 | did << 16 | pasid << 32,)


def iotlb_dom(did):
    return (IOTLB | 2 << 4 | did << 16,)


def iotlb_page(did, addr, am=0, ih=0):
    return (IOTLB | 3 << 4 | did << 16, addr | ih << 6 | am)


def piotlb(did, pasid):
    return (PIOTLB | 2 << 4 | did << 16 | pasid << 32,)


def piotlb_page(did, pasid, addr, am=0, ih=0):
    return (PIOTLB | 3 << 4 | did << 16 | pasid << 32, addr | ih << 6 | am)


def dtlb(sid=SID, addr=(1 << 63) - K4, s=1):
    return (DTLB | sid << 32, addr | s)


def pdtlb(pasid, sid=SID, addr=(1 << 63) - K4, s=1, g=0):
    return (PDTLB | sid << 16 | pasid << 32, addr | s << 11 | g)


def pgrp(pasid, prgi, code=SUCCESS, sid=SID, last=1):
    return (PGRP | (0 if pasid is None else 1 << 4 | pasid << 32) |
            code << 12 | sid << 16, prgi << 3 | last << 2)


class Nest:
    """A PASID nested on a stage 2 that maps its pages, plus GPA_OFF"""

    def __init__(self, m, pasid=5, did=9, va=0x7f0000123000, val2=0,
                 val0=1):
        self.m, self.pasid, self.did, self.va = m, pasid, did, va
        self.ss = m.page()
        self.fs = m.page()
        self.data = m.page()
        self.slots = {}
        m.context()
        self.add_page(self.data)
        self.slot = self.map(va, self.data)
        m.pe(pasid, NEST, did, ss=self.ss, fs=self.fs + GPA_OFF, val2=val2,
             val0=val0)
        m.writeq(self.data, 0x1111)

    def add_page(self, hpa, perm=R | W):
        gpa = hpa + GPA_OFF
        self.slots[hpa] = self.m.ss_map(self.ss, gpa, hpa, perm)
        return gpa

    def map(self, va, hpa, bits=P | RW | US):
        """First stage; its tables become known to the second stage"""
        m, t = self.m, self.fs
        self.add_page(t)
        for level in (4, 3, 2):
            slot = t + (va >> 12 + 9 * (level - 1) & 511) * 8
            v = m.readq(slot)
            if not v & P:
                n = m.page()
                m.writeq(slot, self.add_page(n) | P | RW | US)
                t = n
            else:
                t = (v & MASK52) - GPA_OFF
        slot = t + (va >> 12 & 511) * 8
        m.writeq(slot, hpa + GPA_OFF | bits)
        return slot


# Translation

@test()
def second_stage_rid(m):
    ss, data = m.page(), m.page()
    m.context()
    m.ss_map(ss, 0x123000, data)
    m.pe(0, SS, 3, ss=ss)
    m.enable()
    same("status", m.fill(None, 0x123010, 0xabcd), OK)
    same("memory", m.readq(data + 0x10), 0xabcd)
    m.refused(0x79, None, 0x124000, True)


@test()
def second_stage_pasid_three_levels(m):
    ss, data = m.page(), m.page()
    m.context()
    # A 39-bit table is what hangs below one entry of a 48-bit one.
    m.ss_map(ss, 0x123000, data)
    m.pe(7, SS, 3, ss=m.readq(ss) & MASK52, aw=1)
    m.enable()
    same("status", m.fill(7, 0x123010, 0xabcd), OK)
    same("memory", m.readq(data + 0x10), 0xabcd)
    m.refused(0x83, 7, 1 << 39)


@test()
def first_stage_pasid(m):
    fs, data = m.page(), m.page()
    va = 0xffff800000123000
    m.context()
    slot = m.fs_map(fs, va, data)
    m.pe(0xfffff, FS, 3, fs=fs)
    m.enable()
    same("status", m.fill(0xfffff, va, 0xabcd), OK)
    same("memory", m.readq(data), 0xabcd)
    same("A and D", m.readq(slot) & (A | D), A | D)
    m.refused(0x71, 0xfffff, va + K4)


@test()
def nested_pasid(m):
    n = Nest(m)
    m.enable()
    m.sees(5, n.va, 0x1111)
    same("status", m.fill(5, n.va, 0x2222), OK)
    same("memory", m.readq(n.data), 0x2222)
    same("A and D", m.readq(n.slot) & (A | D), A | D)
    same("faults", m.faults(), [])


@test()
def nested_rid(m):
    n = Nest(m, pasid=0)
    m.enable()
    m.sees(None, n.va, 0x1111)
    m.refused(0x71, None, n.va + K4)


@test()
def rid_pasid_other_than_zero(m):
    n = Nest(m, pasid=0x12345)
    m.context(hi=0x12345)
    m.enable()
    m.sees(None, n.va, 0x1111)


@test()
def pass_through(m):
    data = m.page()
    m.context()
    m.pe(1, PT, 3)
    m.enable()
    same("status", m.fill(1, data, 0xabcd), OK)
    same("memory", m.readq(data), 0xabcd)
    m.refused(0x83, 1, 1 << 48, True)


@test()
def pasids_do_not_mix(m):
    a = Nest(m, pasid=1, did=9)
    b = Nest(m, pasid=2, did=9)
    m.writeq(b.data, 0x2222)
    m.enable()
    for _ in range(2):
        m.sees(1, a.va, 0x1111)
        m.sees(2, b.va, 0x2222)


@test()
def nested_page_sizes(m):
    """First stage 4K, 2M, 1G on second stage 4K, 2M, 1G"""
    ss, fs = m.page(), m.page()
    m.context()
    base = 0x20000000		# in memory, aligned to 2M
    # Stage 2: identity by 2M for the tables, then three views of base
    for a in range(0x2000000, 0x4000000, M2):
        m.ss_map(ss, a, a, R | W, M2)
    views = {K4: 0x100000000, M2: 0x140000000, G1: 0x180000000}
    for off in (0, K4, M2 - K4, M2, 5 * M2 + 3 * K4):
        m.ss_map(ss, views[K4] + base + off, base + off)
    for off in range(0, 8 * M2, M2):
        m.ss_map(ss, views[M2] + base + off, base + off, R | W, M2)
    m.ss_map(ss, views[G1], 0, R | W, G1)
    va = 0x1000000000
    for i, view in enumerate(views.values()):
        top = va + i * 0x1000000000
        m.fs_map(fs, top, view, P | RW | US, G1)
        for off in range(0, 8 * M2, M2):
            m.fs_map(fs, top + G1 + base + off, view + base + off,
                     P | RW | US, M2)
        for off in (0, K4, M2 - K4, M2, 5 * M2 + 3 * K4):
            m.fs_map(fs, top + 2 * G1 + base + off, view + base + off)
    m.pe(3, NEST, 2, ss=ss, fs=fs)
    m.enable()
    for off in (0, K4, M2 - K4, M2, 5 * M2 + 3 * K4):
        m.writeq(base + off + 0x18, 0x1000 + off)
    for _ in range(2):
        for i in range(3):
            for j in range(3):
                for off in (0, K4, M2 - K4, M2, 5 * M2 + 3 * K4):
                    m.sees(3, va + i * 0x1000000000 + j * G1 + base + off +
                           0x18, 0x1000 + off)
    # 4K pages of stage 2 around a large one of stage 1 are not all there
    m.refused(0x79, 3, va + base + 2 * K4)


@test()
def first_stage_page_sizes(m):
    fs = m.page()
    m.context()
    m.fs_map(fs, 0x200000, 0x20000000, size=M2)
    m.fs_map(fs, 0x40000000, 0, size=G1)
    m.pe(3, FS, 2, fs=fs)
    m.enable()
    m.writeq(0x20012340, 0x77)
    m.sees(3, 0x212340, 0x77)
    m.sees(3, 0x60012340, 0x77)


@test()
def dirty_after_read(m):
    n = Nest(m)
    m.enable()
    same("status", m.crc(5, n.va), OK)
    same("A and D", m.readq(n.slot) & (A | D), A)
    same("status", m.crc(5, n.va), OK)
    same("status", m.fill(5, n.va, 1), OK)
    same("A and D", m.readq(n.slot) & (A | D), A | D)


@test()
def extended_accessed(m):
    n = Nest(m, val2=EAFE)
    m.enable()
    same("status", m.crc(5, n.va), OK)
    same("EA", m.readq(n.slot) >> 10 & 1, 1)


@test()
def hits_are_hits(m):
    n = Nest(m)
    m.enable()
    m.sees(5, n.va, 0x1111)
    walks = m.count(EV_WALK)
    for _ in range(3):
        m.sees(5, n.va, 0x1111)
    same("walks", m.count(EV_WALK), walks)
    same("hits of PASID 5", m.count(EV_HIT, 5) >= 3, True)


@test(",x-strict=off")
def no_caches(m):
    n = Nest(m)
    m.enable()
    m.sees(5, n.va, 0x1111)
    m.writeq(n.slot, 0)
    same("status", m.crc(5, n.va), READ_FAULT)


# Privilege, execute

@test()
def supervisor_pages(m):
    n = Nest(m, val2=SRE)
    m.writeq(n.slot, m.readq(n.slot) & ~US)
    m.enable()
    m.refused(0x81, 5, n.va)
    same("status", m.crc(5, n.va, F_NO_ATS | F_PRIV), OK)
    m.refused(0x81, 5, n.va)


@test()
def permissions_of_upper_tables(m):
    n = Nest(m, val2=ERE | NXE)
    top = n.fs + (n.va >> 39 & 511) * 8
    good = m.readq(top)
    m.enable()
    for bits, reason, flags in ((good & ~US, 0x81, 0), (good | XD, 0x82,
                                                       F_EXEC)):
        m.writeq(top, bits)
        m.inv(piotlb(9, 5))
        m.refused(reason, 5, n.va, flags=F_NO_ATS | flags)
    m.writeq(top, good & ~RW)
    m.inv(piotlb(9, 5))
    m.refused(0x85, 5, n.va, True)
    same("D", m.readq(n.slot) & D, 0)
    m.writeq(top, good)
    gpa = n.data + GPA_OFF
    slot = (m.readq(n.ss + (gpa >> 39 & 511) * 8) & MASK52) + \
        (gpa >> 30 & 511) * 8
    good = m.readq(slot)
    m.inv(iotlb_dom(9))
    # No write permission at all below: not even an A bit can be set.
    m.writeq(slot, good & ~W)
    m.refused(0x77, 5, n.va)
    m.writeq(slot, good)
    m.sees(5, n.va, 0x1111)


@test()
def supervisor_requests_off(m):
    n = Nest(m)
    m.enable()
    f = m.refused(0x5d, 5, n.va, flags=F_NO_ATS | F_PRIV)
    same("PRIV", f["priv"], 1)


@test()
def write_protect(m):
    n = Nest(m, val2=SRE)
    m.writeq(n.slot, m.readq(n.slot) & ~RW)
    m.enable()
    m.refused(0x85, 5, n.va, True)
    same("status", m.fill(5, n.va, 1, F_NO_ATS | F_PRIV), OK)
    m.pe(5, NEST, 9, ss=n.ss, fs=n.fs + GPA_OFF, val2=SRE | WPE)
    m.inv(pc(9, 5), iotlb_dom(9))
    m.refused(0x85, 5, n.va, True, F_NO_ATS | F_PRIV)


@test()
def execute(m):
    n = Nest(m, val2=ERE | NXE)
    m.writeq(n.slot, m.readq(n.slot) | XD)
    m.enable()
    same("status", m.crc(5, n.va), OK)
    f = m.refused(0x82, 5, n.va, flags=F_NO_ATS | F_EXEC)
    same("EXE", f["exe"], 1)
    m.pe(5, NEST, 9, ss=n.ss, fs=n.fs + GPA_OFF, val2=ERE)
    m.inv(pc(9, 5), iotlb_dom(9))
    same("status", m.crc(5, n.va, F_NO_ATS | F_EXEC), OK)
    m.pe(5, NEST, 9, ss=n.ss, fs=n.fs + GPA_OFF)
    m.inv(pc(9, 5), iotlb_dom(9))
    m.refused(0x5c, 5, n.va, flags=F_NO_ATS | F_EXEC)


# Faults, one for each condition: spec 7.1.3

@test()
def fault_root(m):
    n = Nest(m)
    m.writeq(m.root, 0)
    m.enable()
    m.refused(0x39, 5, n.va)
    m.writeq(m.root, m.ctx | 3)
    m.refused(0x3a, 5, n.va)
    m.writeq(m.root, m.ctx | 1)
    m.sees(5, n.va, 0x1111)


@test()
def fault_context(m):
    n = Nest(m)
    m.context(lo=0)
    m.enable()
    m.refused(0x41, 5, n.va)
    m.context(lo=1 | 1 << 3 | 1 << 5)
    m.refused(0x42, 5, n.va)
    m.context(lo=1)
    m.refused(0x45, 5, n.va)
    m.context()
    m.inv(cc_dev())
    m.sees(5, n.va, 0x1111)


@test()
def fault_pasid_too_large(m):
    n = Nest(m, pasid=0x2000)
    m.context(pdts=0)
    m.enable()
    m.refused(0x46, 0x2000, n.va)
    m.context(pdts=0, hi=0x2000)
    m.inv(cc_dev())
    m.refused(0x48, None, n.va)
    m.context(pdts=1)
    m.inv(cc_dev())
    m.sees(0x2000, n.va, 0x1111)


@test()
def fault_pasid_tables(m):
    n = Nest(m)
    good = m.readq(m.dir)
    a = m.pe_addr(5)
    m.enable()
    m.writeq(m.dir, 0)
    m.refused(0x51, 5, n.va)
    m.writeq(m.dir, good | 4)
    m.refused(0x52, 5, n.va)
    m.writeq(m.dir, 0xfff00000 | 1)
    m.refused(0x58, 5, n.va)
    m.writeq(m.dir, good)
    val = m.readq(a)
    m.writeq(a, 0)
    m.refused(0x59, 5, n.va)
    m.writeq(a, val & ~1)
    m.refused(0x59, 5, n.va)
    m.writeq(a, val | 1 << 5)
    m.refused(0x5a, 5, n.va)
    m.writeq(a, val)
    m.writeq(a + 24, 1)
    m.refused(0x5a, 5, n.va)
    m.writeq(a + 24, 0)
    m.writeq(a, val & ~(7 << 6))
    m.refused(0x5b, 5, n.va)
    m.writeq(a, val & ~(7 << 2))
    m.refused(0x5b, 5, n.va)
    m.writeq(a, val)
    m.sees(5, n.va, 0x1111)


@test(",x-domain-id-bits=8")
def fault_domain_id(m):
    same("CAP.ND", m.readq(VTD + 8) & 7, 2)
    n = Nest(m, did=0x100)
    m.enable()
    m.refused(0x5a, 5, n.va)
    m.pe(5, NEST, 0xff, ss=n.ss, fs=n.fs + GPA_OFF)
    m.sees(5, n.va, 0x1111)


@test()
def fault_first_stage(m):
    fs, data = m.page(), m.page()
    va = 0x123000
    slot = m.fs_map(fs, va, data)
    m.context()
    m.pe(5, FS, 1, fs=fs)
    m.enable()
    m.writeq(slot, 0)
    m.refused(0x71, 5, va)
    m.writeq(slot, data | P | RW | US | 1 << 50)
    m.refused(0x72, 5, va)
    m.writeq(slot, data | P | RW | US)
    m.writeq(fs, 0xfff00000 | P | RW | US)
    m.inv(piotlb(1, 5))
    m.refused(0x70, 5, va)
    m.pe(5, FS, 1, fs=0xfff00000)
    m.inv(pc(1, 5), piotlb(1, 5))
    m.refused(0x73, 5, va)
    m.refused(0x80, 5, 1 << 47)


@test()
def fault_nested(m):
    n = Nest(m)
    m.enable()
    table = n.slots[n.fs]
    good = m.readq(table)
    m.writeq(table, 0)
    m.refused(0x75, 5, n.va)
    m.writeq(table, good & ~(R | W) | W)
    m.refused(0x75, 5, n.va)
    m.writeq(table, good)
    leaf = [k for k in n.slots if k == n.slot & ~0xfff][0]
    good = m.readq(n.slots[leaf])
    m.inv(iotlb_dom(9))
    m.writeq(n.slots[leaf], 0)
    m.refused(0x76, 5, n.va)
    m.writeq(n.slots[leaf], good & ~W)
    m.refused(0x77, 5, n.va)
    m.writeq(n.slots[leaf], good)
    m.inv(iotlb_dom(9))
    good = m.readq(n.slots[n.data])
    m.writeq(n.slots[n.data], 0)
    m.refused(0x79, 5, n.va)
    m.writeq(n.slots[n.data], good & ~R)
    m.refused(0x86, 5, n.va)
    m.writeq(n.slots[n.data], good & ~W)
    m.inv(iotlb_dom(9))
    m.refused(0x85, 5, n.va, True)
    same("D", m.readq(n.slot) & D, 0)
    m.writeq(n.slots[n.data], good | 1 << 11)
    m.inv(iotlb_dom(9))
    m.refused(0x7a, 5, n.va)
    m.writeq(n.slots[n.data], good)
    m.sees(5, n.va, 0x1111)


@test()
def fault_nested_address(m):
    n = Nest(m)
    fsp = n.fs + GPA_OFF
    m.pe(5, NEST, 9, ss=n.ss, fs=1 << 48)
    m.enable()
    m.refused(0x74, 5, n.va)
    m.pe(5, NEST, 9, ss=n.ss, fs=fsp)
    m.inv(pc(9, 5), iotlb_dom(9))
    good = m.readq(n.slot)
    m.writeq(n.slot, good | 1 << 49)
    m.refused(0x84, 5, n.va)
    m.writeq(n.slot, good)
    m.sees(5, n.va, 0x1111)


@test()
def fault_second_stage_access(m):
    ss = m.page()
    m.context()
    m.writeq(ss, 0xfff00000 | R | W)
    m.pe(0, SS, 1, ss=ss)
    m.pe(1, SS, 2, ss=0xfff00000)
    m.enable()
    m.refused(0x78, None, 0)
    m.refused(0x7b, 1, 0)


@test()
def interrupt_range(m):
    n = Nest(m)
    m.writeq(n.slot, 0xfee00000 | P | RW | US)
    m.ss_map(n.ss, 0xfee00000, 0xfee00000)
    m.pe(6, PT, 3)
    m.pe(0, PT, 3)
    m.enable()
    m.refused(0x87, 5, n.va, True)
    m.refused(0x87, 6, 0xfee00000, True)
    # A request without PASID is an interrupt, not DMA.
    m.op(2, None, F_NO_ATS, dst=0xfee00000, imm=0, length=4)
    same("faults", m.faults(), [])


@test()
def fault_processing_disable(m):
    n = Nest(m)
    a = m.pe_addr(5)
    good = m.readq(m.dir)
    m.enable()
    m.writeq(n.slot, 0)
    for where in range(4):
        m.context(lo=0xd | (FPD if where == 1 else 0))
        m.writeq(m.dir, good | (FPD if where == 2 else 0))
        m.pe(5, NEST, 9, ss=n.ss, fs=n.fs + GPA_OFF,
             val0=1 | (FPD if where == 3 else 0))
        m.inv(cc_dev(), pc(9, 5), iotlb_dom(9))
        same("status", m.crc(5, n.va), READ_FAULT)
        same("faults with FPD at %d" % where, len(m.faults()),
             0 if where else 1)
    m.inv(cc_dev(), pc(9, 5), iotlb_dom(9))
    m.writeq(a, FPD)
    same("status", m.crc(5, n.va), READ_FAULT)
    same("faults", m.faults(), [])
    same("raised", m.count(EV_RAISED), 1)


@test(",x-fault-records=4")
def fault_overflow(m):
    n = Nest(m)
    m.enable()
    for i in range(6):
        m.crc(5, n.va + (i + 1) * K4)
    same("FSTS", m.readl(VTD + FSTS) & (PFO | PPF), PFO | PPF)
    same("raised", m.count(EV_RAISED), 6)
    same("recorded", m.count(EV_RECORDED), 4)
    same("collapsed", m.count(EV_COLLAPSED), 0)
    same("lost", m.count(EV_LOST), 2)
    f = m.faults()
    same("addresses", [x["addr"] for x in f],
         [n.va + (i + 1) * K4 for i in range(4)])
    same("FSTS", m.readl(VTD + FSTS) & (PFO | PPF), PFO)
    m.crc(5, n.va + 9 * K4)
    same("lost while PFO is set", m.count(EV_LOST), 3)
    m.writel(VTD + FSTS, PFO)
    for _ in range(3):
        m.crc(5, n.va + 7 * K4)
        m.fault(0x71, 5, n.va + 7 * K4, 1)


@test(",x-fault-collapse=on")
def fault_collapse(m):
    n = Nest(m)
    m.enable()
    for i in range(3):
        m.crc(5, n.va + (i + 1) * K4)
    m.crc(6, n.va)
    same("recorded", m.count(EV_RECORDED), 2)
    same("collapsed", m.count(EV_COLLAPSED), 2)
    same("reasons", [x["reason"] for x in m.faults()], [0x71, 0x59])


@test()
def fault_unreadable(m):
    """Tables that are not in memory; nothing has a PASID entry to silence it"""
    n = Nest(m)
    m.enable()
    good = m.readq(m.root)
    m.writeq(m.root, 0xfff00000 | 1)
    m.refused(0x40, 5, n.va)
    m.writeq(m.root, good)
    m.writeq(m.ctx + SID * 32, 0xfff00000 | 0xd | 7 << 9)
    m.refused(0x50, 5, n.va)
    m.context()
    m.inv(cc_dev())
    m.sees(5, n.va, 0x1111)
    m.writeq(VTD + RTADDR, 0xfff00000 | 1 << 10)
    m.writel(VTD + GCMD, SRTP | QIE | TE)
    m.inv(cc_dev())
    m.refused(0x38, 5, n.va)


@test()
def interrupt_faults(m):
    """Interrupt remapping reports through the same records"""
    m.context()
    m.pe(0, PT, 3)
    m.enable()
    table = m.page()
    m.writeq(VTD + IRTA, table | 3)
    m.writel(VTD + GCMD, TE | QIE | 1 << 24)
    m.writel(VTD + GCMD, TE | QIE | 1 << 25)

    def msi(addr, reason, index, data=0):
        m.op(2, None, F_NO_ATS, dst=addr, imm=data, length=4)
        f = m.faults()
        same("faults", [x["reason"] for x in f], [reason])
        same("index", f[0]["addr"] >> 48, index)
        same("source", f[0]["sid"], SID)
        same("PASID", f[0]["pasid"], None)
    msi(0xfee00010 | 1 << 5, 0x22, 1)
    m.writeq(table, 1)
    msi(0xfee00018, 0x20, 0, 0x10000)
    msi(0xfee00010 | 20 << 5, 0x21, 20)
    m.writeq(table + 32, 1 | 1 << 12)
    msi(0xfee00010 | 2 << 5, 0x24, 2)
    m.writeq(table + 48, 1)
    m.writeq(table + 56, 1 << 18 | 0x1234)
    msi(0xfee00010 | 3 << 5, 0x26, 3)
    m.writeq(VTD + IRTA, 0xfff00000 | 3)
    m.writel(VTD + GCMD, TE | QIE | 1 << 25 | 1 << 24)
    msi(0xfee00010, 0x23, 0)
    m.books()


def flood(m, n, pace, stride=K4):
    m.submit(8, 5, src=pace, dst=0x600000000000, imm=n, length=stride)


@test(",x-fault-records=8")
def flood_unpaced(m):
    """10,000 faults: all but the first eight are lost, and counted"""
    Nest(m)
    m.enable()
    flood(m, 10000, 0)
    same("result", m.result(), (OK, 10000))
    same("raised", m.count(EV_RAISED, 5), 10000)
    same("recorded", m.count(EV_RECORDED), 8)
    same("lost", m.count(EV_LOST), 9992)
    same("addresses", [x["addr"] for x in m.faults()],
         [0x600000000000 + i * K4 for i in range(8)])
    m.books()


@test(",x-fault-records=8")
def flood_paced(m):
    """As many as there is room for: none is lost"""
    Nest(m)
    m.enable()
    flood(m, 100, 1 << 32)
    seen = []
    for _ in range(4000):
        seen += m.faults()
        if m.done():
            break
    same("result", m.result(), (OK, 100))
    seen += m.faults()
    same("addresses", [x["addr"] for x in seen],
         [0x600000000000 + i * K4 for i in range(100)])
    same("lost", m.count(EV_LOST), 0)
    m.books()


@test(",x-fault-records=8")
def flood_bursts(m):
    """Ten at once, when nothing is pending: two of each are lost"""
    Nest(m)
    m.enable()
    flood(m, 50, 10)
    seen = 0
    for _ in range(4000):
        f = m.faults()
        if f:
            same("faults", len(f), 8)
            same("FSTS", m.readl(VTD + FSTS) & (PFO | PPF), PFO)
            m.writel(VTD + FSTS, PFO)
            seen += 8
        if m.done():
            break
    seen += len(m.faults())
    same("result", m.result(), (OK, 50))
    same("seen", seen, 40)
    same("recorded", m.count(EV_RECORDED), 40)
    same("lost", m.count(EV_LOST), 10)
    m.books()


# Strict caches: what is there stays there until it is invalidated

def stale(m, n, want=OK):
    same("status", m.crc(n.pasid, n.va), want)
    m.faults()


@test()
def stale_first_stage_page(m):
    n = Nest(m)
    m.enable()
    stale(m, n)
    m.writeq(n.slot, 0)
    stale(m, n)
    # None of these covers it
    m.inv(piotlb(9, 6), piotlb(8, 5), piotlb_page(9, 5, n.va + K4),
          piotlb_page(9, 6, n.va), iotlb_dom(8), pc(9, 5), cc_dev(),
          iotlb_page(8, n.va))
    stale(m, n)
    m.inv(piotlb_page(9, 5, n.va & ~0xffff, 4))
    stale(m, n, READ_FAULT)


@test()
def stale_first_stage_large(m):
    """MAMV is for the second stage: a first-stage AM may be larger"""
    n = Nest(m)
    m.enable()
    for am in 19, 52, 63:
        slot = m.readq(n.slot)
        stale(m, n)
        m.writeq(n.slot, 0)
        if am < 52:
            # The next block of that size
            m.inv(piotlb_page(9, 5, (n.va ^ K4 << am) & -(K4 << am), am))
            stale(m, n)
        m.inv(piotlb_page(9, 5, n.va & -(K4 << am), am))
        stale(m, n, READ_FAULT)
        m.writeq(n.slot, slot)


@test()
def stale_first_stage_pasid_selective(m):
    n = Nest(m)
    m.enable()
    stale(m, n)
    m.writeq(n.slot, 0)
    m.inv(piotlb(9, 5))
    stale(m, n, READ_FAULT)


@test()
def stale_second_stage(m):
    n = Nest(m)
    m.enable()
    stale(m, n)
    m.writeq(n.slots[n.data], 0)
    m.inv(piotlb(9, 5))
    # The second-stage entry itself is still cached.
    stale(m, n)
    m.inv(iotlb_page(9, n.data + GPA_OFF))
    stale(m, n, READ_FAULT)


@test()
def stale_second_stage_other_page(m):
    """A second-stage invalidation takes every nested entry of the domain"""
    n = Nest(m)
    m.enable()
    stale(m, n)
    m.writeq(n.slot, 0)
    m.inv(iotlb_page(9, 0x1234000, 0, 1))
    stale(m, n, READ_FAULT)


@test()
def stale_tables(m):
    """IH keeps the paging-structure caches, its absence does not"""
    n = Nest(m)
    m.enable()
    stale(m, n)
    top = n.fs + (n.va >> 39 & 511) * 8
    m.writeq(top, 0)
    m.inv(piotlb_page(9, 5, n.va, 0, 1))
    stale(m, n)
    m.inv(piotlb_page(9, 5, n.va, 0, 0))
    stale(m, n, READ_FAULT)


@test()
def stale_second_stage_tables(m):
    ss, data = m.page(), m.page()
    m.context()
    m.ss_map(ss, 0x123000, data)
    m.ss_map(ss, 0x124000, data)
    m.pe(5, SS, 3, ss=ss)
    m.enable()
    same("status", m.crc(5, 0x123000), OK)
    m.writeq(ss, 0)
    m.inv(iotlb_page(3, 0x123000, 0, 1))
    same("another page, through the cached table", m.crc(5, 0x124000), OK)
    m.inv(iotlb_page(3, 0x123000, 0, 0))
    # The leaf of 0x124000 is not covered; the tables are.
    same("status", m.crc(5, 0x123000), READ_FAULT)
    same("status", m.crc(5, 0x124000), OK)
    m.inv(iotlb_page(3, 0x124000))
    same("status", m.crc(5, 0x124000), READ_FAULT)


@test()
def stale_pasid_entry(m):
    n = Nest(m)
    m.enable()
    stale(m, n)
    m.writeq(m.pe_addr(5), 0)
    m.inv(iotlb_dom(9), piotlb(9, 5))
    stale(m, n)
    m.inv(pc(9, 6), pc(8, 5), (PC | 8 << 16,))
    stale(m, n)
    m.inv(pc(9, 5))
    stale(m, n, READ_FAULT)


@test()
def stale_pasid_entry_wider(m):
    """Of the domain, and global"""
    n = Nest(m)
    good = m.readq(m.pe_addr(5))
    m.enable()
    for d in ((PC | 9 << 16,), (PC | 3 << 4,)):
        m.writeq(m.pe_addr(5), good)
        stale(m, n)
        m.writeq(m.pe_addr(5), 0)
        stale(m, n)
        m.inv(d)
        stale(m, n, READ_FAULT)


@test()
def stale_context(m):
    n = Nest(m)
    m.enable()
    stale(m, n)
    m.context(lo=0)
    m.inv(iotlb_dom(9), pc(9, 5), cc_dev(SID + 8))
    stale(m, n)
    m.inv(cc_dev())
    stale(m, n, READ_FAULT)


@test()
def reused_domain_id(m):
    """Another table under a domain id that was not flushed"""
    n = Nest(m)
    m.enable()
    stale(m, n)
    m.writeq(m.pe_addr(5), 0)
    m.inv(pc(9, 5))
    stale(m, n, READ_FAULT)
    o = Nest(m, pasid=5, did=9)
    m.writeq(o.data, 0x2222)
    # PASID and domain id are the old ones, so is the memory.
    m.sees(5, o.va, 0x1111)
    m.inv(iotlb_dom(9))
    m.sees(5, o.va, 0x2222)


@test()
def permission_is_looked_up_again(m):
    n = Nest(m)
    m.writeq(n.slot, m.readq(n.slot) & ~RW)
    m.enable()
    stale(m, n)
    same("status", m.fill(5, n.va, 1), WRITE_FAULT)
    m.faults()
    m.writeq(n.slot, m.readq(n.slot) | RW)
    same("status", m.fill(5, n.va, 1), OK)


@test()
def nothing_absent_is_cached(m):
    n = Nest(m)
    good = m.readq(n.slot)
    m.writeq(n.slot, 0)
    m.enable()
    stale(m, n, READ_FAULT)
    m.writeq(n.slot, good)
    stale(m, n)


def replaced(m, *drop):
    """Replaces a table that was used; where the other one has its page"""
    n = Nest(m)
    m.enable()
    m.sees(5, n.va, 0x1111)
    m.writeq(m.pe_addr(5), 0)
    m.inv(*drop)
    o = Nest(m, pasid=5, did=9)
    m.writeq(o.data, 0x2222)
    return o.va


@test()
def wrong_order_is_refilled(m):
    """IOTLB before PASID cache: the entry comes back in between"""
    va = replaced(m, piotlb(9, 5), iotlb_dom(9), pc(9, 5))
    m.sees(5, va, 0x1111)


@test()
def right_order_is_not(m):
    va = replaced(m, pc(9, 5), piotlb(9, 5), iotlb_dom(9))
    m.sees(5, va, 0x2222)


@test(",x-refill=off")
def wrong_order_without_refill(m):
    va = replaced(m, piotlb(9, 5), iotlb_dom(9), pc(9, 5))
    m.sees(5, va, 0x2222)


@test()
def refill_sets_no_dirty_bit(m):
    n = Nest(m)
    m.enable()
    m.sees(5, n.va, 0x1111)
    m.writeq(n.slot, m.readq(n.slot) & ~(A | D))
    m.inv(piotlb(9, 5))
    same("A and D", m.readq(n.slot) & (A | D), 0)
    same("faults", m.faults(), [])


# ATS

@test()
def ats_stale_until_invalidated(m):
    n = Nest(m)
    m.ats()
    m.enable()
    m.sees(5, n.va, 0x1111, 0)
    same("translation requests", m.count(EV_ATS, 5), 1)
    m.writeq(n.slot, 0)
    m.inv(piotlb(9, 5), iotlb_dom(9))
    m.sees(5, n.va, 0x1111, 0)
    m.inv(pdtlb(6), dtlb(addr=n.va + K4, s=0), pdtlb(5, addr=n.va + K4, s=0))
    m.sees(5, n.va, 0x1111, 0)
    m.inv(pdtlb(5, addr=n.va, s=0))
    same("status", m.crc(5, n.va, 0), READ_FAULT)
    # Recoverable: the answer says no, nothing is recorded.
    same("faults", m.faults(), [])


def ats_drops(m, n, *descs):
    """Each of them alone has the device ask again"""
    for d in descs:
        m.sees(5, n.va, 0x1111, 0)
        before = m.count(EV_ATS)
        m.sees(5, n.va, 0x1111, 0)
        same("requests", m.count(EV_ATS), before)
        m.inv(d)
        m.sees(5, n.va, 0x1111, 0)
        same("requests after %#x %#x" % d, m.count(EV_ATS), before + 1)


@test()
def ats_without_pasid(m):
    """PCIe 6.0, 10.3.8: it drops what has a PASID as well"""
    n = Nest(m)
    m.ats()
    m.enable()
    ats_drops(m, n, dtlb(addr=n.va, s=0), dtlb())


@test()
def ats_ranges(m):
    n = Nest(m)
    m.ats()
    m.enable()
    ats_drops(m, n, pdtlb(5), pdtlb(5, addr=MASK52 | CANON),
              pdtlb(5, addr=n.va & ~0x7fff | 0x3000), pdtlb(6, g=1))


@test()
def ats_rid(m):
    n = Nest(m, pasid=0)
    m.ats()
    m.enable()
    m.sees(None, n.va, 0x1111, 0)
    m.inv(pdtlb(0))
    before = m.count(EV_ATS)
    m.sees(None, n.va, 0x1111, 0)
    same("requests", m.count(EV_ATS), before)
    m.inv(dtlb(addr=n.va, s=0))
    m.sees(None, n.va, 0x1111, 0)
    same("requests", m.count(EV_ATS), before + 1)


@test()
def ats_partial_answer(m):
    n = Nest(m)
    m.writeq(n.slot, m.readq(n.slot) & ~RW)
    m.ats()
    m.enable()
    same("status", m.crc(5, n.va, 0), OK)
    same("status", m.fill(5, n.va, 1, 0), WRITE_FAULT)
    same("D", m.readq(n.slot) & D, 0)
    same("faults", m.faults(), [])


@test()
def ats_no_write_means_not_dirty(m):
    n = Nest(m)
    m.ats()
    m.enable()
    same("status", m.crc(5, n.va, 0), OK)
    same("A and D", m.readq(n.slot) & (A | D), A)
    same("status", m.fill(5, n.va, 1, 0), OK)
    same("A and D", m.readq(n.slot) & (A | D), A | D)


@test()
def ats_needs_dte(m):
    n = Nest(m)
    m.context(lo=1 | 1 << 3)
    m.ats()
    m.enable()
    f = m.refused(0x44, 5, n.va, flags=0)
    same("AT", f["at"], 1)
    m.context()
    m.inv(cc_dev())
    same("status", m.crc(5, n.va, 0), OK)
    # Translated requests are checked as well.
    m.context(lo=1 | 1 << 3)
    m.inv(cc_dev())
    same("status", m.crc(5, n.va, 0), READ_FAULT)
    same("AT", m.faults()[0]["at"], 2)


# Page requests, spec 7.4; PCIe 6.0, 10.4

def absent(n):
    """Unmap the page; what maps it again"""
    good = n.m.readq(n.slot)
    n.m.writeq(n.slot, 0)
    return good


@test()
def page_request(m):
    n = Nest(m)
    good = absent(n)
    m.pri()
    m.enable()
    m.submit(4, 5, src=n.va, length=8)
    r = m.request(5, n.va, R)
    same("completions", m.done(), 0)
    m.writeq(n.slot, good)
    m.answer(r)
    same("status", m.result()[0], OK)
    same("responses", m.responses(), [(5, r["prgi"], SUCCESS, 0)])
    same("faults", m.count(EV_RAISED), 0)
    # And a write, which the answer to a read does not cover
    m.writeq(n.slot, m.readq(n.slot) & ~RW)
    m.inv(piotlb(9, 5), pdtlb(5))
    m.submit(2, 5, dst=n.va, imm=0x77, length=8)
    r = m.request(5, n.va, W)
    m.writeq(n.slot, good)
    m.answer(r)
    same("status", m.result()[0], OK)
    same("memory", m.readq(n.data), 0x77)
    m.books()


@test()
def page_request_without_pasid(m):
    n = Nest(m, pasid=0)
    good = absent(n)
    m.pri()
    m.enable()
    m.submit(4, None, src=n.va, length=8)
    r = m.request(None, n.va, R)
    m.writeq(n.slot, good)
    m.answer(r)
    same("status", m.result()[0], OK)


@test()
def page_request_attributes(m):
    n = Nest(m, val2=SRE | ERE)
    absent(n)
    m.pri()
    m.enable()
    for flags in (F_EXEC, F_PRIV, F_EXEC | F_PRIV):
        m.submit(4, 5, flags, src=n.va, length=8)
        r = m.request(5, n.va, R)
        same("EXE", r["exe"], int(bool(flags & F_EXEC)))
        same("PRIV", r["priv"], int(bool(flags & F_PRIV)))
        m.answer(r, INVALID)
        same("status", m.result()[0], READ_FAULT)


@test()
def page_request_invalid(m):
    n = Nest(m)
    absent(n)
    m.pri()
    m.enable()
    m.submit(4, 5, src=n.va, length=8)
    m.answer(m.request(5, n.va, R), INVALID)
    same("status", m.result()[0], READ_FAULT)
    # Without PRI, or told not to use it, the miss is the end of it.
    same("status", m.crc(5, n.va, F_NO_PRI), READ_FAULT)
    m.writew(m.pri_cap() + 4, 0)
    same("status", m.crc(5, n.va, 0), READ_FAULT)
    same("requests", m.count(EV_RECEIVED), 1)
    same("faults", m.count(EV_RAISED), 0)


@test()
def page_request_retry(m):
    """Success, and still nothing there: it asks again"""
    n = Nest(m)
    good = absent(n)
    m.pri()
    m.enable()
    m.submit(4, 5, src=n.va, length=8)
    for _ in range(5):
        m.answer(m.request(5, n.va, R))
    r = m.request(5, n.va, R)
    m.writeq(n.slot, good)
    m.answer(r)
    same("status", m.result()[0], OK)
    same("answers", m.readq(PTD + CNT_OK), 6)


@test()
def page_response_failure(m):
    """Disables the interface: those who wait are told, later answers not"""
    n = Nest(m)
    absent(n)
    m.pri()
    m.enable()
    m.writel(PTD + 0x2000, 1)
    m.submit(4, 5, src=n.va, length=8)
    m.submit(4, 5, src=n.va, length=8, q=1)
    a, b = m.requests(2)
    m.answer(a, FAILURE)
    for q in range(2):
        same("status", m.result(q)[0], READ_FAULT)
    same("PRI status", m.readw(m.pri_cap() + 6),
         PRI_PASID | PRI_STOPPED | PRI_RF)
    same("PRI control", m.readw(m.pri_cap() + 4), 0)
    m.answer(b)
    same("stray", m.readq(PTD + CNT_STRAY), 1)
    same("status", m.crc(5, n.va, 0), READ_FAULT)
    same("requests", m.count(EV_RECEIVED), 2)
    # Enabling it clears the status.
    m.writew(m.pri_cap() + 4, 1)
    same("PRI status", m.readw(m.pri_cap() + 6), PRI_PASID)


@test()
def page_response_stray(m):
    m.pri()
    m.enable()
    for d in (pgrp(5, 7), pgrp(None, 7), pgrp(5, 7, last=0),
              pgrp(5, 7, sid=0x1234)):
        m.inv(d)
    same("responses", m.responses(),
         [(5, 7, 0, 1), (None, 7, 0, 1), (5, 7, 0, 1)])
    same("PRI status", m.readw(m.pri_cap() + 6), PRI_PASID | PRI_UPRGI)
    m.writew(m.pri_cap() + 6, PRI_UPRGI)
    same("PRI status", m.readw(m.pri_cap() + 6), PRI_PASID)
    # The right index with the wrong PASID
    m.send(5, 0x1000, PR_READ | PR_LAST, 7)
    m.inv(pgrp(6, 7), pgrp(5, 7), pgrp(5, 7))
    same("responses", m.responses(), [(6, 7, 0, 1), (5, 7, 0, 0),
                                      (5, 7, 0, 1)])
    same("answers by software", m.count(EV_ANSWERED, 5), 5)


@test()
def page_request_group(m):
    """One group for all that an operand needs, as far as credit goes"""
    n = Nest(m)
    m.pri(alloc=20)
    m.enable()
    top = n.va + 0x100000
    m.submit(4, 5, F_GROUP, src=top + 8, length=3 * K4)
    r = m.requests(4)
    same("addresses", [x["addr"] for x in r],
         [top + i * K4 for i in range(4)])
    same("last", [x["last"] for x in r], [0, 0, 0, 1])
    same("one group", len({x["prgi"] for x in r}), 1)
    same("outstanding", m.readl(PTD + 0x214), 4)
    for x in r:
        n.map(x["addr"], m.page())
        n.add_page(m.readq(n.map(x["addr"], m.page())) - GPA_OFF & MASK52)
    m.answer(r[3])
    same("status", m.result()[0], OK)
    same("outstanding", m.readl(PTD + 0x214), 0)
    # 16 pages at most, and what credit is left
    for q in (0, 1, 2):
        m.writel(PTD + 0x1000 * (q + 1), 1)
        m.submit(4, 5, F_GROUP, src=top + 0x100000, length=32 * K4, q=q)
    r = m.requests(20)
    same("last", [i for i, x in enumerate(r) if x["last"]], [15, 19])
    m.answer(r[15], INVALID)
    r = m.requests(16)
    same("last", [i for i, x in enumerate(r) if x["last"]], [15])


@test()
def page_request_credit(m):
    n = Nest(m)
    absent(n)
    m.pri(alloc=2)
    m.enable()
    for q in range(4):
        m.writel(PTD + 0x1000 * (q + 1), 1)
        m.submit(4, 5, src=n.va, length=8, q=q)
    r = m.requests(2)
    same("outstanding", m.readl(PTD + 0x214), 2)
    m.answer(r[0], INVALID)
    m.answer(m.requests()[0], INVALID)
    m.answer(m.requests()[0], INVALID)
    m.answer(r[1], INVALID)
    for q in range(4):
        same("status", m.result(q)[0], READ_FAULT)
    same("requests", m.readq(PTD + CNT_PR), 4)
    # None at all: it waits until the interface is off
    m.writew(m.pri_cap() + 4, 0)
    m.writel(m.pri_cap() + 0xc, 0)
    m.writew(m.pri_cap() + 4, 1)
    m.submit(4, 5, src=n.va, length=8)
    for _ in range(50):
        same("completions", m.done(), 0)
    m.writew(m.pri_cap() + 4, 0)
    same("status", m.result()[0], READ_FAULT)


@test()
def pri_disable(m):
    """Stopped only when all is answered; a reset forgets"""
    n = Nest(m)
    absent(n)
    m.pri()
    m.enable()
    same("PRI status", m.readw(m.pri_cap() + 6), PRI_PASID)
    same("capacity", m.readl(m.pri_cap() + 8), 512)
    m.submit(4, 5, src=n.va, length=8)
    r = m.request(5, n.va, R)
    m.writew(m.pri_cap() + 4, 0)
    same("PRI status", m.readw(m.pri_cap() + 6), PRI_PASID)
    m.answer(r, INVALID)
    same("PRI status", m.readw(m.pri_cap() + 6), PRI_PASID | PRI_STOPPED)
    same("status", m.result()[0], READ_FAULT)
    for reset in ("PRI", "engine", "FLR"):
        m.ats()
        m.writel(m.pri_cap() + 0xc, 64)
        m.writew(m.pri_cap() + 4, 1)
        m.writew(m.cfg(PTD_DEVFN, m.caps[0x1b] + 6), 7)
        m.writew(m.cfg(PTD_DEVFN, 4), 6)
        m.writel(m.cfg(PTD_DEVFN, 0x10), PTD)
        m.writel(PTD + 0x1000, 1)
        m.submit(4, 5, src=n.va, length=8)
        r = m.request(5, n.va, R)
        if reset == "PRI":
            m.writew(m.pri_cap() + 4, 2)
            same("status", m.result()[0], READ_FAULT)
        elif reset == "engine":
            m.writel(PTD + 0x10, 1)
            m.writew(m.pri_cap() + 4, 0)
        else:
            m.flr()
        same("PRI status", m.readw(m.pri_cap() + 6), PRI_PASID | PRI_STOPPED)
        same("PRI control", m.readw(m.pri_cap() + 4), 0)
        m.writew(m.cfg(PTD_DEVFN, 4), 6)
        m.writel(m.cfg(PTD_DEVFN, 0x10), PTD)
        # The answer comes too late.
        m.answer(r)
        same("PRI status", m.readw(m.pri_cap() + 6),
             PRI_PASID | PRI_STOPPED | PRI_UPRGI)
        m.writew(m.pri_cap() + 6, PRI_UPRGI)


@test()
def page_request_refused(m):
    """A table entry forbids page requests: a fault and an answer"""
    n = Nest(m)
    absent(n)
    m.pri(pre=0)
    m.enable()
    m.submit(4, 5, src=n.va, length=8)
    same("status", m.result()[0], READ_FAULT)
    same("T2", m.fault(0x47, 5, n.va, 0)["t2"], 1)
    same("answers", m.count(EV_AUTO + INVALID, 5), 1)
    same("queue", m.pending(), 0)
    for lo, reason in ((0, 0x41), (1 | 4 | 16, 0x45), (1 | 4 | 8 | 32, 0x42)):
        m.context(lo=lo)
        m.inv(cc_dev())
        m.send(5, n.va, PR_WRITE | PR_LAST)
        m.fault(reason, 5, n.va, 0)
    m.context(lo=1 | 4 | 8 | 16, pdts=0)
    m.inv(cc_dev())
    m.send(0x2000, n.va, PR_READ | PR_LAST)
    same("T2", m.fault(0x46, 0x2000, n.va, 0)["t2"], 1)
    # Not the last of a group, or a stop marker: nobody waits for an answer.
    m.context(lo=1 | 4 | 8)
    m.inv(cc_dev())
    m.responses()
    m.send(5, n.va, PR_READ)
    m.send(5, n.va, PR_LAST)
    same("faults", [x["reason"] for x in m.faults()], [0x47, 0x47])
    same("responses", m.responses(), [])
    # FPD hides this fault, too.
    m.context(lo=1 | 4 | 8 | FPD)
    m.inv(cc_dev())
    m.send(5, n.va, PR_READ | PR_LAST)
    same("faults", m.faults(), [])
    same("responses", m.responses(), [(5, 0, INVALID, 0)])
    m.books()


@test()
def page_requests_in_legacy_mode(m):
    m.pri()
    m.enable(scalable=False)
    m.send(None, 0x1000, PR_READ | PR_LAST)
    m.fault(0x31, None, 0x1000, 0)
    same("responses", m.responses(), [(None, 0, INVALID, 0)])


@test()
def page_request_event(m):
    """Spec 7.5: one event for a queue that was looked at"""
    m.pri()
    m.enable()
    same("PECTL", m.readl(VTD + PECTL), IM)
    m.send(5, 0x1000, PR_READ | PR_LAST, 1)
    same("PECTL", m.readl(VTD + PECTL), IM | IP)
    same("PRS", m.readl(VTD + PRS), PPR)
    m.writel(VTD + PRS, PPR)
    same("PECTL", m.readl(VTD + PECTL), IM)
    m.send(5, 0x1000, PR_READ | PR_LAST, 2)
    # Sent when it is unmasked; then not again while PPR is set
    m.writel(VTD + PECTL, 0)
    same("PECTL", m.readl(VTD + PECTL), 0)
    m.writel(VTD + PECTL, IM)
    m.send(5, 0x1000, PR_READ | PR_LAST, 3)
    same("PECTL", m.readl(VTD + PECTL), IM)
    same("pending", m.pending(), 3)
    # Only the mask can be written.
    m.writel(VTD + PECTL, 0x7fffffff)
    same("PECTL", m.readl(VTD + PECTL), 0)


@test()
def page_request_overflow(m):
    """127 of 128 entries; the rest is dropped until PRO is cleared"""
    m.pri()
    m.enable()
    for wrap in range(3):
        m.send(5, 0x1000, PR_READ | PR_LAST | PR_EACH, 0, 140)
        same("PRS", m.readl(VTD + PRS), PPR | PRO)
        same("pending", m.pending(), 127)
        # Dropped with "success", so that the device tries again
        same("responses", m.responses(),
             [(5, i, SUCCESS, 0) for i in range(127, 140)])
        same("received", m.count(EV_RECEIVED), wrap * 141 + 140)
        same("dropped", m.count(EV_DROPPED), wrap * 14 + 13)
        same("answers", m.count(EV_AUTO + SUCCESS), wrap * 14 + 13)
        r = m.requests(127)
        same("order", [x["prgi"] for x in r], list(range(127)))
        # Room alone does not help.
        m.send(5, 0x1000, PR_READ | PR_LAST, 500)
        same("pending", m.pending(), 0)
        same("responses", m.responses(), [(5, 500, SUCCESS, 0)])
        m.writel(VTD + PRS, PRO)
        for i in range(127):
            m.inv(pgrp(5, i))
        m.responses()
    same("PRS", m.readl(VTD + PRS), 0)
    m.send(5, 0x1000, PR_READ | PR_LAST, 1)
    m.request(5, 0x1000, R)
    # Not the last of its group: dropped without a word
    m.send(5, 0x1000, PR_READ, 1, 130)
    same("PRS", m.readl(VTD + PRS), PPR | PRO)
    same("responses", m.responses(), [])
    m.books()


@test()
def page_request_overflow_retry(m):
    """A descriptor that meets a full queue gets through in the end"""
    n = Nest(m)
    good = absent(n)
    m.pri()
    m.enable()
    m.writel(IMON + 0x64, 3)
    m.send(6, 0x1000, PR_READ | PR_LAST | PR_EACH, 0, 3)
    m.submit(4, 5, src=n.va, length=8)
    for _ in range(2000):
        if m.readq(PTD + CNT_PR) > 10:
            break
    same("PRS", m.readl(VTD + PRS), PPR | PRO)
    same("completions", m.done(), 0)
    m.requests(3)
    m.writel(VTD + PRS, PRO)
    r = m.request(5, n.va, R)
    m.writeq(n.slot, good)
    m.answer(r)
    same("status", m.result()[0], OK)
    m.books()


@test()
def page_request_queue_size(m):
    """As programmed: 128 << PQS"""
    m.pri(size=4)
    m.enable()
    m.send(5, 0x1000, PR_READ, 0, 3000)
    same("pending", m.pending(), 2047)
    same("dropped", m.count(EV_DROPPED), 3000 - 2047)
    m.writel(VTD + PQA + 4, 0x12)
    m.writel(VTD + PQA, 0xabcdefff)
    same("PQA", m.readq(VTD + PQA), 0x12abcde007)
    m.writeq(VTD + PQH, (1 << 64) - 1)
    same("PQH", m.readq(VTD + PQH), 0x7ffe0)


@test()
def page_request_by_hand(m):
    m.pri()
    m.enable()
    # A partial group, its end, and another that reuses the index
    m.send(5, 0x1000, PR_READ, 9, 3)
    m.send(5, 0x9000, PR_WRITE | PR_LAST, 9)
    m.send(5, 0xa000, PR_READ | PR_LAST, 9)
    r = m.requests(5)
    same("last", [x["last"] for x in r], [0, 0, 0, 1, 1])
    same("addresses", [x["addr"] for x in r],
         [0x1000, 0x2000, 0x3000, 0x9000, 0xa000])
    m.answer(r[3])
    m.answer(r[4], INVALID)
    same("responses", m.responses(), [(5, 9, 0, 0), (5, 9, 1, 0)])
    # A stop marker, and the end of the indexes
    m.send(5, 0, PR_LAST, 3)
    same("permissions", m.requests()[0]["perm"], 0)
    m.send(5, 0, PR_READ | PR_LAST | PR_EACH, 510, 3)
    same("indexes", [x["prgi"] for x in m.requests(3)], [510, 511, 0])
    # Without bus master enable nothing is sent.
    m.writew(m.cfg(PTD_DEVFN, 4), 2)
    m.send(5, 0, PR_READ | PR_LAST)
    same("pending", m.pending(), 0)
    m.books()


@test()
def page_request_drain(m):
    """Ordering: what is on its way comes before an answer to the device"""
    m.pri()
    m.enable()
    for i, descs in enumerate((
            (pdtlb(5),), (dtlb(),), ((WAIT | 1 << 7,),), None)):
        m.writel(IMON + 0x60, 1)
        m.send(5, 0x1000, PR_READ | PR_LAST, i, 2)
        m.inv(piotlb(9, 5), pc(9, 5), (WAIT | 1 << 6,))
        same("received", m.count(EV_RECEIVED), 2 * i)
        if descs:
            m.inv(*descs)
        else:
            m.writel(IMON + 0x60, 0)
        same("received", m.count(EV_RECEIVED), 2 * i + 2)
        m.writel(IMON + 0x60, 0)
        m.requests(2)
    # An invalidation of another function brings nothing.
    m.writel(IMON + 0x60, 1)
    m.send(5, 0x1000, PR_READ | PR_LAST)
    m.post(pdtlb(5, sid=Bare.IMON_DEVFN), m.wait())
    same("FSTS", m.readl(VTD + FSTS) & ITE, ITE)
    same("received", m.count(EV_RECEIVED), 8)


@test()
def page_request_invalidates(m):
    """Spec 6.5.4: what led to the request is not used again"""
    n = Nest(m)
    m.pri()
    m.enable()
    m.sees(5, n.va, 0x1111)
    # Another leaf table, which only the cached entry above hides
    top = n.fs
    for level in (4, 3):
        top = (m.readq(top + (n.va >> 12 + 9 * (level - 1) & 511) * 8) &
               MASK52) - GPA_OFF
    old = top + (n.va >> 21 & 511) * 8
    leaf, data = m.page(), m.page()
    m.writeq(data, 0x2222)
    va = n.va + K4
    m.writeq(leaf + (va >> 12 & 511) * 8, n.add_page(data) | P | RW | US)
    m.writeq(old, n.add_page(leaf) | P | RW | US)
    same("through the old table", m.crc(5, va), READ_FAULT)
    m.faults()
    m.submit(5, 5, dst=va, imm=0, length=8)
    r = m.request(5, va, R | W)
    m.answer(r)
    same("value", m.result(), (OK, 0x2222))


@test()
def page_response_reserved(m):
    m.pri()
    m.enable()
    good = pgrp(5, 7)
    for bad in ((good[0] | 1 << 5, good[1]), (good[0] | 1 << 63, good[1]),
                (good[0], good[1] | 1), (good[0], good[1] | 1 << 12),
                good + (1,)):
        m.post(bad)
        same("IQE", m.readl(VTD + FSTS) & IQE, IQE)
        same("code", m.readq(VTD + IQER) & 15, 4)
        at = (m.tail - 1) % 128
        for i, v in enumerate(good + (0, 0)):
            m.writeq(m.iq + at * 32 + i * 8, v)
        m.writel(VTD + FSTS, IQE)


@test(",device-iotlb=off")
def no_page_requests(m):
    """Without device TLBs there is no PRI either"""
    same("PRS", m.readq(VTD + 0x10) >> 29 & 1, 0)
    m.context(lo=1 | 8 | 16)
    m.enable()
    m.refused(0x42, 5, 0)
    m.writeq(VTD + PQA, 0x1000)
    m.send(5, 0, PR_READ | PR_LAST)
    same("received", m.count(EV_RECEIVED), 0)
    m.post(pgrp(5, 0))
    same("code", m.readq(VTD + IQER) & 15, 3)


# The queue

@test()
def queue_errors(m):
    n = Nest(m)
    m.enable()
    m.sees(5, n.va, 0x1111)
    bad = [
        ((0,), 3), ((10,), 3), ((0xf,), 3), ((1 << 9 | 1,), 3),
        ((CC,), 4), ((CC | 1 << 4 | 1 << 6,), 4), ((CC | 1 << 4, 1), 4),
        ((IOTLB,), 4), ((IOTLB | 1 << 4 | 1 << 8,), 4),
        (iotlb_page(9, 0, 19), 4), ((IOTLB | 1 << 4, 0, 1), 4),
        ((PIOTLB | 1 << 4,), 4),
        ((PIOTLB | 2 << 4 | 1 << 60,), 4), ((PC | 2 << 4,), 4),
        ((PC | 3 << 4, 1), 4), ((DTLB | 1 << 4,), 4), ((PDTLB, 2), 4),
        ((WAIT | 1 << 8 | 1 << 5, m.status), 4),
        ((IEC | 1 << 5,), 4),
    ]
    for d, code in bad:
        m.post(d)
        same("IQE", m.readl(VTD + FSTS) & IQE, IQE)
        same("code of %#x" % d[0], m.readq(VTD + IQER) & 15, code)
        at = (m.tail - 1) % 128
        same("head", m.readl(VTD + IQH), at << 5)
        # As Linux does: a wait in its place, then clear the error.
        for i, v in enumerate(m.wait() + (0, 0)):
            m.writeq(m.iq + at * 32 + i * 8, v)
        m.writel(VTD + FSTS, IQE)
        same("wait status", m.readl(m.status), m.tag)
        same("IQER", m.readq(VTD + IQER), 0)
    m.sees(5, n.va, 0x1111)
    m.writeq(VTD + IQT, m.tail << 5 | 16)
    same("code", m.readq(VTD + IQER) & 15, 6)
    m.writel(VTD + FSTS, IQE)


@test()
def wait_flags(m):
    m.enable()
    m.inv((WAIT | 1 << 6,), (WAIT | 1 << 5 | 1 << 7 | 5 << 32, m.status + 8))
    same("status", m.readl(m.status + 8), 5)


@test()
def time_out(m):
    n = Nest(m)
    m.ats()
    m.enable()
    m.sees(5, n.va, 0x1111, 0)
    m.writeq(n.slot, 0)
    for sticky in (0, 1):
        m.writel(IMON + 0x54, SID | 1 << 31 | sticky << 30)
        m.writel(m.status, 0)
        m.post(pdtlb(5), m.wait(), piotlb(9, 5), m.wait())
        same("FSTS", m.readl(VTD + FSTS) & (IQE | ITE), ITE)
        same("source", m.readq(VTD + IQER) >> 32 & 0xffff, SID)
        same("aborted wait", m.readl(m.status), 0)
        same("head", m.readl(VTD + IQH), ((m.tail - 2) % 128) << 5)
        m.writel(VTD + FSTS, ITE)
        same("FSTS", m.readl(VTD + FSTS) & (IQE | ITE), 0)
        same("the wait behind", m.readl(m.status), m.tag)
        m.sees(5, n.va, 0x1111, 0)
    m.writel(IMON + 0x54, 0)
    m.inv(pdtlb(5))
    same("status", m.crc(5, n.va, 0), READ_FAULT)


@test()
def time_out_of_the_absent(m):
    m.context()
    m.enable()
    m.post(dtlb(0x1234), m.wait())
    same("FSTS", m.readl(VTD + FSTS) & (IQE | ITE), ITE)
    same("source", m.readq(VTD + IQER) >> 32 & 0xffff, 0x1234)
    m.writel(VTD + FSTS, ITE)
    # ATS is off
    m.post(dtlb(), m.wait())
    same("FSTS", m.readl(VTD + FSTS) & (IQE | ITE), ITE)


@test()
def ignored_types(m):
    n = Nest(m)
    m.ats()
    m.enable()
    m.sees(5, n.va, 0x1111)
    m.sees(5, n.va, 0x1111, 0)
    for t in (CC, IOTLB, DTLB, PIOTLB, PC, PDTLB):
        m.writeq(IMON + 0x40, 1 << t)
        same("type %d ignored" % t, m.count(t), 0)
    m.writeq(IMON + 0x40, sum(1 << t for t in (CC, IOTLB, PIOTLB, PC, PDTLB)))
    m.writeq(n.slot, 0)
    m.inv(cc_dev(), pc(9, 5), piotlb(9, 5), iotlb_dom(9), pdtlb(5))
    m.sees(5, n.va, 0x1111)
    m.sees(5, n.va, 0x1111, 0)
    same("counted all the same", m.count(PIOTLB, 5), 1)
    m.writeq(IMON + 0x40, 0)
    m.inv(pc(9, 5), piotlb(9, 5), pdtlb(5))
    same("status", m.crc(5, n.va), READ_FAULT)
    same("status", m.crc(5, n.va, 0), READ_FAULT)


@test(",x-async-queue=on")
def async_queue(m):
    n = Nest(m)
    m.enable()
    m.sees(5, n.va, 0x1111)
    # How far the queue gets between two commands is up to the host: at once.
    tail = m.put(*[piotlb(8, 5)] * 120, m.wait())
    early = m.cmds("writeq %#x %#x" % (VTD + IQT, tail),
                   "readl %#x" % m.status)[1]
    if int(early, 16) == m.tag:
        raise Failed("the queue does not run beside the processor")
    m.drain()
    same("descriptors", m.count(PIOTLB), 120)
    m.writeq(n.slot, 0)
    m.post(piotlb(9, 5), m.wait())
    m.drain()
    same("status", m.crc(5, n.va), READ_FAULT)
    m.faults()
    m.post((0,), m.wait())
    for _ in range(100):
        if m.readl(VTD + FSTS) & IQE:
            break
    same("FSTS", m.readl(VTD + FSTS) & IQE, IQE)
    same("head", m.readl(VTD + IQH), ((m.tail - 2) % 128) << 5)


# Virtual commands: spec 11.4.45 to 11.4.49

VCMD, VCRSP, VCCAP = 0xe00, 0xe10, 0xe30
V_ALLOC, V_FREE, V_IP, V_UNDEFINED, V_NONE = 1, 2, 1, 1, 16
EV_V_ALLOC, EV_V_FREE, EV_V_BAD = 0x260, 0x261, 0x262
KNOB_VCMD = 0x68
VCMD_PROPS = ",x-vcmd=on,x-vcmd-min=0x4321,x-vcmd-max=0x4323"


def vcmd(m, cmd, operand=0):
    """Status code and result"""
    m.writeq(VTD + VCMD, cmd | operand << 16)
    rsp = m.readq(VTD + VCRSP)
    same("IP", rsp & V_IP, 0)
    same("reserved", rsp & 0xff00, 0)
    return rsp >> 1 & 0x7f, rsp >> 16


@test(VCMD_PROPS)
def vcmd_alloc_free(m):
    same("VCS", m.readq(VTD + 0x10) >> 44 & 1, 1)
    same("VCCAP", m.readq(VTD + VCCAP), 1)
    for i in range(3):
        same("alloc", vcmd(m, V_ALLOC), (0, 0x4321 + i))
    same("none left", vcmd(m, V_ALLOC), (V_NONE, 0))
    same("free", vcmd(m, V_FREE, 0x4322), (0, 0))
    same("second free", vcmd(m, V_FREE, 0x4322), (V_NONE, 0))
    same("never allocated", vcmd(m, V_FREE, 0x99), (V_NONE, 0))
    same("beyond 20 bits", vcmd(m, V_FREE, 0x104321), (V_NONE, 0))
    same("alloc", vcmd(m, V_ALLOC), (0, 0x4322))
    same("unknown", vcmd(m, 0x77), (V_UNDEFINED, 0))
    same("allocs", m.count(EV_V_ALLOC), 4)
    same("allocs of one", m.count(EV_V_ALLOC, 0x4322), 2)
    same("frees", m.count(EV_V_FREE), 1)
    same("bad frees", m.count(EV_V_BAD), 3)
    # In two halves: the lower one is the command
    m.writel(VTD + VCMD + 4, 0x4321 >> 16)
    m.writel(VTD + VCMD, V_FREE | (0x4321 & 0xffff) << 16)
    same("free by halves", m.count(EV_V_FREE, 0x4321), 1)


@test(VCMD_PROPS)
def vcmd_knobs(m):
    m.writel(IMON + KNOB_VCMD, 1)
    same("fails", vcmd(m, V_ALLOC), (V_UNDEFINED, 0))
    m.writel(IMON + KNOB_VCMD, 2)
    same("no PASID", vcmd(m, V_ALLOC), (V_NONE, 0))
    m.writel(IMON + KNOB_VCMD, 3)
    m.writeq(VTD + VCMD, V_ALLOC)
    same("in progress", m.readq(VTD + VCRSP), V_IP)
    # One at a time: the second is lost
    m.writeq(VTD + VCMD, V_FREE | 0x4321 << 16)
    same("in progress", m.readq(VTD + VCRSP), V_IP)
    same("allocs", m.count(EV_V_ALLOC), 0)
    m.writel(IMON + KNOB_VCMD, 0)
    same("result", m.readq(VTD + VCRSP), 0x4321 << 16)
    same("allocs", m.count(EV_V_ALLOC), 1)
    same("frees", m.count(EV_V_FREE), 0)


@test()
def vcmd_off(m):
    same("VCS", m.readq(VTD + 0x10) >> 44 & 1, 0)
    same("VCCAP", m.readq(VTD + VCCAP), 0)
    m.writeq(VTD + VCMD, V_ALLOC)
    same("VCRSP", m.readq(VTD + VCRSP), 0)
    same("allocs", m.count(EV_V_ALLOC), 0)


# The hook

@test()
def hold_and_release(m):
    n = Nest(m)
    m.enable()
    m.writel(IMON + 0x58, 1)
    m.submit(4, 5, F_NO_ATS, src=n.va, length=8)
    for _ in range(50):
        same("completions", m.done(), 0)
    m.writel(IMON + 0x58, 0)
    same("status", m.result()[0], OK)


@test()
def translation_off(m):
    data = m.page()
    same("status", m.fill(None, data, 0x55), OK)
    same("memory", m.readq(data), 0x55)


@test()
def legacy_mode(m):
    ss, data = m.page(), m.page()
    m.ss_map(ss, 0x123000, data)
    m.writeq(m.ctx + SID * 16, ss | 1)
    m.writeq(m.ctx + SID * 16 + 8, 2 | 7 << 8)
    m.enable(scalable=False)
    same("status", m.fill(None, 0x123000, 0x55), OK)
    same("memory", m.readq(data), 0x55)
    m.refused(5, None, 0x124000, True)
    m.refused(0x31, 1, 0x123000)


@test()
def capabilities(m):
    cap, ecap = m.readq(VTD + 8), m.readq(VTD + 0x10)
    same("SAGAW", cap >> 8 & 31, 6)
    same("MGAW", (cap >> 16 & 63) + 1, 48)
    same("CM", cap >> 7 & 1, 0)
    same("ND", cap & 7, 6)
    same("NFR", (cap >> 40 & 255) + 1, 8)
    same("MAMV", cap >> 48 & 63, 18)
    for name, bit in (("C", 0), ("QI", 1), ("DT", 2), ("NEST", 26),
                      ("PASID", 40), ("SMTS", 43), ("SLTS", 46),
                      ("FLTS", 47), ("SMPWC", 48), ("PRS", 29), ("PDS", 42)):
        same(name, ecap >> bit & 1, 1)
    for name, bit in (("SC", 7), ("VCS", 44), ("SLADS", 45)):
        same(name, ecap >> bit & 1, 0)
    same("PSS", (ecap >> 35 & 31) + 1, 20)


@test()
def every_reason(m):
    """Of scalable mode; the last test"""
    if not sys.argv[2:]:
        same("never raised", [hex(r) for r in sorted(REASONS - reasons)], [])


run("vtd", Machine, __doc__)
