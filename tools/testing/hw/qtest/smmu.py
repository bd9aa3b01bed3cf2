#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""
Tests of the SMMUv3 model without a guest kernel: the tables are written by
hand, straight from the architecture, so that model and driver cannot agree on
a mistake.  Prints KTAP.

    smmu.py QEMU [TEST...]
"""

from bare import (Bare, Failed, same, run, test, K4, M2, G1, ANY, OK,
                  READ_FAULT, WRITE_FAULT, F_EXEC, F_PRIV, F_NO_ATS, EV_ATS,
                  EV_WALK, EV_HIT, EV_RAISED, EV_RECORDED, EV_COLLAPSED, EV_LOST)

SMMU = 0x09050000
RAM = 0x40000000
SID = Bare.PTD_DEVFN
EV_NOT_WB, EV_ATS_OFF = 0x204, 0x222
EV_CMD = 0x100

# Registers, IHI 0070 chapter 6
IDR0, IDR1, IDR3, IDR5 = 0, 4, 0xc, 0x14
CR0, CR0ACK, CR2, GERROR, GERRORN = 0x20, 0x24, 0x2c, 0x60, 0x64
STRTAB_BASE, STRTAB_CFG = 0x80, 0x88
CMDQ_BASE, CMDQ_PROD, CMDQ_CONS = 0x90, 0x98, 0x9c
EVTQ_BASE, EVTQ_PROD, EVTQ_CONS = 0xa0, 0x100a8, 0x100ac
OVF = 1 << 31

# Commands, chapter 4
CFGI_STE, CFGI_ALL, CFGI_CD, CFGI_CD_ALL = 3, 4, 5, 6
NH_ALL, NH_ASID, NH_VA, NH_VAA = 0x10, 0x11, 0x12, 0x13
S12_VMALL, S2_IPA, NSNH_ALL = 0x28, 0x2a, 0x30
ATC_INV, RESUME, STALL_TERM, SYNC = 0x40, 0x44, 0x45, 0x46
ILL, ABT, ATC = 1, 2, 3

# Events, chapter 7
BAD_STREAMID, STE_FETCH, BAD_STE, BAD_ATS, DISABLED = 2, 3, 4, 5, 6
FORBIDDEN, BAD_SSID, CD_FETCH, BAD_CD, EABT = 7, 8, 9, 10, 11
TRANSLATION, ADDR_SIZE, ACCESS, PERMISSION = 0x10, 0x11, 0x12, 0x13
C_CD, C_TT, C_IN = 0, 1, 2

# Descriptors, VMSAv8-64
TABLE, PAGE, BLOCK = 3, 3, 1
AF, NG, USER, RO = 1 << 10, 1 << 11, 1 << 6, 1 << 7
UXN, PXN = 1 << 54, 1 << 53
S1_RW = PAGE | AF | NG | USER
S2_R, S2_W = 1 << 6, 1 << 7
S2_WB = 0xf << 2
S2_RW = PAGE | AF | S2_R | S2_W | S2_WB
MASK48 = (1 << 48) - K4

BYPASS, S1, S2, NESTED = 4, 5, 6, 7
TERMINATE, DSS_BYPASS, SSID0 = 0, 1, 2
CD_S, CD_R, CD_A = 1 << 44, 1 << 45, 1 << 46
STALLD, FWB, ATS, MEV = 1 << 27, 1 << 25, 1 << 28, 1 << 19
S2S, S2R = 1 << 57, 1 << 58

# IPAs of nested tests are addresses in memory plus this
OFF = 0x100000000


class Machine(Bare):
    ECAM, PTD, IMON = 0x4010000000, 0x10000000, 0x10100000
    TOP = RAM + 0x2000000

    def __init__(self, qemu, props=""):
        dev = "pasid-testdev,addr=8"
        args = [qemu, "-machine", "virt,gic-version=3,iommu=smmuv3", "-cpu",
                "cortex-a57", "-m", "1G"]
        for p in ("x-nesting=on " + props).split():
            if p.startswith("dev:"):
                dev += "," + p[4:]
            else:
                args += ["-global", "arm-smmuv3." + p]
        super().__init__(args + ["-device", dev, "-device",
                                 "iommu-monitor,addr=9"])
        self.find_devices()
        self.strtab = self.page(1 << 14)
        self.cmdq = self.page()
        self.evtq = self.page()
        self.prod = self.cons = 0
        self.w(CR0, 0)
        self.writeq(SMMU + STRTAB_BASE, self.strtab)
        self.w(STRTAB_CFG, 8)
        self.writeq(SMMU + CMDQ_BASE, self.cmdq | 8)
        self.evtq_bits = min(7, self.r(IDR1) >> 16 & 31)
        self.writeq(SMMU + EVTQ_BASE, self.evtq | self.evtq_bits)
        self.w(CMDQ_PROD, 0)
        self.w(CMDQ_CONS, 0)
        self.w(EVTQ_PROD, 0)
        self.w(EVTQ_CONS, 0)
        self.w(CR2, 2)

    def r(self, reg):
        return self.readl(SMMU + reg)

    def w(self, reg, val):
        self.writel(SMMU + reg, val)

    def enable(self):
        self.w(CR0, 0x1d)
        same("CR0ACK", self.r(CR0ACK), 0x1d)

    # Commands

    def post(self, *cmds):
        for c in cmds:
            for i, v in enumerate(c):
                self.writeq(self.cmdq + (self.prod & 255) * 16 + i * 8, v)
            self.prod = (self.prod + 1) & 511
        self.w(CMDQ_PROD, self.prod)

    def do(self, *cmds):
        self.post(*cmds, (SYNC, 0))
        same("CMDQ_CONS", self.r(CMDQ_CONS), self.prod)
        same("GERROR", self.r(GERROR) ^ self.r(GERRORN), 0)

    def refused(self, cmd, error=ILL):
        """The queue stops at it; a SYNC in its place goes on"""
        at = self.prod
        self.post(cmd)
        same("CMDQ_CONS", self.r(CMDQ_CONS) & ~(0x7f << 24), at)
        same("error", self.r(CMDQ_CONS) >> 24 & 0x7f, error)
        same("GERROR", (self.r(GERROR) ^ self.r(GERRORN)) & 1, 1)
        self.writeq(self.cmdq + (at & 255) * 16, SYNC)
        self.writeq(self.cmdq + (at & 255) * 16 + 8, 0)
        self.w(GERRORN, self.r(GERROR))
        same("CMDQ_CONS", self.r(CMDQ_CONS) & 511, self.prod)

    # Events

    def events(self):
        out = []
        mask = (2 << self.evtq_bits) - 1
        while (self.r(EVTQ_PROD) & mask) != self.cons & mask:
            a = self.evtq + (self.cons & mask >> 1) * 32
            e = [self.readq(a + i * 8) for i in range(4)]
            self.cons = (self.cons + 1) & mask
            self.w(EVTQ_CONS, self.cons | (self.r(EVTQ_PROD) & OVF))
            out.append({
                "type": e[0] & 0xff, "sid": e[0] >> 32,
                "ssid": e[0] >> 12 & 0xfffff if e[0] >> 11 & 1 else None,
                "stag": e[1] & 0xffff if e[1] >> 31 & 1 else None,
                "read": e[1] >> 35 & 1, "priv": e[1] >> 33 & 1,
                "exec": e[1] >> 34 & 1, "s2": e[1] >> 39 & 1,
                "class": e[1] >> 40 & 3, "addr": e[2], "ipa": e[3]})
        return out

    def event(self, kind, ssid=None, **want):
        got = self.events()
        same("number of events", len(got), 1)
        same("event", got[0]["type"], kind)
        same("StreamID", got[0]["sid"], SID)
        same("SubstreamID", got[0]["ssid"], ssid)
        for k, v in want.items():
            same(k, got[0][k], v)
        return got[0]

    # Tables

    def ste(self, w0=0, w1=0, w2=0, w3=0, sid=SID):
        a = self.strtab + sid * 64
        self.writeq(a, 0)
        self.writeq(a + 8, w1)
        self.writeq(a + 16, w2)
        self.writeq(a + 24, w3)
        self.writeq(a, w0 | 1)

    def cd(self, addr, ttb, asid=1, extra=CD_R, tsz=16, w0=0):
        self.writeq(addr, 0)
        self.writeq(addr + 8, ttb)
        self.writeq(addr + 24, 0xff)            # MAIR: 0 is write-back
        self.writeq(addr, tsz | 1 << 30 | 1 << 31 | 5 << 32 | 1 << 41 |
                    CD_A | asid << 48 | extra | w0)

    def s2(self, ttb, vmid=1, t0sz=24, sl0=1, extra=S2R):
        """Words 2 and 3 of an STE; 40 bits from level 1, two tables"""
        return (vmid | t0sz << 32 | sl0 << 38 | 5 << 48 | 1 << 51 | extra,
                ttb)

    def _map(self, root, addr, target, bits, size, start, table=None):
        t = root
        want = {K4: 3, M2: 2, G1: 1}[size]
        level = start
        top = 0x3ff if start == 1 else 0x1ff    # 40 bits of stage 2
        while level < want:
            slot = t + (addr >> 39 - 9 * level & top) * 8
            top = 0x1ff
            v = self.readq(slot)
            if not v & 1:
                v = self.page()
                if table:
                    v = table(v)
                v |= TABLE
                self.writeq(slot, v)
            t = v & MASK48
            if table:
                t -= OFF
            level += 1
        slot = t + (addr >> 39 - 9 * level & top) * 8
        if size != K4:
            bits &= ~2
        self.writeq(slot, target | bits)
        return slot

    def s1_map(self, root, va, pa, bits=S1_RW, size=K4, table=None):
        return self._map(root, va, pa, bits, size, 0, table)

    def s2_map(self, root, ipa, pa, bits=S2_RW, size=K4):
        return self._map(root, ipa, pa, bits, size, 1)


def cfgi_ste(sid=SID, leaf=1):
    return (CFGI_STE | sid << 32, leaf)


def cfgi_cd(ssid, sid=SID, leaf=1):
    return (CFGI_CD | ssid << 12 | sid << 32, leaf)


def nh_va(asid, va, vmid=0, leaf=0):
    return (NH_VA | vmid << 32 | asid << 48, va | leaf)


def s2_ipa(vmid, ipa, leaf=0):
    return (S2_IPA | vmid << 32, ipa | leaf)


VA = 0x7f0000123000


class Stage1:
    """A context descriptor table for SSIDs, stage 1 alone"""

    def __init__(self, m, ssids=(5,), extra=CD_R, dss=SSID0, fmt=0, w1=0,
                 cdmax=None):
        self.m = m
        if cdmax is None:
            cdmax = 10 if fmt else 4
        self.table = m.page(1 << 14)
        self.fmt = fmt
        self.ttb, self.data, self.slot = {}, {}, {}
        for n, ssid in enumerate(ssids):
            ttb = self.ttb[ssid] = m.page()
            self.data[ssid] = m.page()
            m.writeq(self.data[ssid], 0x1000 + ssid)
            self.slot[ssid] = m.s1_map(ttb, VA, self.data[ssid])
            m.cd(self.cd_addr(ssid), ttb, asid=1 + n, extra=extra)
        m.ste(S1 << 1 | fmt << 4 | self.table | cdmax << 59, dss | w1)

    def cd_addr(self, ssid):
        m = self.m
        if not self.fmt:
            return self.table + ssid * 64
        split = 6 if self.fmt == 1 else 10
        slot = self.table + (ssid >> split) * 8
        v = m.readq(slot)
        if not v & 1:
            v = m.page(64 << split) | 1
            m.writeq(slot, v)
        return (v & MASK48) + (ssid & (1 << split) - 1) * 64


class Nest:
    """Stage 1 on a stage 2 that maps its pages, at OFF"""

    def __init__(self, m, ssid=5, asid=7, vmid=9, extra=CD_R, w1=0, s2=S2R,
                 fmt=0, attr=0):
        self.m, self.ssid, self.asid, self.vmid = m, ssid, asid, vmid
        self.s2 = m.page(2 * K4)
        self.slots = {}
        self.table = m.page()
        self.ttb = m.page()
        self.data = m.page()
        m.writeq(self.data, 0x1111)
        for p in (self.table, self.ttb, self.data):
            self.add(p)
        self.slot = m.s1_map(self.ttb, VA, self.data + OFF, S1_RW | attr,
                             table=self.add)
        cdt = self.table
        if fmt:
            cdt = m.page()
            self.add(cdt)
            m.writeq(self.table, (cdt + OFF) | 1)
        self.cd = cdt + ssid * 64
        m.cd(self.cd, self.ttb + OFF, asid, extra)
        w2, w3 = m.s2(self.s2, vmid, extra=s2)
        m.ste(NESTED << 1 | fmt << 4 | (self.table + OFF) | 6 << 59,
              SSID0 | w1, w2, w3)

    def add(self, pa, bits=S2_RW):
        self.slots[pa] = self.m.s2_map(self.s2, pa + OFF, pa, bits)
        return pa + OFF


# Stream table


@test()
def identification(m):
    idr0, idr1 = m.r(IDR0), m.r(IDR1)
    for name, bit in (("S2P", 0), ("S1P", 1), ("COHACC", 4), ("ATS", 10),
                      ("ASID16", 12), ("VMID16", 18), ("CD2L", 19)):
        same(name, idr0 >> bit & 1, 1)
    for name, bit in (("BTM", 5), ("HYP", 9), ("MSI", 13), ("PRI", 16)):
        same(name, idr0 >> bit & 1, 0)
    same("STALL_MODEL", idr0 >> 24 & 3, 0)
    same("SSIDSIZE", idr1 >> 6 & 31, 20)
    same("EVENTQS", idr1 >> 16 & 31, 7)
    same("FWB", m.r(IDR3) >> 8 & 1, 1)
    same("RIL", m.r(IDR3) >> 10 & 1, 1)
    same("granules", m.r(IDR5) >> 4 & 7, 1)


@test("x-fwb=off x-ats=off x-stall=off x-ssid-bits=0 x-eventq-bits=3")
def identification_less(m):
    same("ATS", m.r(IDR0) >> 10 & 1, 0)
    same("STALL_MODEL", m.r(IDR0) >> 24 & 3, 1)
    same("SSIDSIZE", m.r(IDR1) >> 6 & 31, 0)
    same("EVENTQS", m.r(IDR1) >> 16 & 31, 3)
    same("FWB", m.r(IDR3) >> 8 & 1, 0)
    m.refused((RESUME | SID << 32, 0)) if m.enable() else None
    m.refused((ATC_INV | SID << 32, 52))


@test()
def abort_bypass(m):
    data = m.page()
    m.ste(0)
    m.enable()
    same("status", m.fill(None, data, 1), WRITE_FAULT)
    same("events", m.events(), [])
    m.ste(BYPASS << 1)
    # the old entry is still cached
    same("status", m.fill(None, data, 1), WRITE_FAULT)
    m.do(cfgi_ste())
    same("status", m.fill(None, data, 0x77), OK)
    same("memory", m.readq(data), 0x77)
    same("status", m.fill(3, data, 1), WRITE_FAULT)
    m.event(BAD_SSID, 3)


@test()
def invalid_ste(m):
    """It is cached as well"""
    data = m.page()
    m.enable()
    same("status", m.fill(None, data, 1), WRITE_FAULT)
    m.event(BAD_STE)
    m.ste(BYPASS << 1)
    same("status", m.fill(None, data, 1), WRITE_FAULT)
    m.event(BAD_STE)
    m.do(cfgi_ste(sid=SID + 1))
    same("status", m.fill(None, data, 1), WRITE_FAULT)
    m.event(BAD_STE)
    m.do(cfgi_ste())
    same("status", m.fill(None, data, 1), OK)


@test("x-strict=off")
def not_strict(m):
    data = m.page()
    m.enable()
    same("status", m.fill(None, data, 1), WRITE_FAULT)
    m.event(BAD_STE)
    m.ste(BYPASS << 1)
    same("status", m.fill(None, data, 1), OK)


@test()
def stream_table_range(m):
    m.w(STRTAB_CFG, 6)              # 64 entries: SID is one too high
    m.enable()
    same("status", m.fill(None, RAM, 1), WRITE_FAULT)
    m.event(BAD_STREAMID)
    m.w(CR2, 0)
    same("status", m.fill(None, RAM, 1), WRITE_FAULT)
    same("events", m.events(), [])


@test()
def stream_table_two_levels(m):
    l1, l2, data = m.page(), m.page(64 << 6), m.page()
    m.writeq(SMMU + STRTAB_BASE, l1)
    m.w(STRTAB_CFG, 1 << 16 | 6 << 6 | 16)
    m.enable()
    same("status", m.fill(None, data, 1), WRITE_FAULT)
    m.event(BAD_STREAMID)
    m.strtab = l2 - (SID & ~63) * 64
    m.ste(BYPASS << 1)
    # an invalid level 1 descriptor is not kept
    m.writeq(l1 + (SID >> 6) * 8, l2 | 7)
    same("status", m.fill(None, data, 1), OK)
    # a valid one is: CFGI_STE of the leaf does not drop it
    m.writeq(l1 + (SID >> 6) * 8, 0)
    m.do(cfgi_ste())
    same("status", m.fill(None, data, 1), OK)
    m.do(cfgi_ste(leaf=0))
    same("status", m.fill(None, data, 1), WRITE_FAULT)
    m.event(BAD_STREAMID)
    # SPAN: the table ends below this stream
    m.writeq(l1 + (SID >> 6) * 8, l2 | 1)
    same("status", m.fill(None, data, 1),
         OK if SID & 63 == 0 else WRITE_FAULT)


@test()
def stream_table_fetch(m):
    m.writeq(SMMU + STRTAB_BASE, 0x800000000)
    m.enable()
    same("status", m.fill(None, RAM, 1), WRITE_FAULT)
    m.event(STE_FETCH, ipa=0x800000000 + SID * 64)


@test()
def illegal_ste(m):
    """Each of these alone makes the entry invalid"""
    s = Stage1(m)
    good0 = S1 << 1 | s.table | 4 << 59
    m.enable()
    m.sees(5, VA, 0x1005)
    for w0, w1 in ((good0 & ~(31 << 59) | 21 << 59, SSID0),
                   (good0 | 3 << 4, SSID0), (good0, 3),
                   (good0, SSID0 | 2 << 30), (good0, SSID0 | 3 << 28)):
        m.ste(w0, w1)
        m.do(cfgi_ste())
        same("status", m.crc(5, VA), READ_FAULT)
        m.event(BAD_STE, 5)
    s2 = m.page(2 * K4)
    w2, w3 = m.s2(s2)
    m.s2_map(s2, VA & 0xfffffffff, s.data[5])
    for bad in (w2 & ~(1 << 51), w2 | 1 << 46, w2 | 1 << 52, w2 | 1 << 55,
                w2 | 1 << 56, w2 | 3 << 38, w2 & ~(63 << 32) | 40 << 32,
                w2 & ~(63 << 32) | 19 << 32, w2 & ~(63 << 32) | 34 << 32):
        m.ste(S2 << 1, 0, bad, w3)
        m.do(cfgi_ste())
        same("status", m.crc(None, VA & 0xfffffffff), READ_FAULT)
        m.event(BAD_STE)
    m.ste(S2 << 1, 0, w2, w3)
    m.do(cfgi_ste())
    same("status", m.crc(None, VA & 0xfffffffff), OK)


# Context descriptors


@test()
def substreams(m):
    s = Stage1(m, (0, 1, 5, 15))
    m.enable()
    for ssid in (1, 5, 15):
        m.sees(ssid, VA, 0x1000 + ssid)
    m.sees(None, VA, 0x1000)
    # SSID 0 is for requests without one
    same("status", m.crc(0, VA), READ_FAULT)
    m.event(DISABLED, 0)
    same("status", m.crc(2, VA), READ_FAULT)
    m.event(BAD_CD, 2)
    same("status", m.crc(16, VA), READ_FAULT)
    m.event(BAD_SSID, 16)
    same("ASIDs are apart", m.readq(s.data[5]), 0x1005)


@test()
def s1dss(m):
    s = Stage1(m, (0, 5), dss=TERMINATE)
    m.enable()
    m.sees(5, VA, 0x1005)
    m.sees(0, VA, 0x1000)
    same("status", m.crc(None, VA), READ_FAULT)
    m.event(DISABLED)
    w0 = S1 << 1 | s.table | 4 << 59
    m.ste(w0, DSS_BYPASS)
    m.do(cfgi_ste())
    m.sees(None, s.data[5], 0x1005)
    m.sees(5, VA, 0x1005)
    # without substreams S1DSS means nothing
    m.ste(S1 << 1 | s.table, TERMINATE)
    m.do(cfgi_ste())
    m.sees(None, VA, 0x1000)
    same("status", m.crc(5, VA), READ_FAULT)
    m.event(BAD_SSID, 5)


def two_levels(m, fmt, ssids):
    s = Stage1(m, ssids, fmt=fmt, cdmax=20)
    m.enable()
    for ssid in ssids:
        m.sees(ssid, VA, 0x1000 + ssid)
    far = 3 << 10
    same("status", m.crc(far, VA), READ_FAULT)
    m.event(BAD_SSID, far)
    # an invalid level 1 descriptor is cached
    m.cd(s.cd_addr(far), s.ttb[ssids[0]], asid=1)
    same("status", m.crc(far, VA), READ_FAULT)
    m.event(BAD_SSID, far)
    m.do(cfgi_cd(far, leaf=1), cfgi_cd(ssids[0], leaf=0))
    same("status", m.crc(far, VA), READ_FAULT)
    m.event(BAD_SSID, far)
    m.do(cfgi_cd(far, leaf=0))
    m.sees(far, VA, 0x1000 + ssids[0])


@test()
def cd_two_levels_4k(m):
    two_levels(m, 1, (1, 63, 64, 200))


@test()
def cd_two_levels_64k(m):
    two_levels(m, 2, (1, 1023, 1024))


@test()
def cd_cached(m):
    """Valid or not, until CFGI_CD of that SSID, CFGI_CD_ALL, CFGI_STE"""
    s = Stage1(m, (1, 2))
    m.enable()
    m.sees(1, VA, 0x1001)
    m.sees(2, VA, 0x1002)
    for drop, other in ((cfgi_cd(1), cfgi_cd(2)),
                        ((CFGI_CD_ALL | SID << 32, 0),
                         (CFGI_CD_ALL | SID + 8 << 32, 0)),
                        (cfgi_ste(), cfgi_ste(sid=SID + 8)),
                        ((CFGI_ALL, 31), (CFGI_ALL | SID + 8 << 32, 2))):
        cd = m.readq(s.cd_addr(1))
        m.writeq(s.cd_addr(1), cd & ~(1 << 31))
        m.sees(1, VA, 0x1001)
        m.do(other, (NSNH_ALL, 0))
        m.sees(1, VA, 0x1001)
        m.do(drop)
        same("status", m.crc(1, VA), READ_FAULT)
        m.event(BAD_CD, 1)
        m.writeq(s.cd_addr(1), cd)
        same("status", m.crc(1, VA), READ_FAULT)
        m.event(BAD_CD, 1)
        m.do(drop)
        m.sees(1, VA, 0x1001)
        m.sees(2, VA, 0x1002)


@test()
def illegal_cd(m):
    s = Stage1(m)
    a = s.cd_addr(5)
    good = m.readq(a)
    m.enable()
    m.sees(5, VA, 0x1005)
    for bad in (good & ~(1 << 31), good & ~(1 << 41), good & ~CD_A,
                good | 1 << 15, good | 1 << 42, good | 1 << 43,
                good & ~63 | 15, good & ~63 | 40, good | 1 << 6):
        m.writeq(a, bad)
        m.do(cfgi_cd(5))
        same("status", m.crc(5, VA), READ_FAULT)
        m.event(BAD_CD, 5)
    m.writeq(a, good)
    m.writeq(a + 8, s.ttb[5] | 1 << 50)
    m.do(cfgi_cd(5))
    same("status", m.crc(5, VA), READ_FAULT)
    m.event(BAD_CD, 5)


@test()
def cd_fetch(m):
    s = Stage1(m)
    m.ste(S1 << 1 | 0x800000000 | 4 << 59, SSID0)
    m.enable()
    same("status", m.crc(5, VA), READ_FAULT)
    m.event(CD_FETCH, 5, ipa=0x800000000 + 5 * 64)
    same("unused", s.fmt, 0)


# Stage 1


@test()
def stage1_faults(m):
    s = Stage1(m)
    m.enable()
    far = VA + 0x200000
    same("status", m.fill(5, far + 0x10, 1), WRITE_FAULT)
    m.event(TRANSLATION, 5, addr=far + 0x10, read=0, s2=0, **{"class": C_IN})
    same("status", m.crc(5, 1 << 48), READ_FAULT)
    m.event(TRANSLATION, 5, addr=1 << 48, read=1)
    same("status", m.crc(5, 0xffff000000000000), READ_FAULT)
    m.event(TRANSLATION, 5)
    t = m.ttb = s.ttb[5]
    m.s1_map(t, VA + K4, s.data[5], S1_RW & ~AF)
    same("status", m.crc(5, VA + K4), READ_FAULT)
    m.event(ACCESS, 5)
    m.s1_map(t, VA + 2 * K4, s.data[5], S1_RW | RO)
    same("status", m.crc(5, VA + 2 * K4), OK)
    same("status", m.fill(5, VA + 2 * K4, 1), WRITE_FAULT)
    m.event(PERMISSION, 5, read=0, priv=0)
    m.s1_map(t, VA + 3 * K4, s.data[5], S1_RW & ~USER | UXN)
    same("status", m.crc(5, VA + 3 * K4), READ_FAULT)
    m.event(PERMISSION, 5, priv=0)
    same("status", m.crc(5, VA + 3 * K4, F_PRIV | F_NO_ATS), OK)
    m.s1_map(t, VA + 4 * K4, s.data[5], S1_RW | UXN)
    same("status", m.crc(5, VA + 4 * K4), OK)
    same("status", m.crc(5, VA + 4 * K4, F_EXEC | F_NO_ATS), READ_FAULT)
    m.event(PERMISSION, 5, **{"exec": 1})
    m.s1_map(t, VA + 5 * K4, 1 << 45)
    same("status", m.crc(5, VA + 5 * K4), READ_FAULT)
    m.event(ADDR_SIZE, 5)
    m.s1_map(t, VA + (1 << 40), 0)
    slot = t + ((VA + (1 << 40)) >> 39 & 511) * 8
    m.writeq(slot, 0x800000000 | TABLE)
    m.do((NH_ALL, 0))
    same("status", m.crc(5, VA + (1 << 40)), READ_FAULT)
    m.event(EABT, 5)


@test()
def fault_not_recorded(m):
    """CD.R"""
    Stage1(m, extra=0)
    m.enable()
    same("status", m.crc(5, 0), READ_FAULT)
    same("events", m.events(), [])


@test()
def table_permissions(m):
    s = Stage1(m)
    m.enable()
    slot = s.ttb[5] + (VA >> 39 & 511) * 8
    v = m.readq(slot)
    m.writeq(slot, v | 1 << 62)
    same("status", m.crc(5, VA), OK)
    same("status", m.fill(5, VA, 1), WRITE_FAULT)
    m.event(PERMISSION, 5)
    m.writeq(slot, v | 1 << 61)
    m.do((NH_ALL, 0))
    same("status", m.crc(5, VA), READ_FAULT)
    m.event(PERMISSION, 5)
    m.writeq(s.cd_addr(5) + 8, s.ttb[5] | 2)     # HAD
    m.do(cfgi_cd(5), (NH_ALL, 0))
    same("status", m.fill(5, VA, 1), OK)


@test()
def blocks(m):
    s = Stage1(m)
    big = m.page(M2)
    m.s1_map(s.ttb[5], 0x80000000, big, size=M2)
    m.s1_map(s.ttb[5], 0x10000000000, RAM, size=G1)
    m.enable()
    m.writeq(big + 0x123450, 0x22)
    m.sees(5, 0x80000000 + 0x123450, 0x22)
    m.sees(5, 0x10000000000 + big - RAM + 0x123450, 0x22)
    n = m.count(EV_WALK)
    m.sees(5, 0x80000000 + 0x1ff000, 0)
    same("walks", m.count(EV_WALK), n)
    # one invalidation of any address in it drops a block
    m.s1_map(s.ttb[5], 0x80000000, s.data[5], size=M2, bits=0)
    m.sees(5, 0x80000000 + 0x123450, 0x22)
    m.do(nh_va(1, 0x80000000 + 0x77000))
    same("status", m.crc(5, 0x80000000), READ_FAULT)
    m.event(TRANSLATION, 5)


@test()
def stale_until_invalidated(m):
    """By VA of its ASID, VAA, ASID, VMID; nothing else"""
    s = Stage1(m, (1, 2))
    new = m.page()
    m.writeq(new, 0x99)
    m.enable()
    m.sees(1, VA, 0x1001)
    for drop in (nh_va(1, VA), nh_va(1, VA, leaf=1), (NH_VAA, VA),
                 (NH_ASID | 1 << 48, 0), (NH_ALL, 0), (NSNH_ALL, 0),
                 (S12_VMALL, 0)):
        old = m.readq(s.slot[1])
        m.writeq(s.slot[1], new | S1_RW)
        m.sees(1, VA, 0x1001)
        m.do(nh_va(1, VA + K4), nh_va(2, VA), nh_va(1, VA, vmid=1),
             (NH_ASID | 2 << 48, 0), (NH_ALL | 1 << 32, 0),
             (S12_VMALL | 1 << 32, 0), s2_ipa(0, VA & MASK48 & 0xfffffffffff),
             cfgi_cd(1), cfgi_ste(), (CFGI_ALL, 31))
        m.sees(1, VA, 0x1001)
        m.do(drop)
        m.sees(1, VA, 0x99)
        m.writeq(s.slot[1], old)
        m.do((NSNH_ALL, 0))
        m.sees(1, VA, 0x1001)


@test("x-refill=off")
def global_entries(m):
    s = Stage1(m, (1, 2))
    for ssid in (1, 2):
        m.s1_map(s.ttb[ssid], VA, s.data[ssid], S1_RW & ~NG)
    m.enable()
    m.sees(1, VA, 0x1001)
    # software's mistake: it is global, so it serves the other ASID
    m.sees(2, VA, 0x1001)
    m.do((NH_ASID | 1 << 48, 0))
    m.sees(2, VA, 0x1001)
    m.do(nh_va(2, VA))
    m.sees(2, VA, 0x1002)


@test()
def permission_is_cached(m):
    """What a TLB entry forbids is forbidden until it is invalidated"""
    s = Stage1(m)
    m.writeq(s.slot[5], m.readq(s.slot[5]) | RO)
    m.enable()
    same("status", m.crc(5, VA), OK)
    m.writeq(s.slot[5], m.readq(s.slot[5]) & ~RO)
    same("status", m.fill(5, VA, 1), WRITE_FAULT)
    m.event(PERMISSION, 5)
    m.do(nh_va(5, VA))
    same("status", m.fill(5, VA, 1), WRITE_FAULT)
    m.event(PERMISSION, 5)
    m.do(nh_va(1, VA))
    same("status", m.fill(5, VA, 1), OK)


@test()
def not_present_is_not_cached(m):
    s = Stage1(m)
    m.enable()
    same("status", m.crc(5, VA + K4), READ_FAULT)
    m.event(TRANSLATION, 5)
    m.s1_map(s.ttb[5], VA + K4, s.data[5])
    m.sees(5, VA + K4, 0x1005)


@test()
def walk_cache(m):
    """Leaf invalidation keeps the tables, the other one does not"""
    s = Stage1(m)
    m.enable()
    m.sees(5, VA, 0x1005)
    slot = s.ttb[5] + (VA >> 39 & 511) * 8
    other = m.page()
    root = m.page()
    m.s1_map(root, VA, other)
    m.writeq(other, 0x66)
    m.writeq(slot, m.readq(root + (VA >> 39 & 511) * 8))
    m.do(nh_va(1, VA, leaf=1))
    m.sees(5, VA, 0x1005)
    m.do(nh_va(1, VA))
    m.sees(5, VA, 0x66)


@test()
def ranges(m):
    """NUM, SCALE, TG, TTL"""
    s = Stage1(m)
    t = s.ttb[5]
    pages = [m.page() for _ in range(8)]
    for i, p in enumerate(pages):
        m.s1_map(t, VA + i * K4, p)
        m.writeq(p, i)
    m.enable()

    def stale():
        return [i for i in range(8) if m.crc(5, VA + i * K4) == OK]

    def again():
        for i, p in enumerate(pages):
            m.s1_map(t, VA + i * K4, p)
        m.do((NSNH_ALL, 0))
        same("all", stale(), list(range(8)))
        for i in range(8):
            m.s1_map(t, VA + i * K4, 0, 0)

    for num, scale, first, gone in ((0, 0, 2, [2]), (1, 0, 1, [1, 2]),
                                    (2, 0, 0, [0, 1, 2]),
                                    (0, 2, 4, [4, 5, 6, 7]),
                                    (1, 1, 2, [2, 3, 4, 5])):
        again()
        m.do((NH_VA | num << 12 | scale << 20 | 1 << 48,
              VA + first * K4 | 1 << 10 | 3 << 8 | 1))
        same("stale", stale(), [i for i in range(8) if i not in gone])
        m.events()
    # a TTL of another level does not drop pages
    again()
    m.do((NH_VA | 7 << 12 | 1 << 48, VA | 1 << 10 | 2 << 8 | 1))
    same("stale", stale(), list(range(8)))


# Stage 2 and nested


@test()
def stage2(m):
    s2, data = m.page(2 * K4), m.page()
    w2, w3 = m.s2(s2, vmid=3)
    slot = m.s2_map(s2, 0x8000123000, data)
    m.ste(S2 << 1, 0, w2, w3)
    m.enable()
    same("status", m.fill(None, 0x8000123010, 0x42), OK)
    same("memory", m.readq(data + 0x10), 0x42)
    same("status", m.crc(None, 0x8000124000), READ_FAULT)
    m.event(TRANSLATION, addr=0x8000124000, ipa=0x8000124000, s2=1,
            **{"class": C_IN})
    same("status", m.crc(None, 1 << 40), READ_FAULT)
    m.event(TRANSLATION, s2=1)
    same("status", m.crc(4, 0x8000123000), READ_FAULT)
    m.event(BAD_SSID, 4)
    m.writeq(slot, 0)
    for no in (s2_ipa(3, 0x8000124000), s2_ipa(2, 0x8000123000),
               (NH_ALL | 3 << 32, 0), (S12_VMALL | 2 << 32, 0)):
        m.do(no)
    same("status", m.crc(None, 0x8000123000), OK)
    m.do(s2_ipa(3, 0x8000123000))
    same("status", m.crc(None, 0x8000123000), READ_FAULT)
    m.event(TRANSLATION, s2=1)
    m.s2_map(s2, 0x8000123000, data, S2_RW & ~S2_W)
    same("status", m.fill(None, 0x8000123000, 1), WRITE_FAULT)
    m.event(PERMISSION, s2=1, ipa=0x8000123000)
    m.s2_map(s2, 0x8000125000, data, S2_RW & ~AF)
    same("status", m.crc(None, 0x8000125000), READ_FAULT)
    m.event(ACCESS, s2=1)


@test("x-stage1=off")
def stage2_only(m):
    same("S1P", m.r(IDR0) >> 1 & 1, 0)
    same("SSIDSIZE", m.r(IDR1) >> 6 & 31, 0)
    s2, data = m.page(2 * K4), m.page()
    w2, w3 = m.s2(s2)
    m.s2_map(s2, 0x123000, data)
    m.ste(S2 << 1, 0, w2, w3)
    m.enable()
    same("status", m.fill(None, 0x123000, 1), OK)
    m.ste(NESTED << 1, 0, w2, w3)
    m.do(cfgi_ste())
    same("status", m.fill(None, 0x123000, 1), WRITE_FAULT)
    m.event(BAD_STE)
    m.refused((NH_ALL, 0))


@test()
def stage2_not_recorded(m):
    w2, w3 = m.s2(m.page(2 * K4), extra=0)
    m.ste(S2 << 1, 0, w2, w3)
    m.enable()
    same("status", m.crc(None, 0), READ_FAULT)
    same("events", m.events(), [])


@test()
def nested(m):
    n = Nest(m)
    m.enable()
    m.sees(5, VA + 0, 0x1111)
    same("status", m.fill(5, VA + 8, 0x33), OK)
    same("memory", m.readq(n.data + 8), 0x33)
    same("status", m.crc(5, VA + K4), READ_FAULT)
    m.event(TRANSLATION, 5, s2=0, addr=VA + K4)


@test()
def nested_two_levels(m):
    Nest(m, fmt=1)
    m.enable()
    m.sees(5, VA, 0x1111)


@test()
def nested_stage2_faults(m):
    """Who asked shows in CLASS, the IPA, and not in the input address"""
    n = Nest(m)
    m.enable()
    for page, cls in ((n.data, C_IN), (n.ttb, C_TT), (n.table, C_CD)):
        m.writeq(n.slots[page], 0)
        m.do((CFGI_ALL, 31), (NSNH_ALL, 0))
        same("status", m.crc(5, VA + 8), READ_FAULT)
        m.event(TRANSLATION, 5, s2=1, addr=VA + 8, ipa=page + OFF,
                **{"class": cls})
        m.writeq(n.slots[page], page | S2_RW)
    # no read permission for the table
    m.writeq(n.slots[n.ttb], n.ttb | S2_RW & ~S2_R)
    m.do((NSNH_ALL, 0))
    same("status", m.crc(5, VA), READ_FAULT)
    m.event(PERMISSION, 5, s2=1, **{"class": C_TT})
    m.writeq(n.slots[n.ttb], n.ttb | S2_RW)
    m.writeq(n.slots[n.data], n.data | S2_RW & ~S2_W)
    m.do((NSNH_ALL, 0))
    same("status", m.crc(5, VA), OK)
    same("status", m.fill(5, VA, 1), WRITE_FAULT)
    m.event(PERMISSION, 5, s2=1, ipa=n.data + OFF, **{"class": C_IN})


@test()
def nested_invalidation(m):
    """A change of stage 2 needs the stage 1 entries of the VMID dropped too"""
    n = Nest(m)
    new = m.page()
    m.writeq(new, 0x2222)
    m.enable()
    m.sees(5, VA, 0x1111)
    m.writeq(n.slots[n.data], new | S2_RW)
    m.do(s2_ipa(9, n.data + OFF))
    m.sees(5, VA, 0x1111)
    m.do((NH_ALL | 8 << 32, 0), (NH_ASID | 9 << 32 | 6 << 48, 0))
    m.sees(5, VA, 0x1111)
    m.do((NH_ALL | 9 << 32, 0))
    m.sees(5, VA, 0x2222)
    m.writeq(n.slots[n.data], n.data | S2_RW)
    m.do((NH_ALL | 9 << 32, 0))
    m.sees(5, VA, 0x2222)
    m.do((S12_VMALL | 9 << 32, 0))
    m.sees(5, VA, 0x1111)


@test()
def nested_wrong_order(m):
    """Stage 1 first, then stage 2: a refill in between keeps the old page"""
    n = Nest(m)
    new = m.page()
    m.writeq(new, 0x2222)
    m.enable()
    m.sees(5, VA, 0x1111)
    m.writeq(n.slots[n.data], new | S2_RW)
    m.do((NH_ALL | 9 << 32, 0), s2_ipa(9, n.data + OFF))
    m.sees(5, VA, 0x1111)
    m.do(s2_ipa(9, n.data + OFF), (NH_ALL | 9 << 32, 0))
    m.sees(5, VA, 0x2222)


@test()
def nested_s1dss_bypass(m):
    n = Nest(m)
    w2, w3 = m.s2(n.s2, 9)
    m.ste(NESTED << 1 | (n.table + OFF) | 6 << 59, DSS_BYPASS, w2, w3)
    m.enable()
    m.sees(None, n.data + OFF, 0x1111)
    m.sees(5, VA, 0x1111)


@test()
def two_vmids(m):
    """Two streams are needed to see it: one after the other does as well"""
    a = Nest(m, vmid=9)
    m.enable()
    m.sees(5, VA, 0x1111)
    b = Nest(m, vmid=10)
    m.writeq(b.data, 0x3333)
    m.do(cfgi_ste())
    m.sees(5, VA, 0x3333)
    w2, w3 = m.s2(a.s2, 9)
    m.ste(NESTED << 1 | (a.table + OFF) | 6 << 59, SSID0, w2, w3)
    m.do((NH_ALL | 10 << 32, 0), cfgi_ste())
    n = m.count(EV_WALK)
    m.sees(5, VA, 0x1111)
    same("VMID 9 was left alone", m.count(EV_WALK), n)


@test()
def forced_write_back(m):
    """What is not write-back is not coherent with the CPU's caches"""
    n = Nest(m, attr=1 << 2)                # MAIR 1: device memory
    m.enable()
    m.sees(5, VA, 0x1111)
    same("not write-back", m.count(EV_NOT_WB, 5) > 0, True)
    n = Nest(m, attr=1 << 2, w1=FWB)
    for p, slot in n.slots.items():
        m.writeq(slot, p | S2_RW & ~S2_WB | 6 << 2)
    m.do((CFGI_ALL, 31), (NSNH_ALL, 0))
    before = m.count(EV_NOT_WB, 5)
    m.sees(5, VA, 0x1111)
    same("not write-back", m.count(EV_NOT_WB, 5), before)
    # 7: stage 1 decides
    m.writeq(n.slots[n.data], n.data | S2_RW & ~S2_WB | 7 << 2)
    m.do((NSNH_ALL, 0))
    m.sees(5, VA, 0x1111)
    same("not write-back", m.count(EV_NOT_WB, 5) > before, True)


