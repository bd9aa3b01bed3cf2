/*
 * pasid-testdev: a DMA engine to test IOMMUs with
 *
 * Eight queues of copy, fill, compare and checksum descriptors, each of which
 * may carry a PASID.  Every access is translated on its own, page by page,
 * with the attributes a real transaction has; with ATS the device keeps the
 * answers until it is told to drop them, and uses them.
 *
 * Registers, descriptors and records: hw/misc/pasid-testdev-regs.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <zlib.h>
#include "qemu/atomic.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "qemu/range.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "exec/memory.h"
#include "hw/pci/msix.h"
#include "hw/pci/pci_device.h"
#include "hw/pci/pci_trans.h"
#include "hw/pci/pcie.h"
#include "hw/qdev-properties.h"
#include "hw/misc/iommu-monitor.h"
#include "hw/misc/pasid-testdev-regs.h"
#include "migration/vmstate.h"
#include "system/cpu-timers.h"
#include "qom/object.h"

#define TYPE_PASID_TESTDEV "pasid-testdev"
OBJECT_DECLARE_SIMPLE_TYPE(PTDState, PASID_TESTDEV)

#define PTD_NR_QUEUES   8
#define PTD_DEPTH       64
#define PTD_LEN_MAX     (1 * MiB)
#define PTD_BAR_SIZE    (64 * KiB)
#define PTD_PASID_BITS  20
#define PTD_DESC_SIZE   sizeof(struct ptd_desc)
#define PTD_NR_CNT      ((PTD_CNT_RESP_STRAY - PTD_CNT_DESC) / 8 + 1)

QEMU_BUILD_BUG_ON(sizeof(struct ptd_desc) != 64);
QEMU_BUILD_BUG_ON(sizeof(struct ptd_record) != 32);
QEMU_BUILD_BUG_ON(PTD_QUEUE(PTD_NR_QUEUES) > PTD_BAR_SIZE);

/* Extended capabilities */
#define PTD_PASID_OFFSET 0x100
#define PTD_ATS_OFFSET   0x110
#define PTD_ACS_OFFSET   0x120
#define PTD_PRI_OFFSET   0x130
/* ATS capability register: invalidations with the Global bit are understood */
#define PTD_ATS_CAP_GLOBAL_INV 0x0040
#define PTD_ATS_CTRL_STU       0x001f

/* Page requests that may be outstanding, if software allows as many */
#define PTD_PRI_CAPACITY       512

/*
 * The largest piece that one translation covers, and how many pieces are
 * done before others (the guest's CPUs, invalidations) get their turn.
 */
#define PTD_PAGE        4096u
#define PTD_SLICE       8
/* FLOOD without pace: so many before the guest can look */
#define PTD_FLOOD_SLICE 1000
/* Guest time between two slices when instructions are counted */
#define PTD_ICOUNT_NS   1000

typedef enum PTDAccState {
    ACC_IDLE,
    ACC_ATS,            /* translation request sent */
    ACC_CREDIT,         /* wants to send page requests */
    ACC_PAGE,           /* page requests sent */
    ACC_TRANS,          /* access sent */
    ACC_DONE,           /* @acc_result is valid */
} PTDAccState;

typedef enum PTDAccResult {
    ACC_PENDING,
    ACC_OK,
    ACC_FAULT,
    ACC_NO_BUSMASTER,
    ACC_BUS_ERROR,
} PTDAccResult;

typedef enum PTDAccKind {
    ACC_READ,
    ACC_WRITE,
    ACC_FETCHADD,
    ACC_RECORD,
} PTDAccKind;

typedef enum PTDPhase {
    PTD_PH_IDLE,        /* next: look at the descriptor */
    PTD_PH_FIRST,       /* first access of a piece */
    PTD_PH_SECOND,      /* second access of a piece */
    PTD_PH_FLOOD,       /* accesses of FLOOD */
    PTD_PH_HELD,        /* waits for RELEASE */
    PTD_PH_DRAIN,       /* waits for older descriptors */
    PTD_PH_RECORD,      /* writes the completion record */
} PTDPhase;

typedef struct PTDQueue {
    PTDState *s;
    unsigned idx;
    bool enabled;
    uint32_t gen;                       /* changes when work is aborted */

    uint8_t window[PTD_DESC_SIZE];
    struct ptd_desc ring[PTD_DEPTH];    /* host byte order */
    uint64_t seq[PTD_DEPTH];
    unsigned head;
    unsigned count;

    /* The descriptor at the head */
    PTDPhase phase;
    uint32_t status;
    uint32_t done;
    uint32_t piece;
    uint64_t piece_off;
    uint64_t fault_addr;
    uint64_t result;
    uint8_t buf[PTD_PAGE];
    uint8_t buf2[PTD_PAGE];

    /* Its access in flight */
    PTDAccState acc;
    PTDAccKind acc_kind;
    PTDAccResult acc_result;
    hwaddr acc_iova;
    uint32_t acc_len;
    uint32_t acc_need;                  /* permissions, PCI_TRANS_* */
    uint64_t acc_last;                  /* last byte of the operand */
    uint8_t *acc_buf;
    bool acc_filled;                    /* a miss was just filled */
    bool in_submit;
    PCITransReq req;

    struct ptd_record cpl[PTD_CPL_DEPTH];
    unsigned cpl_head;
    unsigned cpl_count;
    uint32_t cpl_lost;
} PTDQueue;

/* A page request group that waits for its answer */
typedef struct PTDGroup {
    PTDQueue *q;                        /* whose access; NULL: by hand */
    uint32_t pasid;
    unsigned pages;                     /* credits it holds */
    unsigned waiting;                   /* answers; more than 1: by hand */
} PTDGroup;

/* One entry of the device TLB */
typedef struct PTDTlbEntry {
    uint32_t pasid;                     /* or PCI_TRANS_NO_PASID */
    bool global;
    bool priv;
    uint32_t perm;
    hwaddr iova;
    hwaddr addr;
    hwaddr mask;
} PTDTlbEntry;

struct PTDState {
    PCIDevice parent_obj;

    MemoryRegion bar;
    QEMUBH *bh;
    QEMUTimer *timer;                   /* instead of @bh with icount */
    bool hold;
    bool ats;                           /* as the config space says */
    bool can_stall;                     /* property */
    bool pm;                            /* property */
    uint64_t next_seq;
    unsigned next_queue;
    uint64_t cnt[PTD_NR_CNT];

    PTDGroup group[PCI_PAGE_NR_GROUPS];
    unsigned next_group;
    unsigned groups;                    /* that wait */
    unsigned credits_used;
    uint64_t pr_addr;
    uint32_t pr_pasid;
    uint32_t pr_flags;
    uint64_t resp[PTD_RESP_DEPTH];
    unsigned resp_head;
    unsigned resp_count;

    GArray *tlb;
    PTDQueue queue[PTD_NR_QUEUES];
};

static void ptd_count(PTDState *s, unsigned reg)
{
    s->cnt[(reg - PTD_CNT_DESC) / 8]++;
}

static void ptd_kick(PTDState *s)
{
    if (icount_enabled()) {
        /* A bottom half would run at a point that host timing decides */
        if (!timer_pending(s->timer)) {
            timer_mod(s->timer, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) +
                                PTD_ICOUNT_NS);
        }
    } else {
        qemu_bh_schedule(s->bh);
    }
}

static uint16_t ptd_pasid_ctrl(PTDState *s)
{
    return pci_get_word(PCI_DEVICE(s)->config + PTD_PASID_OFFSET +
                        PCI_PASID_CTRL);
}

static bool ptd_busmaster(PTDState *s)
{
    return pci_get_word(PCI_DEVICE(s)->config + PCI_COMMAND) &
           PCI_COMMAND_MASTER && pci_trans_awake(PCI_DEVICE(s));
}

