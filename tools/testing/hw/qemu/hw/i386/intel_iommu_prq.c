/*
 * VT-d: page requests of intel-iommu,x-nesting=on
 *
 * The page request queue, its event, and the answers: VT-d specification,
 * revision 4.1, sections 7.4, 7.5 and 7.6.1; "spec" below is that one.
 *
 * Documented in tools/testing/hw/vtd-model.rst.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "qemu/rcu.h"
#include "exec/address-spaces.h"
#include "hw/misc/iommu-monitor.h"
#include "hw/pci/pci_bus.h"
#include "hw/pci/pci_trans.h"
#include "system/dma.h"
#include "intel_iommu_internal.h"
#include "intel_iommu_strict.h"

/* Registers, spec 11.4.11 */
#define PRQ_QUEUE_MASK          0x7ffe0ULL      /* PQH, PQT: 18:5 */
#define PRQ_PQA_SIZE            0x7ULL
#define PRQ_PQA_MASK            (VTD_PAGE_MASK_4K | PRQ_PQA_SIZE)
#define PRQ_PRS_PPR             (1u << 0)
#define PRQ_PRS_PRO             (1u << 1)
#define PRQ_PECTL_IP            (1u << 30)
#define PRQ_PECTL_IM            (1u << 31)
#define PRQ_PEADDR_MASK         0xfffffffcu

/* Page request descriptor, spec 7.4.1.1 */
#define PRQ_DESC_SIZE           32
#define PRQ_D0_TYPE             1ULL
#define PRQ_D0_PP               (1ULL << 8)
#define PRQ_D0_RID(sid)         ((uint64_t)(sid) << 16)
#define PRQ_D0_PASID(pasid)     ((uint64_t)(pasid) << 32)
#define PRQ_D0_EXE              (1ULL << 52)
#define PRQ_D0_PRIV             (1ULL << 53)
#define PRQ_D1_READ             (1ULL << 0)
#define PRQ_D1_WRITE            (1ULL << 1)
#define PRQ_D1_LAST             (1ULL << 2)
#define PRQ_D1_PRGI(prgi)       ((uint64_t)(prgi) << 3)

/* A message between the device and the IOMMU */
typedef struct VTDPrqMsg {
    uint16_t sid;
    PCIPageReq req;
    QTAILQ_ENTRY(VTDPrqMsg) next;
} VTDPrqMsg;

struct VTDPrq {
    IntelIOMMUState *s;
    PCIBus *bus;
    QTAILQ_HEAD(, VTDPrqMsg) way;
};

static uint64_t reg64(IntelIOMMUState *s, hwaddr addr)
{
    return ldq_le_p(&s->csr[addr]);
}

static uint32_t reg32(IntelIOMMUState *s, hwaddr addr)
{
    return ldl_le_p(&s->csr[addr]);
}

static uint32_t mon_pasid(uint32_t pasid)
{
    return pasid == PCI_TRANS_NO_PASID ? IOMMU_MON_ANY : pasid;
}

/* The page request event: spec 7.5.  @before: PRS before the new condition */
static void prq_event(IntelIOMMUState *s, uint32_t before)
{
    if (!(before & (PRQ_PRS_PPR | PRQ_PRS_PRO))) {
        vtd_strict_event(s, DMAR_PECTL_REG);
    }
}

static void prq_respond(IntelIOMMUState *s, uint16_t sid, uint32_t pasid,
                        uint16_t prgi, unsigned code)
{
    PCIDevice *dev = pci_find_device(s->prq->bus, sid >> 8, sid & 0xff);
    const PCIATSOps *ops = dev ? pci_trans_get_ats_ops(dev) : NULL;

    if (ops && ops->page_response) {
        ops->page_response(dev, pasid, prgi, code);
    }
}

/*
 * What hardware answers by itself: only to the last request of a group, and
 * never to a stop marker.
 */
static void prq_auto_respond(IntelIOMMUState *s, uint16_t sid,
                             const PCIPageReq *req, unsigned code)
{
    if (!req->last || !(req->flags & (PCI_TRANS_READ | PCI_TRANS_WRITE))) {
        return;
    }
    iommu_mon_count(IOMMU_MON_EV_PR_AUTO(code), sid, mon_pasid(req->pasid));
    prq_respond(s, sid, req->pasid, req->prgi, code);
}

static bool prq_full(IntelIOMMUState *s, uint64_t tail, uint64_t size)
{
    uint64_t head = reg64(s, DMAR_PQH_REG) & (size - 1);
    uint32_t limit = iommu_mon_prq_depth();
    uint64_t pending = ((tail - head) & (size - 1)) / PRQ_DESC_SIZE;

    return pending == size / PRQ_DESC_SIZE - 1 || (limit && pending >= limit);
}