@test("x-fwb=off")
def no_forced_write_back(m):
    Nest(m, w1=FWB)
    m.enable()
    same("status", m.crc(5, VA), READ_FAULT)
    m.event(BAD_STE, 5)


# Commands


@test()
def commands_refused(m):
    """Every bit a command does not have"""
    m.enable()
    sid, ssid, vmid, asid = SID << 32, 0xfffff << 12, 0xffff << 32, 0xffff << 48
    sids = 0xffffffff << 32
    rng, inv1 = 0x1f << 12 | 0x1f << 20, 1 | 0xf << 8
    addr, ipa = ((1 << 64) - K4), ((1 << 52) - K4)
    for op, w0, w1 in ((CFGI_STE, sids, 1), (CFGI_ALL, sids, 31),
                       (CFGI_CD, sids | ssid, 1), (CFGI_CD_ALL, sids, 0),
                       (NH_ALL, vmid, 0), (NH_ASID, vmid | asid, 0),
                       (NH_VA, vmid | asid | rng, addr | inv1),
                       (NH_VAA, vmid | rng, addr | inv1),
                       (S12_VMALL, vmid, 0),
                       (S2_IPA, vmid | rng, ipa | inv1), (NSNH_ALL, 0, 0),
                       (ATC_INV, sids | ssid | 1 << 11 | 1 << 9,
                        addr | 63), (RESUME, sids | 3 << 12, 0xffff),
                       (STALL_TERM, sids, 0)):
        for bit in range(8, 64):
            if not w0 >> bit & 1:
                m.refused((op | 1 << bit, 0))
        for bit in range(64):
            if not w1 >> bit & 1:
                m.refused((op, 1 << bit))
    for op in (0, 7, 0x18, 0x20, 0x21, 0x22, 0x23, 0x41, 0x47, 0xff):
        m.refused((op, 0))
    m.refused((SYNC | 3 << 12, 0))
    m.refused((NH_VA | 1 << 12, VA))        # a number without a granule
    m.refused((NH_VA, VA | 2 << 10))        # 16 KiB
    m.refused((NH_VA, VA | 1 << 10))        # one page, no level
    same("unused", sid, SID << 32)