static bool ptd_held(PTDState *s)
{
    return s->hold || iommu_mon_dma_held();
}

/* Device TLB */

static bool ptd_tlb_applies(const PTDTlbEntry *e, uint32_t pasid)
{
    return e->pasid == pasid ||
           (e->global && e->pasid != PCI_TRANS_NO_PASID &&
            pasid != PCI_TRANS_NO_PASID);
}

static PTDTlbEntry *ptd_tlb_find(PTDState *s, uint32_t pasid, bool priv,
                                 hwaddr iova, uint32_t need)
{
    unsigned i;

    for (i = 0; i < s->tlb->len; i++) {
        PTDTlbEntry *e = &g_array_index(s->tlb, PTDTlbEntry, i);

        if (ptd_tlb_applies(e, pasid) && e->priv == priv &&
            (iova & ~e->mask) == e->iova && (e->perm & need) == need) {
            return e;
        }
    }
    return NULL;
}

static bool ptd_overlaps(hwaddr base, hwaddr mask, hwaddr addr, uint64_t size)
{
    hwaddr last = addr + size - 1;

    if (size == UINT64_MAX || last < addr) {
        last = UINT64_MAX;
    }
    return base <= last && addr <= (base | mask);
}

/* Nothing in flight may go on with an address that was taken back */
static void ptd_retry_translated(PTDState *s, hwaddr addr, uint64_t size)
{
    int i;

    for (i = 0; i < PTD_NR_QUEUES; i++) {
        PTDQueue *q = &s->queue[i];

        if (q->acc == ACC_TRANS && !q->in_submit &&
            (q->req.flags & PCI_TRANS_TRANSLATED) &&
            ptd_overlaps(q->acc_iova, 0, addr, size)) {
            pci_trans_cancel(&q->req);
            q->acc = ACC_IDLE;
            ptd_kick(s);
        }
    }
}

static void ptd_tlb_drop_all(PTDState *s)
{
    g_array_set_size(s->tlb, 0);
    ptd_retry_translated(s, 0, UINT64_MAX);
}

static void ptd_ats_invalidate(PCIDevice *dev, uint32_t pasid, bool global,
                               hwaddr addr, uint64_t size)
{
    PTDState *s = PASID_TESTDEV(dev);
    unsigned i;

    ptd_count(s, PTD_CNT_ATS_INV);
    for (i = s->tlb->len; i-- > 0;) {
        PTDTlbEntry *e = &g_array_index(s->tlb, PTDTlbEntry, i);

        /* PCIe 6.0, 10.3.8: without PASID it is for those with one as well */
        if ((e->pasid == pasid || pasid == PCI_TRANS_NO_PASID ||
             (global && e->pasid != PCI_TRANS_NO_PASID)) &&
            ptd_overlaps(e->iova, e->mask, addr, size)) {
            g_array_remove_index_fast(s->tlb, i);
        }
    }
    ptd_retry_translated(s, addr, size);
}

static void ptd_tlb_insert(PTDState *s, const PCITransReq *req)
{
    PTDTlbEntry e = {
        .pasid = req->pasid,
        .global = req->global,
        .priv = req->flags & PCI_TRANS_PRIV,
        .perm = req->perm,
        .iova = req->iova & ~req->mask,
        .addr = req->addr & ~req->mask,
        .mask = req->mask,
    };
    unsigned i;

    /* A better answer for the same block replaces the old one */
    for (i = 0; i < s->tlb->len; i++) {
        PTDTlbEntry *o = &g_array_index(s->tlb, PTDTlbEntry, i);

        if (o->pasid == e.pasid && o->priv == e.priv && o->iova == e.iova &&
            o->mask == e.mask) {
            *o = e;
            return;
        }
    }
    g_array_append_val(s->tlb, e);
}

/* Page requests: PCIe 6.0, 10.4 and 10.5.2 */

static uint8_t *ptd_pri(PTDState *s)
{
    return PCI_DEVICE(s)->config + PTD_PRI_OFFSET;
}

static bool ptd_pri_enabled(PTDState *s)
{
    return pci_get_word(ptd_pri(s) + PCI_PRI_CTRL) & PCI_PRI_CTRL_ENABLE;
}

static void ptd_pri_status(PTDState *s, uint16_t clear, uint16_t set)
{
    uint8_t *reg = ptd_pri(s) + PCI_PRI_STATUS;

    pci_set_word(reg, (pci_get_word(reg) & ~clear) | set);
}

/* Stopped: disabled, and nothing is outstanding */
static void ptd_pri_update(PTDState *s)
{
    bool stopped = !ptd_pri_enabled(s) && !s->credits_used;

    ptd_pri_status(s, PCI_PRI_STATUS_STOPPED,
                   stopped ? PCI_PRI_STATUS_STOPPED : 0);
}

/* @g is over; its credits and its index are free */
static void ptd_group_drop(PTDState *s, PTDGroup *g)
{
    s->credits_used -= g->pages;
    *g = (PTDGroup) { };
    s->groups--;
}

static void ptd_acc_refused(PTDQueue *q)
{
    q->acc_result = ACC_FAULT;
    q->acc = ACC_DONE;
    ptd_kick(q->s);
}

/*
 * No more page requests: accesses that still want to send one fail.  @forget:
 * those that have sent one fail, too, and nothing is outstanding any more.
 */
static void ptd_pri_abort(PTDState *s, bool forget)
{
    unsigned i;

    for (i = 0; i < PTD_NR_QUEUES; i++) {
        PTDQueue *q = &s->queue[i];

        if (q->acc == ACC_CREDIT || (forget && q->acc == ACC_PAGE)) {
            ptd_acc_refused(q);
        }
    }
    for (i = 0; forget && i < PCI_PAGE_NR_GROUPS; i++) {
        if (s->group[i].waiting) {
            ptd_group_drop(s, &s->group[i]);
        }
    }
    ptd_pri_update(s);
}

static void ptd_page_request(PTDState *s, const PCIPageReq *req)
{
    ptd_count(s, PTD_CNT_PR);
    if (req->last) {
        ptd_count(s, PTD_CNT_PR_GROUP);
    }
    pci_trans_page_request(PCI_DEVICE(s), req);
}

/*
 * Ask for the page of the access that waits in @q, and with PTD_F_GROUP for
 * the pages of its operand behind it.  Without credit or index it goes on
 * waiting.
 */
static void ptd_acc_page_request(PTDQueue *q)
{
    PTDState *s = q->s;
    struct ptd_desc *d = &q->ring[q->head];
    uint32_t alloc = MIN(pci_get_long(ptd_pri(s) + PCI_PRI_ALLOC_REQ),
                         PTD_PRI_CAPACITY);
    PCIPageReq req = {
        .pasid = d->pasid & PTD_PASID_VALID ? d->pasid & PTD_PASID_MASK :
                                              PCI_TRANS_NO_PASID,
        .flags = q->acc_need | (d->flags & PTD_F_PRIV ? PCI_TRANS_PRIV : 0),
        .addr = q->acc_iova & ~(hwaddr)(PTD_PAGE - 1),
    };
    unsigned pages = 1;
    PTDGroup *g;

    if (s->credits_used >= alloc || s->groups == PCI_PAGE_NR_GROUPS) {
        return;
    }
    if (d->flags & PTD_F_GROUP) {
        pages = MIN((q->acc_last - req.addr) / PTD_PAGE + 1, PTD_GROUP_MAX);
        pages = MIN(pages, alloc - s->credits_used);
    }
    do {
        req.prgi = s->next_group;
        g = &s->group[req.prgi];
        s->next_group = (s->next_group + 1) % PCI_PAGE_NR_GROUPS;
    } while (g->waiting);
    *g = (PTDGroup) {
        .q = q, .pasid = req.pasid, .pages = pages, .waiting = 1,
    };
    s->groups++;
    s->credits_used += pages;
    q->acc = ACC_PAGE;
    /* The answer may come with the last of them */
    for (; pages; pages--, req.addr += PTD_PAGE) {
        req.last = pages == 1;
        ptd_page_request(s, &req);
    }
}