/* Spec 7.4.1.  Every request is received, and queued, dropped or refused. */
static void prq_receive(IntelIOMMUState *s, uint16_t sid,
                        const PCIPageReq *req)
{
    uint64_t pqa = reg64(s, DMAR_PQA_REG);
    uint64_t size = PRQ_DESC_SIZE << (7 + (pqa & PRQ_PQA_SIZE));
    uint64_t tail = reg64(s, DMAR_PQT_REG) & (size - 1);
    uint32_t prs = reg32(s, DMAR_PRS_REG), tag = mon_pasid(req->pasid);
    uint64_t desc[4] = { 0 };

    iommu_mon_count(IOMMU_MON_EV_PR_RECEIVED, sid, tag);
    if (!vtd_strict_page_request(s, sid, req)) {
        iommu_mon_count(IOMMU_MON_EV_PR_REFUSED, sid, tag);
        prq_auto_respond(s, sid, req, PCI_PAGE_RESP_INVALID);
        return;
    }
    if ((prs & PRQ_PRS_PRO) || prq_full(s, tail, size)) {
        /* The answer lets the device try again. */
        iommu_mon_count(IOMMU_MON_EV_PR_DROPPED, sid, tag);
        stl_le_p(&s->csr[DMAR_PRS_REG], prs | PRQ_PRS_PRO);
        prq_event(s, prs);
        prq_auto_respond(s, sid, req, PCI_PAGE_RESP_SUCCESS);
        return;
    }
    desc[0] = PRQ_D0_TYPE | PRQ_D0_RID(sid);
    if (req->pasid != PCI_TRANS_NO_PASID) {
        desc[0] |= PRQ_D0_PP | PRQ_D0_PASID(req->pasid) |
                   (req->flags & PCI_TRANS_EXEC ? PRQ_D0_EXE : 0) |
                   (req->flags & PCI_TRANS_PRIV ? PRQ_D0_PRIV : 0);
    }
    desc[1] = (req->addr & VTD_PAGE_MASK_4K) | PRQ_D1_PRGI(req->prgi) |
              (req->flags & PCI_TRANS_READ ? PRQ_D1_READ : 0) |
              (req->flags & PCI_TRANS_WRITE ? PRQ_D1_WRITE : 0) |
              (req->last ? PRQ_D1_LAST : 0);
    desc[0] = cpu_to_le64(desc[0]);
    desc[1] = cpu_to_le64(desc[1]);
    dma_memory_write(&address_space_memory, (pqa & VTD_PAGE_MASK_4K) + tail,
                     desc, sizeof(desc), MEMTXATTRS_UNSPECIFIED);
    /* Who sees the tail must see the descriptor. */
    smp_wmb();
    iommu_mon_count(IOMMU_MON_EV_PR_QUEUED, sid, tag);
    stq_le_p(&s->csr[DMAR_PQT_REG], (tail + PRQ_DESC_SIZE) & (size - 1));
    stl_le_p(&s->csr[DMAR_PRS_REG], prs | PRQ_PRS_PPR);
    prq_event(s, prs);
}

/* Let arrive what is on its way: all of it, or that of one function */
static void prq_arrive(VTDPrq *prq, bool all, uint16_t sid)
{
    QTAILQ_HEAD(, VTDPrqMsg) here = QTAILQ_HEAD_INITIALIZER(here);
    VTDPrqMsg *m, *tmp;

    /* An answer may make the device send the next request. */
    QTAILQ_FOREACH_SAFE(m, &prq->way, next, tmp) {
        if (all || m->sid == sid) {
            QTAILQ_REMOVE(&prq->way, m, next);
            QTAILQ_INSERT_TAIL(&here, m, next);
        }
    }
    while ((m = QTAILQ_FIRST(&here))) {
        QTAILQ_REMOVE(&here, m, next);
        prq_receive(prq->s, m->sid, &m->req);
        g_free(m);
    }
}

void vtd_prq_push(IntelIOMMUState *s, uint16_t sid)
{
    prq_arrive(s->prq, false, sid);
}

void vtd_prq_drain(IntelIOMMUState *s)
{
    prq_arrive(s->prq, true, 0);
}

static void prq_released(void *opaque)
{
    VTDPrq *prq = opaque;

    if (!iommu_mon_prq_held()) {
        prq_arrive(prq, true, 0);
    }
}