@test()
def command_abort(m):
    m.writeq(SMMU + CMDQ_BASE, 0x800000000 | 8)
    m.enable()
    m.w(CMDQ_PROD, 1)
    same("error", m.r(CMDQ_CONS) >> 24 & 0x7f, ABT)
    same("GERROR", m.r(GERROR) & 1, 1)


@test("x-async-queue=on")
def async_queue(m):
    data = m.page()
    m.ste(BYPASS << 1)
    m.enable()
    same("status", m.fill(None, data, 1), OK)
    m.post(*[(CFGI_ALL, 31)] * 40, (SYNC, 0))
    for _ in range(1000):
        if m.r(CMDQ_CONS) == m.prod:
            return
    raise Failed("the queue does not end")


@test()
def counters_and_ignore(m):
    s = Stage1(m)
    m.enable()
    m.sees(5, VA, 0x1005)
    m.writeq(s.slot[5], 0)
    m.writel(m.IMON + 0x48, NH_VA)
    m.writel(m.IMON + 0x50, 1)
    m.do(nh_va(1, VA))
    same("counted", m.count(EV_CMD + NH_VA, pasid=1, sid=0), 1)
    m.sees(5, VA, 0x1005)
    m.writel(m.IMON + 0x50, 0)
    m.do(nh_va(1, VA))
    same("counted", m.count(EV_CMD + NH_VA), 2)
    same("syncs", m.count(EV_CMD + SYNC), 2)
    same("status", m.crc(5, VA), READ_FAULT)
    m.event(TRANSLATION, 5)