static void ptd_keep_response(PTDState *s, uint32_t pasid, uint16_t prgi,
                              unsigned code, bool stray)
{
    uint64_t r = PTD_RESP_VALID | code << 16 | prgi;

    if (stray) {
        r |= PTD_RESP_STRAY;
    }
    if (pasid != PCI_TRANS_NO_PASID) {
        r |= PTD_RESP_PASID_VALID | (uint64_t)pasid << 32;
    }
    if (s->resp_count == PTD_RESP_DEPTH) {
        s->resp_head = (s->resp_head + 1) % PTD_RESP_DEPTH;
        s->resp_count--;
    }
    s->resp[(s->resp_head + s->resp_count++) % PTD_RESP_DEPTH] = r;
}

static void ptd_page_response(PCIDevice *dev, uint32_t pasid, uint16_t prgi,
                              unsigned code)
{
    PTDState *s = PASID_TESTDEV(dev);
    PTDGroup *g = &s->group[prgi];
    PTDQueue *q = g->q;
    bool stray = !g->waiting || g->pasid != pasid;

    ptd_keep_response(s, pasid, prgi, code, stray);
    switch (code) {
    case PCI_PAGE_RESP_SUCCESS:
        ptd_count(s, PTD_CNT_RESP_OK);
        break;
    case PCI_PAGE_RESP_INVALID:
        ptd_count(s, PTD_CNT_RESP_INVALID);
        break;
    default:
        ptd_count(s, PTD_CNT_RESP_FAILURE);
        break;
    }
    if (stray) {
        ptd_count(s, PTD_CNT_RESP_STRAY);
        ptd_pri_status(s, 0, PCI_PRI_STATUS_UPRGI);
        return;
    }
    if (code != PCI_PAGE_RESP_SUCCESS && code != PCI_PAGE_RESP_INVALID) {
        /* Disables the interface; later answers are not expected either */
        pci_set_word(ptd_pri(s) + PCI_PRI_CTRL, 0);
        ptd_pri_status(s, 0, PCI_PRI_STATUS_RF);
        ptd_pri_abort(s, true);
        return;
    }
    if (--g->waiting) {
        return;
    }
    g->waiting = 1;
    ptd_group_drop(s, g);
    ptd_pri_update(s);
    if (q && q->acc == ACC_PAGE) {
        if (code == PCI_PAGE_RESP_SUCCESS) {
            q->acc = ACC_IDLE;
        } else {
            ptd_acc_refused(q);
        }
    }
    /* There is credit again */
    ptd_kick(s);
}

static const PCIATSOps ptd_ats_ops = {
    .invalidate = ptd_ats_invalidate,
    .page_response = ptd_page_response,
};

/* Requests made by hand */
static void ptd_pr_send(PTDState *s, uint32_t n)
{
    bool each = s->pr_flags & PTD_PR_EACH;
    uint16_t prgi = (s->pr_flags & PTD_PR_PRGI) >> PTD_PR_PRGI_SHIFT;
    PCIPageReq req = {
        .pasid = s->pr_pasid & PTD_PASID_VALID ?
                 s->pr_pasid & PTD_PASID_MASK : PCI_TRANS_NO_PASID,
        .flags = (s->pr_flags & PTD_PR_READ ? PCI_TRANS_READ : 0) |
                 (s->pr_flags & PTD_PR_WRITE ? PCI_TRANS_WRITE : 0) |
                 (s->pr_flags & PTD_PR_EXEC ? PCI_TRANS_EXEC : 0) |
                 (s->pr_flags & PTD_PR_PRIV ? PCI_TRANS_PRIV : 0),
    };
    uint32_t i;

    n = MIN(n, PTD_PR_SEND_MAX);
    for (i = 0; i < n && ptd_busmaster(s); i++) {
        PTDGroup *g;

        req.addr = (s->pr_addr & ~(uint64_t)(PTD_PAGE - 1)) +
                   (uint64_t)i * PTD_PAGE;
        req.prgi = (prgi + (each ? i : 0)) % PCI_PAGE_NR_GROUPS;
        req.last = (s->pr_flags & PTD_PR_LAST) && (each || i == n - 1);
        g = &s->group[req.prgi];
        /* A group of a queue keeps its index, and gets both answers */
        if (req.last &&
            (req.flags & (PCI_TRANS_READ | PCI_TRANS_WRITE))) {
            if (!g->waiting) {
                g->pasid = req.pasid;
                s->groups++;
            }
            g->waiting++;
        }
        ptd_page_request(s, &req);
    }
}

/* One access */

static MemTxResult ptd_fetchadd(AddressSpace *as, hwaddr addr,
                                MemTxAttrs attrs, uint64_t add, uint64_t *old)
{
    MemTxResult ret = MEMTX_OK;
    MemoryRegion *mr;
    hwaddr xlat, len = 8;
    uint64_t *p = NULL;
    bool direct;

    WITH_RCU_READ_LOCK_GUARD() {
        mr = address_space_translate(as, addr, &xlat, &len, true, attrs);
        direct = len == 8 && memory_access_is_direct(mr, true, attrs);
    }
    if (direct) {
        p = address_space_map(as, addr, &len, true, attrs);
    }
    if (!p) {
        *old = address_space_ldq_le(as, addr, attrs, &ret);
        if (ret == MEMTX_OK) {
            address_space_stq_le(as, addr, *old + add, attrs, &ret);
        }
        return ret;
    }
    if (HOST_BIG_ENDIAN) {
        uint64_t cur = qatomic_read(p);

        for (;;) {
            uint64_t seen = qatomic_cmpxchg(p, cur,
                                            cpu_to_le64(le64_to_cpu(cur) +
                                                        add));
            if (seen == cur) {
                break;
            }
            cur = seen;
        }
        *old = le64_to_cpu(cur);
    } else {
        *old = qatomic_fetch_add(p, add);
    }
    address_space_unmap(as, p, len, true, 8);
    return ret;
}

static void ptd_acc_dma(PTDQueue *q, AddressSpace *as, hwaddr addr)
{
    PTDState *s = q->s;
    struct ptd_desc *d = &q->ring[q->head];
    MemTxAttrs attrs = {
        .requester_id = pci_requester_id(PCI_DEVICE(s)),
    };
    MemTxResult ret;

    switch (q->acc_kind) {
    case ACC_READ:
        ptd_count(s, PTD_CNT_READS);
        ret = address_space_read(as, addr, attrs, q->acc_buf, q->acc_len);
        break;
    case ACC_WRITE:
        ptd_count(s, PTD_CNT_WRITES);
        ret = address_space_write(as, addr, attrs, q->acc_buf, q->acc_len);
        break;
    case ACC_FETCHADD:
        ptd_count(s, PTD_CNT_READS);
        ptd_count(s, PTD_CNT_WRITES);
        ret = ptd_fetchadd(as, addr, attrs, d->imm, &q->result);
        break;
    case ACC_RECORD:
        ptd_count(s, PTD_CNT_WRITES);
        /* Who sees the status must see the rest, and the data before it */
        smp_wmb();
        ret = address_space_write(as, addr, attrs, q->acc_buf,
                                  offsetof(struct ptd_record, status));
        /* The status is last */
        smp_wmb();
        if (ret == MEMTX_OK) {
            address_space_stl_le(as,
                                 addr + offsetof(struct ptd_record, status),
                                 q->status, attrs, &ret);
        }
        break;
    default:
        g_assert_not_reached();
    }
    q->acc_result = ret == MEMTX_OK ? ACC_OK : ACC_BUS_ERROR;
}