bool vtd_prq_request(PCIBus *bus, void *opaque, int devfn,
                     const PCIPageReq *req)
{
    IntelIOMMUState *s = opaque;
    uint16_t sid = PCI_BUILD_BDF(pci_bus_num(bus), devfn);
    VTDPrqMsg *m;

    if (!(s->ecap & VTDS_ECAP_PRS)) {
        return false;
    }
    if (iommu_mon_prq_held()) {
        m = g_new0(VTDPrqMsg, 1);
        m->sid = sid;
        m->req = *req;
        QTAILQ_INSERT_TAIL(&s->prq->way, m, next);
    } else {
        prq_receive(s, sid, req);
    }
    return true;
}

/*
 * Page group response descriptor: spec 7.6.1.  Bit 2 of the second word was
 * LPIG in revision 3; software of that time sets it, and nobody looks.
 */
int vtd_prq_response(IntelIOMMUState *s, const uint64_t *d, bool ignore)
{
    uint16_t sid = extract64(d[0], 16, 16);
    uint32_t pasid = d[0] & (1ULL << 4) ? extract64(d[0], 32, 20) :
                                          PCI_TRANS_NO_PASID;
    unsigned code = extract64(d[0], 12, 4);

    if ((d[0] & 0xfff00000000001e0ULL) || (d[1] & ~0xffcULL)) {
        return VTDS_IQEI_RSVD;
    }
    iommu_mon_count(IOMMU_MON_EV_VTD(IOMMU_MON_VTD_PGRP), sid,
                    mon_pasid(pasid));
    iommu_mon_count(IOMMU_MON_EV_PR_ANSWERED(code), sid, mon_pasid(pasid));
    if (!ignore) {
        prq_respond(s, sid, pasid, extract64(d[1], 3, 9), code);
    }
    return 0;
}

static void write_prs(IntelIOMMUState *s, uint32_t val)
{
    uint32_t prs = reg32(s, DMAR_PRS_REG) & ~val;

    stl_le_p(&s->csr[DMAR_PRS_REG], prs);
    if (!prs) {
        stl_le_p(&s->csr[DMAR_PECTL_REG],
                 reg32(s, DMAR_PECTL_REG) & ~PRQ_PECTL_IP);
    }
}

static void write_pectl(IntelIOMMUState *s, uint32_t val)
{
    uint32_t ip = reg32(s, DMAR_PECTL_REG) & PRQ_PECTL_IP;

    stl_le_p(&s->csr[DMAR_PECTL_REG], (val & PRQ_PECTL_IM) | ip);
    if (ip && !(val & PRQ_PECTL_IM)) {
        stl_le_p(&s->csr[DMAR_PECTL_REG], 0);
        vtd_strict_event(s, DMAR_PECTL_REG);
    }
}

static bool write_long(IntelIOMMUState *s, hwaddr addr, uint32_t val)
{
    uint64_t mask = 0;

    switch (addr) {
    case DMAR_PQH_REG:
    case DMAR_PQT_REG:
        mask = PRQ_QUEUE_MASK;
        break;
    case DMAR_PQA_REG:
        mask = PRQ_PQA_MASK;
        break;
    case DMAR_PQA_REG + 4:
    case DMAR_PEDATA_REG:
    case DMAR_PEUADDR_REG:
        mask = UINT32_MAX;
        break;
    case DMAR_PEADDR_REG:
        mask = PRQ_PEADDR_MASK;
        break;
    case DMAR_PQH_REG + 4:
    case DMAR_PQT_REG + 4:
        break;
    case DMAR_PRS_REG:
        write_prs(s, val);
        return true;
    case DMAR_PECTL_REG:
        write_pectl(s, val);
        return true;
    default:
        return false;
    }
    stl_le_p(&s->csr[addr], val & mask);
    return true;
}

bool vtd_prq_reg_write(IntelIOMMUState *s, hwaddr addr, uint64_t val,
                       unsigned size)
{
    if (!(s->ecap & VTDS_ECAP_PRS) || !write_long(s, addr, val)) {
        return false;
    }
    if (size == 8) {
        write_long(s, addr + 4, val >> 32);
    }
    return true;
}

void vtd_prq_reset(IntelIOMMUState *s)
{
    VTDPrqMsg *m;

    while ((m = QTAILQ_FIRST(&s->prq->way))) {
        QTAILQ_REMOVE(&s->prq->way, m, next);
        g_free(m);
    }
    /* csr[] is zero already. */
    stl_le_p(&s->csr[DMAR_PECTL_REG], PRQ_PECTL_IM);
}

void vtd_prq_realize(IntelIOMMUState *s, PCIBus *bus)
{
    VTDPrq *prq = g_new0(VTDPrq, 1);

    prq->s = s;
    prq->bus = bus;
    QTAILQ_INIT(&prq->way);
    s->prq = prq;
    iommu_mon_add_release_cb(prq_released, prq);
}