# Events


@test("x-eventq-bits=3")
def overflow(m):
    Stage1(m)
    m.enable()
    for i in range(12):
        same("status", m.crc(5, i * K4), READ_FAULT)
    same("OVFLG", m.r(EVTQ_PROD) & OVF, OVF)
    same("GERROR", m.r(GERROR), 0)
    same("recorded", m.count(EV_RECORDED), 8)
    same("lost", m.count(EV_LOST), 4)
    same("raised", m.count(EV_RAISED), 12)
    got = m.events()
    same("events", [e["addr"] for e in got], [i * K4 for i in range(8)])
    # it toggles the next time
    for i in range(9):
        same("status", m.crc(5, i * K4), READ_FAULT)
    same("OVFLG", m.r(EVTQ_PROD) & OVF, 0)
    same("events", len(m.events()), 8)


@test("x-event-merge=on")
def merging(m):
    Stage1(m, w1=MEV)
    m.enable()
    for a in (0, 8, 0, K4, 0):
        same("status", m.crc(5, a), READ_FAULT)
    same("collapsed", m.count(EV_COLLAPSED), 2)
    same("events", [e["addr"] for e in m.events()], [0, K4, 0])


@test("x-event-merge=on")
def merging_needs_mev(m):
    Stage1(m)
    m.enable()
    for a in (0, 8):
        same("status", m.crc(5, a), READ_FAULT)
    same("events", len(m.events()), 2)