/*
 * The answer.  The access is made here and now: later it could reach memory
 * after an invalidation that ought to have waited for it.
 */
static void ptd_acc_done(PCITransReq *req)
{
    PTDQueue *q = container_of(req, PTDQueue, req);
    PTDState *s = q->s;
    uint32_t gen = q->gen;

    if (q->acc == ACC_ATS) {
        if (req->status == PCI_TRANS_OK &&
            (req->perm & q->acc_need) == q->acc_need) {
            ptd_tlb_insert(s, req);
            q->acc_filled = true;
            q->acc = ACC_IDLE;
        } else if (req->status == PCI_TRANS_OK && ptd_pri_enabled(s) &&
                   !(q->ring[q->head].flags & PTD_F_NO_PRI)) {
            /* Something may be done about it */
            q->acc = ACC_CREDIT;
        } else {
            q->acc_result = ACC_FAULT;
            q->acc = ACC_DONE;
        }
    } else {
        if (req->status == PCI_TRANS_OK) {
            ptd_acc_dma(q, req->as, req->addr);
        } else {
            q->acc_result = ACC_FAULT;
        }
        /* Not if the access hit a register that resets this function */
        if (gen == q->gen) {
            q->acc = ACC_DONE;
        }
    }
    if (!q->in_submit) {
        ptd_kick(s);
    }
}

static void ptd_acc_submit(PTDQueue *q, PTDAccState state, uint32_t pasid,
                           uint32_t flags, hwaddr iova)
{
    q->acc = state;
    q->req = (PCITransReq) {
        .dev = PCI_DEVICE(q->s),
        .pasid = pasid,
        .flags = flags,
        .iova = iova,
        .done = ptd_acc_done,
    };
    q->in_submit = true;
    pci_trans_submit(&q->req);
    q->in_submit = false;
}

/*
 * Make one access, which does not cross a page.  ACC_PENDING: call again with
 * the same arguments after the next kick.
 */
static PTDAccResult ptd_access(PTDQueue *q, PTDAccKind kind, hwaddr iova,
                               uint8_t *buf, uint32_t len)
{
    PTDState *s = q->s;
    struct ptd_desc *d = &q->ring[q->head];
    uint32_t gen = q->gen;
    uint32_t pasid = PCI_TRANS_NO_PASID;
    uint32_t flags = 0;
    uint64_t last = iova + len - 1;

    if (d->pasid & PTD_PASID_VALID) {
        pasid = d->pasid & PTD_PASID_MASK;
    }
    if (kind == ACC_READ || kind == ACC_FETCHADD) {
        flags |= PCI_TRANS_READ;
    }
    if (kind != ACC_READ) {
        flags |= PCI_TRANS_WRITE;
    }
    if (kind == ACC_READ && (d->flags & PTD_F_EXEC)) {
        flags |= PCI_TRANS_EXEC;
    }
    if (d->flags & PTD_F_PRIV) {
        flags |= PCI_TRANS_PRIV;
    }

    if ((kind == ACC_READ || kind == ACC_WRITE) && d->op != PTD_OP_FLOOD) {
        last = iova - q->piece_off + d->len - 1;
    }
    if (q->acc == ACC_IDLE) {
        q->acc_filled = false;
    }
    while (q->acc == ACC_IDLE || q->acc == ACC_CREDIT) {
        if (!ptd_busmaster(s)) {
            q->acc = ACC_IDLE;
            return ACC_NO_BUSMASTER;
        }
        if (ptd_held(s)) {
            return ACC_PENDING;
        }
        if (q->acc == ACC_CREDIT) {
            ptd_acc_page_request(q);
            /* Even if it is answered already: others get their turn */
            return ACC_PENDING;
        }
        q->acc_kind = kind;
        q->acc_iova = iova;
        q->acc_buf = buf;
        q->acc_len = len;
        q->acc_need = flags & ~PCI_TRANS_PRIV;
        q->acc_last = last;
        if (s->ats && !(d->flags & PTD_F_NO_ATS) &&
            d->op != PTD_OP_FLOOD) {
            PTDTlbEntry *e = ptd_tlb_find(s, pasid, flags & PCI_TRANS_PRIV,
                                          iova, q->acc_need);

            if (e) {
                if (!q->acc_filled) {
                    ptd_count(s, PTD_CNT_ATS_HIT);
                }
                /* A translated request has no PASID */
                ptd_acc_submit(q, ACC_TRANS, PCI_TRANS_NO_PASID,
                               (q->acc_need & ~PCI_TRANS_EXEC) |
                               PCI_TRANS_TRANSLATED,
                               e->addr | (iova & e->mask));
            } else {
                /* There is no translation request for writes alone */
                ptd_count(s, PTD_CNT_ATS_REQ);
                ptd_acc_submit(q, ACC_ATS, pasid,
                               flags | PCI_TRANS_READ | PCI_TRANS_ATS, iova);
            }
        } else {
            ptd_acc_submit(q, ACC_TRANS, pasid,
                           flags | (s->can_stall ? PCI_TRANS_CAN_STALL : 0),
                           iova);
        }
        if (gen != q->gen) {
            return ACC_PENDING;
        }
    }
    if (q->acc != ACC_DONE) {
        return ACC_PENDING;
    }
    q->acc = ACC_IDLE;
    if (q->acc_result == ACC_FAULT) {
        ptd_count(s, PTD_CNT_FAULTS);
    }
    return q->acc_result;
}

/* Descriptors */

static bool ptd_op_has_src(uint8_t op)
{
    return op == PTD_OP_MEMMOVE || op == PTD_OP_COMPARE || op == PTD_OP_CRC32;
}

static bool ptd_op_has_dst(uint8_t op)
{
    return op == PTD_OP_MEMMOVE || op == PTD_OP_FILL ||
           op == PTD_OP_COMPARE || op == PTD_OP_FETCHADD;
}

static uint32_t ptd_check(PTDState *s, const struct ptd_desc *d)
{
    uint16_t ctrl = ptd_pasid_ctrl(s);
    bool src = ptd_op_has_src(d->op), dst = ptd_op_has_dst(d->op);
    bool flood = d->op == PTD_OP_FLOOD;

    if (d->op > PTD_OP_MAX) {
        return PTD_ST_BAD_OP;
    }
    if (d->rsvd0[0] || d->rsvd0[1] || d->rsvd0[2] || d->rsvd1 || d->rsvd2) {
        return PTD_ST_BAD_RSVD;
    }
    if (d->flags & ~PTD_F_ALL) {
        return PTD_ST_BAD_FLAGS;
    }
    if (d->pasid & PTD_PASID_VALID) {
        if ((d->pasid & ~(PTD_PASID_VALID | PTD_PASID_MASK)) ||
            !(ctrl & PCI_PASID_CTRL_ENABLE)) {
            return PTD_ST_BAD_PASID;
        }
    } else if (d->pasid) {
        return PTD_ST_BAD_PASID;
    }
    if ((d->flags & PTD_F_EXEC) &&
        (!(src || flood) || !d->pasid || !(ctrl & PCI_PASID_CTRL_EXEC))) {
        return PTD_ST_BAD_FLAGS;
    }
    if ((d->flags & PTD_F_PRIV) &&
        (!d->pasid || !(ctrl & PCI_PASID_CTRL_PRIV))) {
        return PTD_ST_BAD_FLAGS;
    }
    if (src || dst) {
        if (d->op == PTD_OP_FETCHADD) {
            if (d->len != 8) {
                return PTD_ST_BAD_LEN;
            }
        } else if (!d->len || d->len > PTD_LEN_MAX ||
                   (src && d->src + d->len - 1 < d->src) ||
                   (dst && d->dst + d->len - 1 < d->dst)) {
            return PTD_ST_BAD_LEN;
        }
    }
    if (flood && ((d->len & 7) || !d->imm || d->imm > PTD_FLOOD_MAX)) {
        return PTD_ST_BAD_LEN;
    }
    if ((d->op == PTD_OP_FETCHADD || flood) && (d->dst & 7)) {
        return PTD_ST_BAD_ALIGN;
    }
    if ((d->flags & PTD_F_RECORD) && (d->record & 31)) {
        return PTD_ST_BAD_ALIGN;
    }
    return PTD_ST_OK;
}

static void ptd_complete(PTDQueue *q)
{
    PTDState *s = q->s;
    struct ptd_desc *d = &q->ring[q->head];
    struct ptd_record *r;
    bool irq = d->flags & PTD_F_IRQ;

    if (q->cpl_count == PTD_CPL_DEPTH) {
        q->cpl_head = (q->cpl_head + 1) % PTD_CPL_DEPTH;
        q->cpl_count--;
        q->cpl_lost++;
    }
    r = &q->cpl[(q->cpl_head + q->cpl_count++) % PTD_CPL_DEPTH];
    *r = (struct ptd_record) {
        .tag = cpu_to_le32(d->tag),
        .done = cpu_to_le32(q->done),
        .fault_addr = cpu_to_le64(q->fault_addr),
        .result = cpu_to_le64(q->result),
        .status = cpu_to_le32(q->status),
    };

    q->head = (q->head + 1) % PTD_DEPTH;
    q->count--;
    q->phase = PTD_PH_IDLE;

    if (irq && msix_enabled(PCI_DEVICE(s))) {
        ptd_count(s, PTD_CNT_IRQ);
        msix_notify(PCI_DEVICE(s), q->idx);
    }
}

/* The descriptor is done, well or not; its record is next, if it wants one */
static void ptd_finish(PTDQueue *q, uint32_t status)
{
    q->status = status;
    if (q->ring[q->head].flags & PTD_F_RECORD) {
        q->phase = PTD_PH_RECORD;
    } else {
        ptd_complete(q);
    }
}

/* Returns false while the access is pending or when it ended the descriptor */
static bool ptd_op_access(PTDQueue *q, PTDAccKind kind, hwaddr iova,
                          uint8_t *buf, uint32_t len, bool *progress)
{
    PTDAccResult res = ptd_access(q, kind, iova, buf, len);

    *progress = res != ACC_PENDING;
    switch (res) {
    case ACC_OK:
        return true;
    case ACC_PENDING:
        return false;
    case ACC_FAULT:
        q->fault_addr = iova;
        ptd_finish(q, kind == ACC_READ ? PTD_ST_READ_FAULT :
                                         PTD_ST_WRITE_FAULT);
        return false;
    case ACC_NO_BUSMASTER:
        ptd_finish(q, PTD_ST_NO_BUSMASTER);
        return false;
    case ACC_BUS_ERROR:
        q->fault_addr = iova;
        ptd_finish(q, PTD_ST_BUS_ERROR);
        return false;
    default:
        g_assert_not_reached();
    }
}

static uint32_t ptd_to_page_end(uint64_t addr)
{
    return PTD_PAGE - (addr & (PTD_PAGE - 1));
}

/* Bytes at the end of a block that lie in one page */
static uint32_t ptd_from_page_start(uint64_t addr, uint64_t off)
{
    return ((addr + off - 1) & (PTD_PAGE - 1)) + 1;
}

/* Where the next piece is; a copy onto itself may have to go downwards */
static void ptd_next_piece(PTDQueue *q)
{
    struct ptd_desc *d = &q->ring[q->head];
    uint32_t left = d->len - q->done;
    bool src = ptd_op_has_src(d->op), dst = ptd_op_has_dst(d->op);
    uint32_t n = MIN(left, PTD_PAGE);

    if (d->op == PTD_OP_MEMMOVE && d->dst > d->src &&
        d->dst - d->src < d->len) {
        n = MIN(n, ptd_from_page_start(d->src, left));
        n = MIN(n, ptd_from_page_start(d->dst, left));
        q->piece_off = left - n;
    } else {
        if (src) {
            n = MIN(n, ptd_to_page_end(d->src + q->done));
        }
        if (dst) {
            n = MIN(n, ptd_to_page_end(d->dst + q->done));
        }
        q->piece_off = q->done;
    }
    q->piece = n;
}

static void ptd_piece_done(PTDQueue *q)
{
    q->done += q->piece;
    q->phase = PTD_PH_FIRST;
    if (q->done == q->ring[q->head].len) {
        ptd_finish(q, PTD_ST_OK);
    }
}

static bool ptd_step_first(PTDQueue *q)
{
    struct ptd_desc *d = &q->ring[q->head];
    bool progress;
    uint32_t i;

    /* The same answer every time until the access is made */
    ptd_next_piece(q);
    switch (d->op) {
    case PTD_OP_MEMMOVE:
    case PTD_OP_COMPARE:
        if (ptd_op_access(q, ACC_READ, d->src + q->piece_off, q->buf,
                          q->piece, &progress)) {
            q->phase = PTD_PH_SECOND;
        }
        return progress;
    case PTD_OP_CRC32:
        if (ptd_op_access(q, ACC_READ, d->src + q->piece_off, q->buf,
                          q->piece, &progress)) {
            q->result = crc32(q->result, q->buf, q->piece);
            ptd_piece_done(q);
        }
        return progress;
    case PTD_OP_FILL:
        for (i = 0; i < q->piece; i++) {
            q->buf[i] = d->imm >> ((q->done + i) % 8) * 8;
        }
        if (ptd_op_access(q, ACC_WRITE, d->dst + q->piece_off, q->buf,
                          q->piece, &progress)) {
            ptd_piece_done(q);
        }
        return progress;
    case PTD_OP_FETCHADD:
        if (ptd_op_access(q, ACC_FETCHADD, d->dst, NULL, 8, &progress)) {
            ptd_piece_done(q);
        }
        return progress;
    default:
        g_assert_not_reached();
    }
}

static bool ptd_step_second(PTDQueue *q)
{
    struct ptd_desc *d = &q->ring[q->head];
    hwaddr dst = d->dst + q->piece_off;
    bool progress;
    uint32_t i;

    if (d->op == PTD_OP_MEMMOVE) {
        if (ptd_op_access(q, ACC_WRITE, dst, q->buf, q->piece, &progress)) {
            ptd_piece_done(q);
        }
        return progress;
    }
    if (ptd_op_access(q, ACC_READ, dst, q->buf2, q->piece, &progress)) {
        i = 0;
        while (i < q->piece && q->buf[i] == q->buf2[i]) {
            i++;
        }
        if (i < q->piece) {
            q->done += i;
            q->result = q->done;
            ptd_finish(q, PTD_ST_MISMATCH);
        } else {
            ptd_piece_done(q);
        }
    }
    return progress;
}

/* How many accesses may be made before the guest gets its turn */
static uint64_t ptd_flood_pace(struct ptd_desc *d)
{
    uint32_t burst = d->src & PTD_PACE_BURST;

    if (d->src & PTD_PACE_ROOM) {
        return iommu_mon_fault_room();
    }
    if (burst) {
        return iommu_mon_fault_idle() ? burst : 0;
    }
    return PTD_FLOOD_SLICE;
}