# Stalls

STALL = "dev:x-can-stall=on"


@test(STALL)
def stall_retry(m):
    s = Stage1(m, extra=CD_R | CD_S)
    m.enable()
    m.submit(5, 5, F_NO_ATS, dst=VA + K4, imm=1, length=8)
    e = m.event(TRANSLATION, 5, addr=VA + K4)
    same("stalled", e["stag"] is not None, True)
    same("done", m.done(), 0)
    m.s1_map(s.ttb[5], VA + K4, s.data[5])
    m.do((RESUME | SID << 32, e["stag"] + 1))
    m.do((RESUME | 1 << 12 | SID + 1 << 32, e["stag"]))
    same("done", m.done(), 0)
    m.do((RESUME | 1 << 12 | SID << 32, e["stag"]))
    same("result", m.result(), (OK, 0x1005))
    # once
    m.do((RESUME | 1 << 12 | SID << 32, e["stag"]))
    same("events", m.events(), [])


@test(STALL)
def stall_faults_again(m):
    s = Stage1(m, extra=CD_R | CD_S)
    m.enable()
    m.submit(5, 5, F_NO_ATS, dst=VA + K4, imm=1, length=8)
    e = m.event(TRANSLATION, 5)
    m.s1_map(s.ttb[5], VA + K4, s.data[5], S1_RW | RO)
    m.do((RESUME | 1 << 12 | SID << 32, e["stag"]))
    for _ in range(100):
        if m.r(EVTQ_PROD) != m.cons:
            break
    e = m.event(PERMISSION, 5)
    m.do((RESUME | 1 << 13 | SID << 32, e["stag"]))
    same("status", m.result()[0], WRITE_FAULT)