static bool ptd_step_flood(PTDQueue *q)
{
    struct ptd_desc *d = &q->ring[q->head];
    uint32_t gen = q->gen;
    uint64_t n = MIN(ptd_flood_pace(d), d->imm - q->done);
    bool progress = false;

    for (; n; n--, q->done++) {
        switch (ptd_access(q, ACC_READ, d->dst + (uint64_t)q->done * d->len,
                           q->buf, 8)) {
        case ACC_PENDING:
            return progress;
        case ACC_NO_BUSMASTER:
            ptd_finish(q, PTD_ST_NO_BUSMASTER);
            return true;
        case ACC_FAULT:
            q->result++;
            break;
        default:
            break;
        }
        if (gen != q->gen) {
            return true;
        }
        progress = true;
    }
    if (q->done == d->imm) {
        ptd_finish(q, PTD_ST_OK);
    }
    return progress;
}

static bool ptd_step_record(PTDQueue *q)
{
    struct ptd_desc *d = &q->ring[q->head];
    struct ptd_record r = {
        .tag = cpu_to_le32(d->tag),
        .done = cpu_to_le32(q->done),
        .fault_addr = cpu_to_le64(q->fault_addr),
        .result = cpu_to_le64(q->result),
    };

    memcpy(q->buf, &r, sizeof(r));
    switch (ptd_access(q, ACC_RECORD, d->record, q->buf, sizeof(r))) {
    case ACC_PENDING:
        return false;
    case ACC_OK:
        break;
    default:
        /* What went wrong first is what is told */
        if (q->status == PTD_ST_OK || q->status == PTD_ST_MISMATCH) {
            q->status = PTD_ST_RECORD_FAULT;
            q->fault_addr = d->record;
        }
        break;
    }
    ptd_complete(q);
    return true;
}

static bool ptd_older_work(PTDState *s, uint64_t seq)
{
    int i;

    for (i = 0; i < PTD_NR_QUEUES; i++) {
        PTDQueue *q = &s->queue[i];

        if (q->count && q->seq[q->head] < seq) {
            return true;
        }
    }
    return false;
}

static void ptd_start(PTDQueue *q)
{
    PTDState *s = q->s;
    struct ptd_desc *d = &q->ring[q->head];
    uint32_t status = ptd_check(s, d);

    q->done = 0;
    q->fault_addr = 0;
    q->result = 0;
    if (status != PTD_ST_OK) {
        ptd_count(s, PTD_CNT_REJECTED);
        q->status = status;
        ptd_complete(q);
        return;
    }
    ptd_count(s, PTD_CNT_DESC);
    switch (d->op) {
    case PTD_OP_NOP:
        ptd_finish(q, PTD_ST_OK);
        break;
    case PTD_OP_HOLD:
        q->phase = PTD_PH_HELD;
        break;
    case PTD_OP_DRAIN:
        q->phase = PTD_PH_DRAIN;
        break;
    case PTD_OP_FLOOD:
        q->phase = PTD_PH_FLOOD;
        break;
    case PTD_OP_CRC32:
        q->result = (uint32_t)d->imm;
        /* fallthrough */
    default:
        q->phase = PTD_PH_FIRST;
        break;
    }
}

/* Returns false if there is nothing to do before the next kick */
static bool ptd_step(PTDQueue *q)
{
    if (!q->count) {
        return false;
    }
    switch (q->phase) {
    case PTD_PH_IDLE:
        ptd_start(q);
        return true;
    case PTD_PH_FIRST:
        return ptd_step_first(q);
    case PTD_PH_SECOND:
        return ptd_step_second(q);
    case PTD_PH_FLOOD:
        return ptd_step_flood(q);
    case PTD_PH_HELD:
        return false;
    case PTD_PH_DRAIN:
        if (ptd_older_work(q->s, q->seq[q->head])) {
            return false;
        }
        ptd_finish(q, PTD_ST_OK);
        return true;
    case PTD_PH_RECORD:
        return ptd_step_record(q);
    default:
        g_assert_not_reached();
    }
}

static void ptd_run(void *opaque)
{
    PTDState *s = opaque;
    unsigned budget = PTD_SLICE, idle = 0;

    /* An access may hit the register that removes this function */
    object_ref(OBJECT(s));
    while (budget && idle < PTD_NR_QUEUES) {
        PTDQueue *q = &s->queue[s->next_queue];

        s->next_queue = (s->next_queue + 1) % PTD_NR_QUEUES;
        if (ptd_step(q)) {
            budget--;
            idle = 0;
        } else {
            idle++;
        }
    }
    if (!budget && s->bh) {
        ptd_kick(s);
    }
    object_unref(OBJECT(s));
}

static void ptd_released(void *opaque)
{
    ptd_kick(opaque);
}

/* Forget all work of a queue, without completions */
static void ptd_queue_abort(PTDQueue *q)
{
    unsigned i;

    if (q->acc == ACC_ATS || q->acc == ACC_TRANS) {
        pci_trans_cancel(&q->req);
    }
    /* What was asked for stays outstanding, for nobody */
    for (i = 0; q->acc == ACC_PAGE && i < PCI_PAGE_NR_GROUPS; i++) {
        if (q->s->group[i].q == q) {
            q->s->group[i].q = NULL;
        }
    }
    q->acc = ACC_IDLE;
    q->phase = PTD_PH_IDLE;
    q->count = 0;
    q->head = 0;
    q->gen++;
    /* A DRAIN of another queue may have waited for this */
    ptd_kick(q->s);
}

static void ptd_reset_engine(PTDState *s)
{
    int i;

    for (i = 0; i < PTD_NR_QUEUES; i++) {
        PTDQueue *q = &s->queue[i];

        ptd_queue_abort(q);
        q->enabled = false;
        memset(q->window, 0, sizeof(q->window));
        memset(q->cpl, 0, sizeof(q->cpl));
        q->cpl_head = 0;
        q->cpl_count = 0;
        q->cpl_lost = 0;
    }
    ptd_tlb_drop_all(s);
    /* The IOMMU may still answer: then nobody waits for it */
    ptd_pri_abort(s, true);
    s->next_group = 0;
    s->pr_addr = 0;
    s->pr_pasid = 0;
    s->pr_flags = 0;
    s->resp_head = 0;
    s->resp_count = 0;
    s->hold = false;
    s->next_seq = 0;
    memset(s->cnt, 0, sizeof(s->cnt));
}

/* Registers */

static void ptd_doorbell(PTDQueue *q)
{
    PTDState *s = q->s;
    struct ptd_desc d;
    unsigned slot;

    if (!q->enabled || q->count == PTD_DEPTH) {
        ptd_count(s, PTD_CNT_DROPPED);
        return;
    }
    memcpy(&d, q->window, sizeof(d));
    d.flags = le32_to_cpu(d.flags);
    d.pasid = le32_to_cpu(d.pasid);
    d.tag = le32_to_cpu(d.tag);
    d.src = le64_to_cpu(d.src);
    d.dst = le64_to_cpu(d.dst);
    d.imm = le64_to_cpu(d.imm);
    d.record = le64_to_cpu(d.record);
    d.len = le32_to_cpu(d.len);
    d.rsvd1 = le32_to_cpu(d.rsvd1);
    d.rsvd2 = le64_to_cpu(d.rsvd2);

    slot = (q->head + q->count) % PTD_DEPTH;
    q->ring[slot] = d;
    q->seq[slot] = s->next_seq++;
    q->count++;
    ptd_kick(s);
}