@test(STALL)
def stall_terminate(m):
    Stage1(m, extra=CD_R | CD_S)
    m.enable()
    for q in (0, 1):
        m.submit(4, 5, F_NO_ATS, src=VA + K4 + q * K4, length=8, q=q)
    got = m.events()
    same("events", len(got), 2)
    same("tags differ", got[0]["stag"] != got[1]["stag"], True)
    m.do((STALL_TERM | SID + 1 << 32, 0))
    same("done", m.done(0) + m.done(1), 0)
    m.do((STALL_TERM | SID << 32, 0))
    for q in (0, 1):
        same("status", m.result(q)[0], READ_FAULT)
    # and when translation ends
    m.submit(4, 5, F_NO_ATS, src=VA + K4, length=8)
    same("events", len(m.events()), 1)
    m.w(CR0, 0x1c)
    same("status", m.result()[0], READ_FAULT)


@test(STALL + " x-eventq-bits=1")
def stall_waits_for_room(m):
    """The event of a stall is never lost"""
    Stage1(m, extra=CD_R | CD_S)
    m.ste(m.readq(m.strtab + SID * 64), SSID0)
    m.enable()
    for _ in range(2):
        same("status", m.crc(20, VA), READ_FAULT)
    m.submit(4, 5, F_NO_ATS, src=VA + K4, length=8)
    same("recorded", m.count(EV_RECORDED), 2)
    got = m.events()
    same("events", [e["type"] for e in got],
         [BAD_SSID, BAD_SSID, TRANSLATION])
    m.do((RESUME | SID << 32, got[2]["stag"]))
    same("status", m.result()[0], READ_FAULT)
    same("lost", m.count(EV_LOST), 0)


@test(STALL + " x-stall-max=1")
def stall_without_tag(m):
    s = Stage1(m, extra=CD_R | CD_S)
    m.enable()
    for q in (0, 1):
        m.submit(5, 5, F_NO_ATS, dst=VA + K4 + q * K4, length=8, q=q)
    e = m.event(TRANSLATION, 5, addr=VA + K4)
    m.s1_map(s.ttb[5], VA + K4, s.data[5])
    m.do((RESUME | 1 << 12 | SID << 32, e["stag"]))
    same("status", m.result(0)[0], OK)
    for _ in range(100):
        if m.r(EVTQ_PROD) != m.cons:
            break
    e = m.event(TRANSLATION, 5, addr=VA + 2 * K4)
    m.do((RESUME | SID << 32, e["stag"]))
    same("status", m.result(1)[0], WRITE_FAULT)


@test(STALL)
def stall_and_reset(m):
    """The device gives up; its tag stays until software answers"""
    Stage1(m, extra=CD_R | CD_S)
    m.enable()
    m.submit(4, 5, F_NO_ATS, src=VA + K4, length=8)
    e = m.event(TRANSLATION, 5)
    m.writel(m.PTD + 0x10, 1)
    m.do((RESUME | 1 << 12 | SID << 32, e["stag"]))
    m.writel(m.PTD + 0x1000, 1)
    same("done", m.done(), 0)
    m.sees(5, VA, 0x1005)
    # nobody made the access again
    same("raised", m.count(EV_RAISED), 1)