static uint32_t ptd_status(PTDState *s)
{
    uint16_t ctrl = ptd_pasid_ctrl(s);
    uint32_t val = 0;

    if (ctrl & PCI_PASID_CTRL_ENABLE) {
        val |= PTD_STATUS_PASID;
    }
    if (ctrl & PCI_PASID_CTRL_EXEC) {
        val |= PTD_STATUS_EXEC;
    }
    if (ctrl & PCI_PASID_CTRL_PRIV) {
        val |= PTD_STATUS_PRIV;
    }
    if (s->ats) {
        val |= PTD_STATUS_ATS;
    }
    if (ptd_pri_enabled(s)) {
        val |= PTD_STATUS_PRI;
    }
    if (ptd_busmaster(s)) {
        val |= PTD_STATUS_BUSMASTER;
    }
    return val;
}

static uint32_t ptd_queue_read(PTDQueue *q, hwaddr reg)
{
    switch (reg) {
    case PTD_Q_CTRL:
        return q->enabled ? PTD_Q_CTRL_ENABLE : 0;
    case PTD_Q_STATUS:
        return (q->count ? PTD_Q_STATUS_BUSY : 0) |
               (q->phase == PTD_PH_HELD ? PTD_Q_STATUS_HELD : 0);
    case PTD_Q_PENDING:
        return q->count;
    case PTD_Q_DESC ... PTD_Q_DESC + PTD_DESC_SIZE - 1:
        return ldl_le_p(q->window + (reg - PTD_Q_DESC));
    case PTD_Q_CPL_COUNT:
        return q->cpl_count;
    case PTD_Q_CPL_LOST:
        return q->cpl_lost;
    case PTD_Q_CPL ... PTD_Q_CPL + sizeof(struct ptd_record) - 1:
        if (!q->cpl_count) {
            return 0;
        }
        return ldl_le_p((uint8_t *)&q->cpl[q->cpl_head] + (reg - PTD_Q_CPL));
    default:
        return 0;
    }
}

static void ptd_queue_write(PTDQueue *q, hwaddr reg, uint32_t val)
{
    switch (reg) {
    case PTD_Q_CTRL:
        if (q->enabled && !(val & PTD_Q_CTRL_ENABLE)) {
            ptd_queue_abort(q);
        }
        q->enabled = val & PTD_Q_CTRL_ENABLE;
        if ((val & PTD_Q_CTRL_RELEASE) && q->phase == PTD_PH_HELD) {
            ptd_finish(q, PTD_ST_OK);
            ptd_kick(q->s);
        }
        break;
    case PTD_Q_DOORBELL:
        ptd_doorbell(q);
        break;
    case PTD_Q_DESC ... PTD_Q_DESC + PTD_DESC_SIZE - 1:
        stl_le_p(q->window + (reg - PTD_Q_DESC), val);
        break;
    case PTD_Q_CPL_POP:
        if (q->cpl_count) {
            q->cpl_head = (q->cpl_head + 1) % PTD_CPL_DEPTH;
            q->cpl_count--;
        }
        break;
    default:
        break;
    }
}

static uint64_t ptd_read(void *opaque, hwaddr addr, unsigned size)
{
    PTDState *s = opaque;
    unsigned page = addr / 0x1000;

    if (page) {
        return page <= PTD_NR_QUEUES ?
               ptd_queue_read(&s->queue[page - 1], addr & 0xfff) : 0;
    }
    switch (addr) {
    case PTD_ID:
        return PTD_ID_VALUE;
    case PTD_CAPS:
        return PTD_NR_QUEUES | PTD_DEPTH << 8;
    case PTD_MAX_LEN:
        return PTD_LEN_MAX;
    case PTD_STATUS:
        return ptd_status(s);
    case PTD_CTRL:
        return s->hold ? PTD_CTRL_HOLD : 0;
    case PTD_CNT_DESC ... PTD_CNT_RESP_STRAY + 7:
        return (uint32_t)(s->cnt[(addr - PTD_CNT_DESC) / 8] >>
                          (addr & 4) * 8);
    case PTD_PR_ADDR:
        return (uint32_t)s->pr_addr;
    case PTD_PR_ADDR + 4:
        return s->pr_addr >> 32;
    case PTD_PR_PASID:
        return s->pr_pasid;
    case PTD_PR_FLAGS:
        return s->pr_flags;
    case PTD_PR_OUTSTANDING:
        return s->credits_used;
    case PTD_RESP_COUNT:
        return s->resp_count;
    case PTD_RESP:
    case PTD_RESP + 4:
        if (!s->resp_count) {
            return 0;
        }
        return (uint32_t)(s->resp[s->resp_head] >> (addr & 4) * 8);
    default:
        return 0;
    }
}

static void ptd_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    PTDState *s = opaque;
    unsigned page = addr / 0x1000;

    if (page) {
        if (page <= PTD_NR_QUEUES) {
            ptd_queue_write(&s->queue[page - 1], addr & 0xfff, val);
        }
        return;
    }
    switch (addr) {
    case PTD_CTRL:
        if (val & PTD_CTRL_RESET) {
            ptd_reset_engine(s);
        }
        s->hold = val & PTD_CTRL_HOLD;
        ptd_kick(s);
        break;
    case PTD_PR_ADDR:
        s->pr_addr = deposit64(s->pr_addr, 0, 32, val);
        break;
    case PTD_PR_ADDR + 4:
        s->pr_addr = deposit64(s->pr_addr, 32, 32, val);
        break;
    case PTD_PR_PASID:
        s->pr_pasid = val & (PTD_PASID_VALID | PTD_PASID_MASK);
        break;
    case PTD_PR_FLAGS:
        s->pr_flags = val;
        break;
    case PTD_PR_SEND:
        ptd_pr_send(s, val);
        break;
    case PTD_RESP_POP:
        if (s->resp_count) {
            s->resp_head = (s->resp_head + 1) % PTD_RESP_DEPTH;
            s->resp_count--;
        }
        break;
    default:
        break;
    }
}

static const MemoryRegionOps ptd_ops = {
    .read = ptd_read,
    .write = ptd_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 8 },
    .impl = { .min_access_size = 4, .max_access_size = 4 },
};

/* Config space */

static void ptd_pasid_init(PCIDevice *pdev)
{
    uint8_t *cap = pdev->config + PTD_PASID_OFFSET;

    pcie_add_capability(pdev, PCI_EXT_CAP_ID_PASID, 1, PTD_PASID_OFFSET,
                        PCI_EXT_CAP_PASID_SIZEOF);
    pci_set_word(cap + PCI_PASID_CAP, PCI_PASID_CAP_EXEC | PCI_PASID_CAP_PRIV |
                                      PTD_PASID_BITS << 8);
    pci_set_word(pdev->wmask + PTD_PASID_OFFSET + PCI_PASID_CTRL,
                 PCI_PASID_CTRL_ENABLE | PCI_PASID_CTRL_EXEC |
                 PCI_PASID_CTRL_PRIV);
}

static void ptd_update_ats(PTDState *s)
{
    bool ats = pci_get_word(PCI_DEVICE(s)->config + PTD_ATS_OFFSET +
                            PCI_ATS_CTRL) & PCI_ATS_CTRL_ENABLE;

    if (s->ats && !ats) {
        ptd_tlb_drop_all(s);
    }
    s->ats = ats;
}