@test()
def no_stall_for_others(m):
    """CD.S, and a device that cannot wait"""
    Stage1(m, extra=CD_R | CD_S)
    m.enable()
    same("status", m.crc(5, VA + K4), READ_FAULT)
    e = m.event(TRANSLATION, 5)
    same("stag", e["stag"], None)


@test(STALL + " x-stall=off")
def stall_illegal(m):
    Stage1(m, extra=CD_R | CD_S)
    m.enable()
    same("status", m.crc(5, VA), READ_FAULT)
    m.event(BAD_CD, 5)


@test(STALL)
def stall_disabled(m):
    """STE.S1STALLD with CD.S is illegal"""
    Stage1(m, extra=CD_R | CD_S, w1=STALLD)
    m.enable()
    same("status", m.crc(5, VA), READ_FAULT)
    m.event(BAD_CD, 5)


@test(STALL)
def stall_stage2(m):
    n = Nest(m, s2=S2R | S2S)
    m.enable()
    m.writeq(n.slots[n.data], 0)
    m.submit(5, 5, F_NO_ATS, dst=VA, length=8)
    e = m.event(TRANSLATION, 5, s2=1, ipa=n.data + OFF)
    m.writeq(n.slots[n.data], n.data | S2_RW)
    m.do((RESUME | 1 << 12 | SID << 32, e["stag"]))
    same("result", m.result(), (OK, 0x1111))


# ATS


@test()
def ats(m):
    s = Stage1(m, w1=ATS)
    m.enable()
    m.ats()
    m.sees(5, VA, 0x1005, flags=0)
    m.writeq(s.slot[5], 0)
    m.do((NSNH_ALL, 0))
    # the device TLB still has it
    m.sees(5, VA, 0x1005, flags=0)
    m.do((ATC_INV | 1 << 11 | 6 << 12 | SID << 32, 52))
    m.sees(5, VA, 0x1005, flags=0)
    m.do((ATC_INV | 1 << 11 | 5 << 12 | SID << 32, VA))
    same("status", m.crc(5, VA, flags=0), READ_FAULT)
    # what a page request could repair is no event
    same("events", m.events(), [])
    same("status", m.crc(20, VA, flags=0), READ_FAULT)
    m.event(BAD_SSID, 20)


@test()
def ats_without_ssid(m):
    """PCIe 6.0, 10.3.8: it drops what has one as well"""
    s = Stage1(m, w1=ATS)
    m.enable()
    m.ats()
    for c1 in (VA, 52):
        m.sees(5, VA, 0x1005, flags=0)
        m.do((ATC_INV | SID << 32, VA + K4))
        before = m.count(EV_ATS)
        m.sees(5, VA, 0x1005, flags=0)
        same("requests", m.count(EV_ATS), before)
        m.do((ATC_INV | SID << 32, c1))
        m.sees(5, VA, 0x1005, flags=0)
        same("requests", m.count(EV_ATS), before + 1)


@test()
def ats_not_allowed(m):
    s = Stage1(m)
    m.enable()
    m.ats()
    same("status", m.crc(5, VA, flags=0), READ_FAULT)
    m.event(BAD_ATS, 5, addr=VA)
    m.ste(S1 << 1 | s.table | 4 << 59, SSID0 | ATS)
    m.do(cfgi_ste())
    m.sees(5, VA, 0x1005, flags=0)
    # translated requests need it too, if CR0.ATSCHK
    m.ste(S1 << 1 | s.table | 4 << 59, SSID0)
    m.do(cfgi_ste())
    same("status", m.crc(5, VA, flags=0), READ_FAULT)
    m.event(FORBIDDEN)
    m.w(CR0, 0xd)
    m.sees(5, VA, 0x1005, flags=0)


@test()
def ats_timeout(m):
    """CERROR_ATC_INV_SYNC, at the SYNC"""
    Stage1(m, w1=ATS)
    m.enable()
    m.do((ATC_INV | SID << 32, 52))         # ATS is off, and yet
    same("ATS is off", m.count(EV_ATS_OFF), 1)
    m.ats()
    m.do((ATC_INV | SID << 32, 52))
    m.writel(m.IMON + 0x54, SID | 1 << 31)
    at = m.prod
    m.post((ATC_INV | SID << 32, 52), (SYNC, 0))
    same("error", m.r(CMDQ_CONS) >> 24 & 0x7f, ATC)
    same("CMDQ_CONS", m.r(CMDQ_CONS) & 511, at + 1)
    m.w(GERRORN, m.r(GERROR))
    same("CMDQ_CONS", m.r(CMDQ_CONS) & 511, m.prod)


run("smmu", Machine, __doc__)