static void ptd_pri_init(PCIDevice *pdev)
{
    uint8_t *cap = pdev->config + PTD_PRI_OFFSET;

    pcie_add_capability(pdev, PCI_EXT_CAP_ID_PRI, 1, PTD_PRI_OFFSET,
                        PCI_EXT_CAP_PRI_SIZEOF);
    pci_set_word(cap + PCI_PRI_STATUS, PCI_PRI_STATUS_STOPPED |
                                       PCI_PRI_STATUS_PASID);
    pci_set_long(cap + PCI_PRI_MAX_REQ, PTD_PRI_CAPACITY);
    cap = pdev->wmask + PTD_PRI_OFFSET;
    pci_set_word(cap + PCI_PRI_CTRL, PCI_PRI_CTRL_ENABLE |
                                     PCI_PRI_CTRL_RESET);
    pci_set_long(cap + PCI_PRI_ALLOC_REQ, UINT32_MAX);
    cap = pdev->w1cmask + PTD_PRI_OFFSET;
    pci_set_word(cap + PCI_PRI_STATUS, PCI_PRI_STATUS_RF |
                                       PCI_PRI_STATUS_UPRGI);
}

/* The control register was written; @before: was it enabled? */
static void ptd_update_pri(PTDState *s, bool before)
{
    uint8_t *ctrl = ptd_pri(s) + PCI_PRI_CTRL;
    uint16_t val = pci_get_word(ctrl);
    bool enable = val & PCI_PRI_CTRL_ENABLE;

    pci_set_word(ctrl, enable ? PCI_PRI_CTRL_ENABLE : 0);
    if (enable && !before) {
        ptd_pri_status(s, PCI_PRI_STATUS_RF | PCI_PRI_STATUS_UPRGI, 0);
    }
    if (!enable && (before || (val & PCI_PRI_CTRL_RESET))) {
        /* Without a reset, answers are still waited for */
        ptd_pri_abort(s, val & PCI_PRI_CTRL_RESET);
    }
    ptd_pri_update(s);
    ptd_kick(s);
}

static void ptd_config_write(PCIDevice *pdev, uint32_t addr, uint32_t val,
                             int len)
{
    PTDState *s = PASID_TESTDEV(pdev);
    bool pri = ptd_pri_enabled(s);
    bool asleep = !pci_trans_awake(pdev);

    pci_default_write_config(pdev, addr, val, len);
    if (asleep && pci_trans_awake(pdev)) {
        /* From D3hot, for there is no other; No_Soft_Reset is clear */
        pci_device_reset(pdev);
        return;
    }
    ptd_update_ats(s);
    if (ranges_overlap(addr, len, PTD_PRI_OFFSET,
                       PCI_EXT_CAP_PRI_SIZEOF)) {
        ptd_update_pri(s, pri);
    }
    pcie_cap_flr_write_config(pdev, addr, val, len);
}

/* FLR, and every other reset */
static void ptd_reset(DeviceState *dev)
{
    PTDState *s = PASID_TESTDEV(dev);
    PCIDevice *pdev = PCI_DEVICE(dev);

    pci_set_word(pdev->config + PTD_PASID_OFFSET + PCI_PASID_CTRL, 0);
    pci_set_word(pdev->config + PTD_ATS_OFFSET + PCI_ATS_CTRL, 0);
    pci_set_word(ptd_pri(s) + PCI_PRI_CTRL, 0);
    ptd_pri_status(s, PCI_PRI_STATUS_RF | PCI_PRI_STATUS_UPRGI, 0);
    pci_set_long(ptd_pri(s) + PCI_PRI_ALLOC_REQ, 0);
    ptd_update_ats(s);
    ptd_reset_engine(s);
}

static void ptd_realize(PCIDevice *pdev, Error **errp)
{
    PTDState *s = PASID_TESTDEV(pdev);
    uint8_t *ats = pdev->config + PTD_ATS_OFFSET;
    int i;

    memory_region_init_io(&s->bar, OBJECT(s), &ptd_ops, s, TYPE_PASID_TESTDEV,
                          PTD_BAR_SIZE);
    pci_register_bar(pdev, 0, PCI_BASE_ADDRESS_SPACE_MEMORY, &s->bar);
    if (msix_init_exclusive_bar(pdev, PTD_NR_QUEUES, 2, errp)) {
        return;
    }
    for (i = 0; i < PTD_NR_QUEUES; i++) {
        msix_vector_use(pdev, i);
    }

    if (pcie_endpoint_cap_init(pdev, 0) < 0) {
        error_setg(errp, "no room for the PCI Express capability");
        msix_uninit_exclusive_bar(pdev);
        return;
    }
    pcie_cap_flr_init(pdev);
    if (s->pm) {
        int pm = pci_pm_init(pdev, 0, errp);

        if (pm < 0) {
            pcie_cap_exit(pdev);
            msix_uninit_exclusive_bar(pdev);
            return;
        }
        pci_set_word(pdev->config + pm + PCI_PM_PMC, 3); /* version */
        pci_set_word(pdev->wmask + pm + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK);
    }
    ptd_pasid_init(pdev);
    pcie_ats_init(pdev, PTD_ATS_OFFSET, true);
    pci_set_word(ats + PCI_ATS_CAP,
                 pci_get_word(ats + PCI_ATS_CAP) | PTD_ATS_CAP_GLOBAL_INV);
    pci_set_word(pdev->wmask + PTD_ATS_OFFSET + PCI_ATS_CTRL,
                 PCI_ATS_CTRL_ENABLE | PTD_ATS_CTRL_STU);
    ptd_pri_init(pdev);
    if (pdev->cap_present & QEMU_PCI_CAP_MULTIFUNCTION) {
        /* No peer-to-peer between functions: each is a group of its own */
        pcie_acs_init(pdev, PTD_ACS_OFFSET);
    }

    s->tlb = g_array_new(false, false, sizeof(PTDTlbEntry));
    s->bh = qemu_bh_new_guarded(ptd_run, s,
                                &DEVICE(s)->mem_reentrancy_guard);
    s->timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, ptd_run, s);
    for (i = 0; i < PTD_NR_QUEUES; i++) {
        s->queue[i].s = s;
        s->queue[i].idx = i;
    }
    pci_trans_set_ats_ops(pdev, &ptd_ats_ops);
    iommu_mon_add_release_cb(ptd_released, s);
}

static void ptd_exit(PCIDevice *pdev)
{
    PTDState *s = PASID_TESTDEV(pdev);

    iommu_mon_del_release_cb(ptd_released, s);
    ptd_reset_engine(s);
    pci_trans_set_ats_ops(pdev, NULL);
    timer_free(s->timer);
    s->timer = NULL;
    qemu_bh_delete(s->bh);
    s->bh = NULL;
    g_array_free(s->tlb, true);
    s->tlb = NULL;
    msix_uninit_exclusive_bar(pdev);
    pcie_cap_exit(pdev);
}

static const Property ptd_properties[] = {
    DEFINE_PROP_BOOL("x-can-stall", PTDState, can_stall, false),
    DEFINE_PROP_BOOL("x-pm", PTDState, pm, false),
};

/* Descriptors in flight are not worth the trouble */
static const VMStateDescription ptd_vmstate = {
    .name = TYPE_PASID_TESTDEV,
    .unmigratable = 1,
};

static void ptd_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *k = PCI_DEVICE_CLASS(klass);

    k->realize = ptd_realize;
    k->exit = ptd_exit;
    k->config_write = ptd_config_write;
    k->vendor_id = PTD_VENDOR_ID;
    k->device_id = PTD_DEVICE_ID;
    k->class_id = PCI_CLASS_OTHERS;
    dc->desc = "DMA engine with PASID and ATS for IOMMU tests";
    dc->vmsd = &ptd_vmstate;
    device_class_set_props(dc, ptd_properties);
    device_class_set_legacy_reset(dc, ptd_reset);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
}

static const TypeInfo ptd_info = {
    .name = TYPE_PASID_TESTDEV,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(PTDState),
    .class_init = ptd_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_PCIE_DEVICE },
        { },
    },
};

static void ptd_register_types(void)
{
    type_register_static(&ptd_info);
}

type_init(ptd_register_types)
