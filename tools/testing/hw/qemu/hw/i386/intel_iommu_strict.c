/*
 * VT-d: scalable-mode engine of intel-iommu,x-nesting=on
 *
 * Written from the VT-d specification, revision 4.1; "spec" below is that one.
 * It translates by what each PASID table entry says (first, second, nested,
 * pass-through), keeps every cache the specification allows under the tags
 * the specification gives it, and drops nothing that no invalidation covers:
 * software that forgets an invalidation must be seen to forget it.
 *
 * Documented in tools/testing/hw/vtd-model.rst.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/error-report.h"
#include "qemu/host-utils.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "qapi/error.h"
#include "exec/address-spaces.h"
#include "hw/i386/apic_internal.h"
#include "hw/i386/x86-iommu.h"
#include "hw/misc/iommu-monitor.h"
#include "hw/pci/iommu_strict.h"
#include "hw/pci/pci_bus.h"
#include "hw/pci/pcie.h"
#include "hw/pci/pci_trans.h"
#include "migration/blocker.h"
#include "system/dma.h"
#include "intel_iommu_internal.h"
#include "intel_iommu_strict.h"

/* Registers, spec 11.4 */
#define VTDS_IQER_REG               0xb0
#define VTDS_FRCD_REG               0x500   /* free in every revision */
#define VTDS_FRCD_MAX               128
#define VTDS_FSTS_PFO               (1u << 0)
#define VTDS_FSTS_PPF               (1u << 1)
#define VTDS_FSTS_IQE               (1u << 4)
#define VTDS_FSTS_ICE               (1u << 5)
#define VTDS_FSTS_ITE               (1u << 6)
#define VTDS_FSTS_W1C               (VTDS_FSTS_PFO | VTDS_FSTS_IQE | \
                                     VTDS_FSTS_ICE | VTDS_FSTS_ITE)
#define VTDS_FSTS_EVENTS            (VTDS_FSTS_W1C | VTDS_FSTS_PPF)

/*
 * Fault record, high half: spec 11.4.14.  T1 (VTD_FRCD_T) and T2: 00 write,
 * 01 page request, 10 read, 11 AtomicOp.
 */
#define VTDS_FRCD_T2                (1ULL << 28)
#define VTDS_FRCD_PRIV              (1ULL << 29)
#define VTDS_FRCD_EXE               (1ULL << 30)
#define VTDS_FRCD_PP                (1ULL << 31)
#define VTDS_FRCD_PV(pasid)         ((uint64_t)((pasid) & 0xfffff) << 40)
#define VTDS_FRCD_AT(at)            ((uint64_t)(at) << 60)
#define VTDS_AT_UNTRANSLATED        0
#define VTDS_AT_REQUEST             1
#define VTDS_AT_TRANSLATED          2

/* ECAP bits the existing model has no name for: spec 11.4.3 */
#define VTDS_ECAP_C                 (1ULL << 0)
#define VTDS_ECAP_NEST              (1ULL << 26)
#define VTDS_ECAP_ERS               (1ULL << 30)
#define VTDS_ECAP_NWFS              (1ULL << 33)
#define VTDS_ECAP_EAFS              (1ULL << 34)
#define VTDS_ECAP_PSS(bits)         ((uint64_t)((bits) - 1) << 35)
#define VTDS_ECAP_SMPWC             (1ULL << 48)
#define VTDS_ECAP_RPS               (1ULL << 49)
#define VTDS_PASID_BITS             20

/* Scalable-mode fault conditions: spec 7.1.3 */
enum {
    VTDS_RTA_2 = 0x31,          /* legacy root, request with PASID */
    VTDS_SRT_1 = 0x38,          /* root entry: access */
    VTDS_SRT_2 = 0x39,          /* not present */
    VTDS_SRT_3 = 0x3a,          /* reserved */
    VTDS_SCT_1 = 0x40,          /* context entry: access */
    VTDS_SCT_2 = 0x41,          /* not present */
    VTDS_SCT_3 = 0x42,          /* reserved */
    VTDS_SCT_4 = 0x43,          /* invalid */
    VTDS_SCT_5 = 0x44,          /* DTE clear, (translation) request */
    VTDS_SCT_6 = 0x45,          /* PASIDE clear, request with PASID */
    VTDS_SCT_7 = 0x46,          /* PASID beyond PDTS */
    VTDS_SCT_8 = 0x47,          /* PRE clear, page request */
    VTDS_SCT_9 = 0x48,          /* RID_PASID */
    VTDS_SPD_1 = 0x50,          /* PASID directory: access */
    VTDS_SPD_2 = 0x51,          /* not present */
    VTDS_SPD_3 = 0x52,          /* reserved */
    VTDS_SPT_1 = 0x58,          /* PASID table entry: access */
    VTDS_SPT_2 = 0x59,          /* not present */
    VTDS_SPT_3 = 0x5a,          /* reserved */
    VTDS_SPT_4 = 0x5b,          /* invalid */
    VTDS_SPT_5 = 0x5c,          /* ERE clear */
    VTDS_SPT_6 = 0x5d,          /* SRE clear */
    VTDS_SFS_1 = 0x70,          /* first-stage entry: access */
    VTDS_SFS_2 = 0x71,          /* not present */
    VTDS_SFS_3 = 0x72,          /* reserved */
    VTDS_SFS_4 = 0x73,          /* FSPTPTR: access */
    VTDS_SFS_5 = 0x74,          /* nested: table address beyond stage 2 */
    VTDS_SFS_6 = 0x75,          /* nested: FSPTPTR not readable in stage 2 */
    VTDS_SFS_7 = 0x76,          /* nested: table not readable in stage 2 */
    VTDS_SFS_8 = 0x77,          /* nested: A/D update not allowed */
    VTDS_SSS_1 = 0x78,          /* second-stage entry: access */
    VTDS_SSS_2 = 0x79,          /* R and W both clear */
    VTDS_SSS_3 = 0x7a,          /* reserved */
    VTDS_SSS_4 = 0x7b,          /* SSPTPTR: access */
    VTDS_SGN_1 = 0x80,          /* not canonical */
    VTDS_SGN_2 = 0x81,          /* supervisor page, user request */
    VTDS_SGN_3 = 0x82,          /* not executable */
    VTDS_SGN_4 = 0x83,          /* input address too large */
    VTDS_SGN_5 = 0x84,          /* nested: output of stage 1 too large */
    VTDS_SGN_6 = 0x85,          /* not writable */
    VTDS_SGN_7 = 0x86,          /* not readable */
    VTDS_SGN_8 = 0x87,          /* interrupt range */
};
/* Not a fault: a speculative walk gave up. */
#define VTDS_GIVE_UP                0x100

/* PASID table entry: spec 9.6 */
#define VTDS_PE_SSADE               (1ULL << 9)
#define VTDS_PE_SLEE                (1ULL << 10)
#define VTDS_PE_RSVD0               ((1ULL << 5) | VTDS_PE_SSADE | (1ULL << 11))
#define VTDS_PE_PGSNP               (1ULL << 24)
#define VTDS_PE_RSVD1               (0x7f0000ULL | VTDS_PE_PGSNP)
#define VTDS_PE_SRE                 (1ULL << 0)
#define VTDS_PE_ERE                 (1ULL << 1)
#define VTDS_PE_FLPM(v)             (((v) >> 2) & 3)
#define VTDS_PE_WPE                 (1ULL << 4)
#define VTDS_PE_NXE                 (1ULL << 5)
#define VTDS_PE_SMEP                (1ULL << 6)
#define VTDS_PE_EAFE                (1ULL << 7)
#define VTDS_PE_RSVD2               0xf00ULL

/* Context entry: spec 9.4 */
#define VTDS_CE_DTE                 (1ULL << 2)
#define VTDS_CE_PASIDE              (1ULL << 3)
#define VTDS_CE_PRE                 (1ULL << 4)
#define VTDS_CE_PDTS(v)             (((v) >> 9) & 7)
#define VTDS_CE_RID_PRIV            (1ULL << 20)

/* First-stage entry: spec 9.7 */
#define VTDS_FS_EA                  (1ULL << 10)
#define VTDS_FS_XD                  (1ULL << 63)
#define VTDS_FS_LEVELS              4
#define VTDS_SS_X                   (1ULL << 2)

#define VTDS_PGTT_FS                1
#define VTDS_PGTT_SS                2
#define VTDS_PGTT_NESTED            3
#define VTDS_PGTT_PT                4

/* Wait descriptor: spec 6.5.2.8 */
#define VTDS_WAIT_PD                (1ULL << 7)

typedef struct VTDSCtx {
    bool legacy;
    uint64_t val[4];
} VTDSCtx;

/* A PASID table entry, or what a legacy context entry amounts to */
typedef struct VTDSPe {
    uint8_t pgtt;
    uint8_t ss_levels;
    uint16_t did;
    bool fpd;
    bool slee, sre, ere, wpe, nxe, smep, eafe;
    uint64_t fsptptr;
    uint64_t ssptptr;
} VTDSPe;

/*
 * Tag of an IOTLB or paging-structure cache entry: spec 6.2.4 and 6.2.5.
 * Stage 1 stands for first-stage and nested, tagged {DID, PASID, address};
 * stage 2 for second-stage, tagged {DID, address}, @pasid is 0 then.
 * In a paging-structure cache @level is that of the table pointed to.
 */
typedef struct VTDSKey {
    uint64_t page;
    uint32_t pasid;
    uint16_t did;
    uint8_t level;
    uint8_t stage;
} VTDSKey;

typedef struct VTDSLeaf {
    uint64_t hpa;               /* of the page */
    uint8_t level;              /* 1: 4 KiB, 2: 2 MiB, 3: 1 GiB */
    bool us, rw, xd, dirty;     /* first stage */
    bool r, w, x;               /* second stage */
} VTDSLeaf;

typedef struct VTDSTable {
    uint64_t addr;              /* first stage of a nested walk: a GPA */
    bool us, rw, xd;
    bool r, w, x;
} VTDSTable;

typedef struct VTDStrict {
    IntelIOMMUState *s;
    PCIBus *bus;
    GHashTable *ctx;            /* SID -> VTDSCtx */
    GHashTable *pasid;          /* {SID, PASID} -> VTDSPe */
    GHashTable *tlb;            /* VTDSKey -> VTDSLeaf */
    GHashTable *psc;            /* VTDSKey -> VTDSTable */
    IOMMURecents recent;
    bool running;               /* the queue; guards against recursion */
    QEMUBH *bh;                 /* runs the queue with x-async-queue=on */
    bool timed_out;             /* a device-TLB invalidation got no answer */
    uint16_t timed_out_sid;
    Error *migration_blocker;
} VTDStrict;

/* One translation */
typedef struct VTDSWalk {
    VTDStrict *v;
    VTDSPe pe;
    uint32_t tag;               /* PASID the caches are tagged with */
    unsigned flags;             /* PCI_TRANS_READ ... PRIV */
    bool cached;                /* may use cached structures */
    bool spec;                  /* speculative: nothing in memory changes */
} VTDSWalk;

typedef struct VTDSResult {
    bool fpd;
    bool page_request;
    bool legacy;
    bool pt;
    VTDSPe pe;
    VTDSLeaf leaf;
    uint64_t addr;
} VTDSResult;

static uint64_t reg64(IntelIOMMUState *s, hwaddr addr)
{
    return ldq_le_p(&s->csr[addr]);
}

static uint32_t reg32(IntelIOMMUState *s, hwaddr addr)
{
    return ldl_le_p(&s->csr[addr]);
}

static void set_reg64(IntelIOMMUState *s, hwaddr addr, uint64_t val)
{
    stq_le_p(&s->csr[addr], val);
}

static void set_reg32(IntelIOMMUState *s, hwaddr addr, uint32_t val)
{
    stl_le_p(&s->csr[addr], val);
}

static unsigned level_shift(unsigned level)
{
    return VTD_PAGE_SHIFT_4K + (level - 1) * VTD_LEVEL_BITS;
}

static unsigned level_index(uint64_t addr, unsigned level)
{
    return (addr >> level_shift(level)) & (VTD_PT_ENTRY_NR - 1);
}

static bool in_interrupt_range(uint64_t addr)
{
    return addr >= VTD_INTERRUPT_ADDR_FIRST && addr <= VTD_INTERRUPT_ADDR_LAST;
}

static guint key_hash(gconstpointer v)
{
    const VTDSKey *k = v;
    uint64_t h = k->page * 0x9e3779b97f4a7c15ULL;

    h ^= ((uint64_t)k->pasid << 32 | (uint64_t)k->did << 16 |
          k->level << 8 | k->stage) * 0xc2b2ae3d27d4eb4fULL;
    return h ^ (h >> 32);
}

static gboolean key_equal(gconstpointer a, gconstpointer b)
{
    const VTDSKey *x = a, *y = b;

    return x->page == y->page && x->pasid == y->pasid && x->did == y->did &&
           x->level == y->level && x->stage == y->stage;
}

/* Caches */

static void *cache_find(GHashTable *t, VTDSWalk *w, unsigned stage,
                        unsigned level, uint64_t page)
{
    VTDSKey key = {
        .page = page,
        .pasid = stage == 1 ? w->tag : 0,
        .did = w->pe.did,
        .level = level,
        .stage = stage,
    };

    return w->cached ? g_hash_table_lookup(t, &key) : NULL;
}

static void cache_add(GHashTable *t, VTDSWalk *w, unsigned stage,
                      unsigned level, uint64_t page, const void *val,
                      size_t size)
{
    VTDSKey *key;

    if (!w->v->s->strict_caches) {
        return;
    }
    key = g_new0(VTDSKey, 1);
    key->page = page;
    key->pasid = stage == 1 ? w->tag : 0;
    key->did = w->pe.did;
    key->level = level;
    key->stage = stage;
    g_hash_table_replace(t, key, g_memdup2(val, size));
}

static VTDSLeaf *tlb_find(VTDSWalk *w, unsigned stage, uint64_t addr)
{
    VTDSLeaf *leaf;

    for (unsigned level = 1; level <= 3; level++) {
        leaf = cache_find(w->v->tlb, w, stage, level,
                          addr >> level_shift(level));
        if (leaf) {
            return leaf;
        }
    }
    return NULL;
}

static void tlb_add(VTDSWalk *w, unsigned stage, uint64_t addr,
                    const VTDSLeaf *leaf)
{
    cache_add(w->v->tlb, w, stage, leaf->level,
              addr >> level_shift(leaf->level), leaf, sizeof(*leaf));
}

/* The lowest table that is known for @addr; its level, or 0 */
static unsigned psc_find(VTDSWalk *w, unsigned stage, unsigned levels,
                         uint64_t addr, VTDSTable *out)
{
    VTDSTable *t;

    for (unsigned level = 1; level < levels; level++) {
        t = cache_find(w->v->psc, w, stage, level,
                       addr >> level_shift(level + 1));
        if (t) {
            *out = *t;
            return level;
        }
    }
    return 0;
}

static void psc_add(VTDSWalk *w, unsigned stage, unsigned level,
                    uint64_t addr, const VTDSTable *t)
{
    cache_add(w->v->psc, w, stage, level, addr >> level_shift(level + 1), t,
              sizeof(*t));
}

/* Second stage: spec 3.7 and 9.8 */

static uint64_t haw_rsvd(IntelIOMMUState *s)
{
    return ~VTD_HAW_MASK(s->aw_bits) & MAKE_64BIT_MASK(0, 52);
}

static bool ss_reserved(IntelIOMMUState *s, uint64_t e, unsigned level,
                        bool leaf)
{
    /* SNP needs ECAP.SC; bit 7 of the highest levels is no page size. */
    uint64_t rsvd = haw_rsvd(s) | (1ULL << 11);

    if (leaf && level > 1) {
        rsvd |= MAKE_64BIT_MASK(12, level_shift(level) - 12);
    } else if (level > 3) {
        rsvd |= VTD_PT_PAGE_SIZE_MASK;
    }
    return e & rsvd;
}

/* Stage 2 of @gpa, without any check of what the access needs */
static int ss_walk(VTDSWalk *w, uint64_t gpa, VTDSLeaf *out)
{
    VTDStrict *v = w->v;
    VTDSTable t = { .addr = w->pe.ssptptr, .r = true, .w = true, .x = true };
    unsigned levels = w->pe.ss_levels;
    VTDSLeaf *hit = tlb_find(w, 2, gpa);
    unsigned level;
    uint64_t e;
    bool leaf;

    if (hit) {
        *out = *hit;
        return 0;
    }
    level = psc_find(w, 2, levels, gpa, &t);
    if (!level) {
        level = levels;
    }
    for (;; level--) {
        if (!iommu_read_word(t.addr + level_index(gpa, level) * 8, &e)) {
            return level == levels ? VTDS_SSS_4 : VTDS_SSS_1;
        }
        if (!(e & VTD_SL_RW_MASK)) {
            return VTDS_SSS_2;
        }
        leaf = level == 1 || (level <= 3 && (e & VTD_PT_PAGE_SIZE_MASK));
        if (ss_reserved(v->s, e, level, leaf)) {
            return VTDS_SSS_3;
        }
        t.r = t.r && (e & VTD_SL_R);
        t.w = t.w && (e & VTD_SL_W);
        t.x = t.x && (!w->pe.slee || (e & VTDS_SS_X));
        t.addr = e & VTD_PT_BASE_ADDR_MASK(v->s->aw_bits);
        if (leaf) {
            break;
        }
        psc_add(w, 2, level - 1, gpa, &t);
    }
    *out = (VTDSLeaf) {
        .hpa = t.addr, .level = level,
        .us = true, .rw = true, .dirty = true,
        .r = t.r, .w = t.w, .x = t.x,
    };
    tlb_add(w, 2, gpa, out);
    return 0;
}

static uint64_t leaf_addr(const VTDSLeaf *leaf, uint64_t addr)
{
    return leaf->hpa | (addr & MAKE_64BIT_MASK(0, level_shift(leaf->level)));
}

/* What may be done through @leaf: spec 3.6.1 (first stage), 3.7.1 (second) */
static int leaf_check(const VTDSPe *pe, const VTDSLeaf *leaf, unsigned flags)
{
    bool priv = flags & PCI_TRANS_PRIV;

    if (!leaf->us && !priv) {
        return VTDS_SGN_2;
    }
    if (flags & PCI_TRANS_EXEC) {
        if ((leaf->xd && pe->nxe) || !leaf->x ||
            (priv && leaf->us && pe->smep && pe->pgtt != VTDS_PGTT_SS)) {
            return VTDS_SGN_3;
        }
    }
    if (flags & PCI_TRANS_WRITE) {
        if ((!leaf->rw && (!priv || pe->wpe)) || !leaf->w) {
            return VTDS_SGN_6;
        }
    }
    if ((flags & (PCI_TRANS_READ | PCI_TRANS_EXEC)) && !leaf->r) {
        return VTDS_SGN_7;
    }
    return 0;
}

/* First stage, alone or nested: spec 3.6, 3.8 and 9.7 */

static bool fs_reserved(IntelIOMMUState *s, const VTDSPe *pe, uint64_t e,
                        unsigned level, bool leaf)
{
    /*
     * Nested, the address is a guest-physical one: too large is SFS.5 or
     * SGN.5.  Bits 62:52 are ignored; so is XD, unless NXE is set.
     */
    uint64_t rsvd = pe->pgtt == VTDS_PGTT_NESTED ? 0 : haw_rsvd(s);

    if (leaf && level > 1) {
        /* Bit 12 is PAT. */
        rsvd |= MAKE_64BIT_MASK(13, level_shift(level) - 13);
    } else if (level > 3) {
        rsvd |= VTD_PT_PAGE_SIZE_MASK;
    }
    return e & rsvd;
}

static bool beyond_ss(const VTDSPe *pe, uint64_t gpa)
{
    return gpa >> (VTD_PAGE_SHIFT_4K + pe->ss_levels * VTD_LEVEL_BITS);
}

/*
 * One first-stage entry.  Sets the A bit (@set_d: and the D bit) by a compare
 * and exchange, because a CPU of the guest may change the entry meanwhile;
 * in that case the entry is looked at anew.
 */
static int fs_update(VTDSWalk *w, uint64_t hpa, bool ss_write, bool set_d,
                     uint64_t *entry, bool *changed)
{
    uint64_t bits = VTD_FL_A | (set_d ? VTD_FL_D : 0) |
                    (w->pe.eafe ? VTDS_FS_EA : 0);
    uint64_t old = *entry;
    MemoryRegion *mr;
    hwaddr xlat;
    uint64_t *p;

    *changed = false;
    if ((old & bits) == bits) {
        return 0;
    }
    if (w->spec) {
        return VTDS_GIVE_UP;
    }
    if (!ss_write) {
        return VTDS_SFS_8;
    }
    p = iommu_guest_ram(hpa, sizeof(*p), true, &mr, &xlat);
    if (!p) {
        return VTDS_SFS_1;
    }
    *changed = qatomic_cmpxchg(p, cpu_to_le64(old),
                               cpu_to_le64(old | bits)) != cpu_to_le64(old);
    if (!*changed) {
        memory_region_set_dirty(mr, xlat, sizeof(*p));
        *entry = old | bits;
    }
    return 0;
}

static int fs_walk(VTDSWalk *w, uint64_t iova, VTDSLeaf *out)
{
    VTDStrict *v = w->v;
    const VTDSPe *pe = &w->pe;
    bool nested = pe->pgtt == VTDS_PGTT_NESTED;
    VTDSTable t = { .addr = pe->fsptptr, .us = true, .rw = true };
    VTDSLeaf ss = { .r = true, .w = true, .x = true };
    unsigned level = psc_find(w, 1, VTDS_FS_LEVELS, iova, &t);
    uint64_t gpa, hpa, e;
    VTDSTable next;
    bool leaf, changed;
    int ret;

    if (!level) {
        level = VTDS_FS_LEVELS;
    }
    for (;; level--) {
        hpa = t.addr + level_index(iova, level) * 8;
        ss.w = true;
        if (nested) {
            if (beyond_ss(pe, hpa)) {
                return VTDS_SFS_5;
            }
            gpa = hpa;
            ret = ss_walk(w, gpa, &ss);
            if (ret == VTDS_SSS_2 || (!ret && !ss.r)) {
                ret = level == VTDS_FS_LEVELS ? VTDS_SFS_6 : VTDS_SFS_7;
            }
            if (ret) {
                return ret;
            }
            hpa = leaf_addr(&ss, gpa);
        }
again:
        if (!iommu_read_word(hpa, &e)) {
            return level == VTDS_FS_LEVELS ? VTDS_SFS_4 : VTDS_SFS_1;
        }
        if (!(e & VTD_FL_P)) {
            return VTDS_SFS_2;
        }
        leaf = level == 1 || (level <= 3 && (e & VTD_PT_PAGE_SIZE_MASK));
        if (fs_reserved(v->s, pe, e, level, leaf)) {
            return VTDS_SFS_3;
        }
        next.us = t.us && (e & VTD_FL_US);
        next.rw = t.rw && (e & VTD_FL_RW);
        next.xd = t.xd || (e & VTDS_FS_XD);
        next.r = next.w = next.x = true;
        next.addr = e & MAKE_64BIT_MASK(12, 40);
        if (leaf) {
            break;
        }
        ret = fs_update(w, hpa, ss.w, false, &e, &changed);
        if (ret) {
            return ret;
        }
        if (changed) {
            goto again;
        }
        t = next;
        psc_add(w, 1, level - 1, iova, &t);
    }

    /* Leaf.  Nothing is marked in it unless the access is allowed. */
    next.addr &= ~MAKE_64BIT_MASK(0, level_shift(level));
    *out = (VTDSLeaf) {
        .hpa = next.addr, .level = level,
        .us = next.us, .rw = next.rw, .xd = next.xd,
        .r = true, .w = true, .x = true,
    };
    if (nested) {
        VTDSLeaf page;

        /* The first-stage faults come before those of the second stage. */
        ret = leaf_check(pe, out, w->flags);
        if (ret) {
            return ret;
        }
        gpa = leaf_addr(out, iova);
        if (beyond_ss(pe, gpa)) {
            return VTDS_SGN_5;
        }
        ret = ss_walk(w, gpa, &page);
        if (ret) {
            return ret;
        }
        out->r = page.r;
        out->w = page.w;
        out->x = page.x;
        out->level = MIN(level, page.level);
        out->hpa = leaf_addr(&page, gpa) &
                   ~MAKE_64BIT_MASK(0, level_shift(out->level));
    }
    ret = leaf_check(pe, out, w->flags);
    if (ret) {
        return ret;
    }
    ret = fs_update(w, hpa, ss.w, w->flags & PCI_TRANS_WRITE, &e, &changed);
    if (ret) {
        return ret;
    }
    if (changed) {
        goto again;
    }
    out->dirty = e & VTD_FL_D;
    tlb_add(w, 1, iova, out);
    return 0;
}

/* Context and PASID tables */

static int get_context(VTDStrict *v, uint16_t sid, VTDSCtx *out, bool *fpd)
{
    IntelIOMMUState *s = v->s;
    bool legacy = !s->root_scalable;
    unsigned devfn = sid & 0xff, n = legacy ? 2 : 4;
    VTDSCtx *hit = g_hash_table_lookup(v->ctx, GUINT_TO_POINTER(sid));
    uint64_t root[2], re, addr, rsvd0, rsvd1;

    if (hit) {
        *out = *hit;
        *fpd |= !!(out->val[0] & VTD_CONTEXT_ENTRY_FPD);
        return 0;
    }
    if (!iommu_read_struct(s->root + (sid >> 8) * 16, root, 2)) {
        return VTDS_SRT_1;
    }
    re = root[!legacy && devfn >= 128];
    if (!(re & VTD_ROOT_ENTRY_P)) {
        return VTDS_SRT_2;
    }
    if ((re & VTD_ROOT_ENTRY_RSVD(s->aw_bits)) || (legacy && root[1])) {
        return VTDS_SRT_3;
    }
    addr = (re & VTD_ROOT_ENTRY_CTP) +
           (legacy ? devfn * 16 : (devfn & 0x7f) * 32);
    *out = (VTDSCtx) { .legacy = legacy };
    if (!iommu_read_struct(addr, out->val, n)) {
        return VTDS_SCT_1;
    }
    *fpd |= !!(out->val[0] & VTD_CONTEXT_ENTRY_FPD);
    if (!(out->val[0] & VTD_CONTEXT_ENTRY_P)) {
        return VTDS_SCT_2;
    }
    if (legacy) {
        rsvd0 = VTD_CONTEXT_ENTRY_RSVD_LO(s->aw_bits);
        rsvd1 = VTD_CONTEXT_ENTRY_RSVD_HI;
    } else {
        rsvd0 = VTD_SM_CONTEXT_ENTRY_RSVD_VAL0(s->aw_bits);
        if (!(s->ecap & VTDS_ECAP_PRS)) {
            rsvd0 |= VTDS_CE_PRE;
        }
        if (!(s->ecap & VTD_ECAP_DT)) {
            rsvd0 |= VTDS_CE_DTE;
        }
        rsvd1 = VTD_SM_CONTEXT_ENTRY_RSVD_VAL1;
    }
    if ((out->val[0] & rsvd0) || (out->val[1] & rsvd1) ||
        out->val[2] || out->val[3]) {
        return VTDS_SCT_3;
    }
    if (s->strict_caches) {
        g_hash_table_replace(v->ctx, GUINT_TO_POINTER(sid),
                             g_memdup2(out, sizeof(*out)));
    }
    return 0;
}

static bool ss_levels_ok(IntelIOMMUState *s, unsigned levels)
{
    return levels >= 3 && levels <= 4 &&
           (s->cap & (1ULL << (VTD_CAP_SAGAW_SHIFT + levels - 2)));
}

/* A legacy context entry, as if it were a PASID table entry: spec 9.3 */
static int legacy_pe(VTDStrict *v, const VTDSCtx *ctx, unsigned flags,
                     VTDSPe *pe)
{
    X86IOMMUState *x86 = X86_IOMMU_DEVICE(v->s);
    uint64_t tt = ctx->val[0] & VTD_CONTEXT_ENTRY_TT;

    *pe = (VTDSPe) {
        .pgtt = tt == VTD_CONTEXT_TT_PASS_THROUGH ? VTDS_PGTT_PT :
                                                    VTDS_PGTT_SS,
        .ss_levels = 2 + (ctx->val[1] & VTD_CONTEXT_ENTRY_AW),
        .did = VTD_CONTEXT_ENTRY_DID(ctx->val[1]),
        .ssptptr = ctx->val[0] & VTD_CONTEXT_ENTRY_SLPTPTR,
    };
    if (!ss_levels_ok(v->s, pe->ss_levels) || tt == (3ULL << 2) ||
        (tt == VTD_CONTEXT_TT_PASS_THROUGH && !x86->pt_supported) ||
        (tt == VTD_CONTEXT_TT_DEV_IOTLB && !x86->dt_supported)) {
        return VTDS_SCT_4;
    }
    if ((flags & (PCI_TRANS_ATS | PCI_TRANS_TRANSLATED)) &&
        tt != VTD_CONTEXT_TT_DEV_IOTLB) {
        return VTDS_SCT_5;
    }
    return 0;
}

static uint64_t *pasid_key(uint16_t sid, uint32_t pasid)
{
    uint64_t *key = g_new(uint64_t, 1);

    *key = (uint64_t)sid << 32 | pasid;
    return key;
}

static int get_pe(VTDStrict *v, uint16_t sid, uint32_t pasid,
                  const VTDSCtx *ctx, VTDSPe *pe, bool *fpd)
{
    IntelIOMMUState *s = v->s;
    X86IOMMUState *x86 = X86_IOMMU_DEVICE(s);
    uint64_t key = (uint64_t)sid << 32 | pasid;
    VTDSPe *hit = g_hash_table_lookup(v->pasid, &key);
    uint64_t dir, val[8], addr;
    bool fs, ss;

    if (hit) {
        *pe = *hit;
        *fpd |= pe->fpd;
        return 0;
    }
    addr = (ctx->val[0] & VTD_PASID_DIR_BASE_ADDR_MASK) + (pasid >> 6) * 8;
    if (!iommu_read_word(addr, &dir)) {
        return VTDS_SPD_1;
    }
    /* FPD counts even where P is clear. */
    *fpd |= !!(dir & VTD_PASID_DIR_FPD);
    if (!(dir & 1)) {
        return VTDS_SPD_2;
    }
    if (dir & (0xffcULL | ~VTD_HAW_MASK(s->aw_bits))) {
        return VTDS_SPD_3;
    }
    addr = (dir & VTD_PASID_TABLE_BASE_ADDR_MASK) + (pasid & 0x3f) * 64;
    if (!iommu_read_struct(addr, val, 8)) {
        return VTDS_SPT_1;
    }
    *fpd |= !!(val[0] & VTD_PASID_ENTRY_FPD);
    if (!(val[0] & VTD_PASID_ENTRY_P)) {
        return VTDS_SPT_2;
    }
    if ((val[0] & VTDS_PE_RSVD0) || (val[1] & VTDS_PE_RSVD1) ||
        (val[2] & VTDS_PE_RSVD2) || val[3] || val[4] || val[5] || val[6] ||
        val[7] || VTD_SM_PASID_ENTRY_DID(val[1]) >> s->domain_id_bits) {
        return VTDS_SPT_3;
    }
    *pe = (VTDSPe) {
        .pgtt = (val[0] >> 6) & 7,
        .ss_levels = 2 + ((val[0] >> 2) & 7),
        .did = VTD_SM_PASID_ENTRY_DID(val[1]),
        .fpd = *fpd,
        .slee = val[0] & VTDS_PE_SLEE,
        .sre = val[2] & VTDS_PE_SRE,
        .ere = val[2] & VTDS_PE_ERE,
        .wpe = val[2] & VTDS_PE_WPE,
        .nxe = val[2] & VTDS_PE_NXE,
        .smep = val[2] & VTDS_PE_SMEP,
        .eafe = val[2] & VTDS_PE_EAFE,
        .fsptptr = val[2] & VTD_SM_PASID_ENTRY_FLPTPTR,
        .ssptptr = val[0] & VTD_SM_PASID_ENTRY_SLPTPTR,
    };
    fs = pe->pgtt == VTDS_PGTT_FS || pe->pgtt == VTDS_PGTT_NESTED;
    ss = pe->pgtt == VTDS_PGTT_SS || pe->pgtt == VTDS_PGTT_NESTED;
    if (!fs && !ss && (pe->pgtt != VTDS_PGTT_PT || !x86->pt_supported)) {
        return VTDS_SPT_4;
    }
    /* 5-level first stage needs CAP.FS5LP. */
    if ((fs && VTDS_PE_FLPM(val[2])) ||
        (ss && !ss_levels_ok(s, pe->ss_levels))) {
        return VTDS_SPT_4;
    }
    if ((ss && (pe->ssptptr & ~VTD_HAW_MASK(s->aw_bits))) ||
        (pe->pgtt == VTDS_PGTT_FS &&
         (pe->fsptptr & ~VTD_HAW_MASK(s->aw_bits)))) {
        return VTDS_SPT_3;
    }
    if (s->strict_caches) {
        g_hash_table_replace(v->pasid, pasid_key(sid, pasid),
                             g_memdup2(pe, sizeof(*pe)));
    }
    return 0;
}

/*
 * The whole of it.  @pasid may be PCI_TRANS_NO_PASID.  Returns 0, a fault
 * condition, or VTDS_GIVE_UP.
 */
static int xlate(VTDStrict *v, uint16_t sid, uint32_t pasid, uint64_t iova,
                 unsigned flags, bool spec, VTDSResult *res)
{
    IntelIOMMUState *s = v->s;
    VTDSWalk w = { .v = v, .flags = flags, .cached = true, .spec = spec };
    bool rid = pasid == PCI_TRANS_NO_PASID;
    VTDSCtx ctx;
    VTDSLeaf *hit;
    unsigned stage;
    int ret;

    *res = (VTDSResult) { .legacy = !s->root_scalable };
    if (!s->root_scalable && !rid) {
        return VTDS_RTA_2;
    }
    ret = get_context(v, sid, &ctx, &res->fpd);
    if (ret) {
        return ret;
    }
    if (ctx.legacy) {
        ret = legacy_pe(v, &ctx, flags, &w.pe);
        if (ret) {
            return ret;
        }
    } else {
        uint64_t max = 1ULL << (VTDS_CE_PDTS(ctx.val[0]) + 7 + 6);

        if ((flags & (PCI_TRANS_ATS | PCI_TRANS_TRANSLATED)) &&
            !(ctx.val[0] & VTDS_CE_DTE)) {
            return VTDS_SCT_5;
        }
        if (!rid && !(ctx.val[0] & VTDS_CE_PASIDE)) {
            return VTDS_SCT_6;
        }
        w.tag = rid ? ctx.val[1] & VTD_SM_CONTEXT_ENTRY_RID2PASID_MASK : pasid;
        if (w.tag >= max) {
            return rid ? VTDS_SCT_9 : VTDS_SCT_7;
        }
        if (rid && (ctx.val[1] & VTDS_CE_RID_PRIV)) {
            w.flags |= PCI_TRANS_PRIV;
        }
    }
    if (flags & PCI_TRANS_TRANSLATED) {
        /* Only the context entry is looked at: spec 4.2.4. */
        res->pt = true;
        res->addr = iova;
        return in_interrupt_range(iova) ? VTDS_SGN_8 : 0;
    }
    if (!ctx.legacy) {
        ret = get_pe(v, sid, w.tag, &ctx, &w.pe, &res->fpd);
        if (ret) {
            return ret;
        }
        if ((w.flags & PCI_TRANS_PRIV) && !w.pe.sre &&
            (w.pe.pgtt == VTDS_PGTT_FS || w.pe.pgtt == VTDS_PGTT_NESTED)) {
            return VTDS_SPT_6;
        }
        if ((w.flags & PCI_TRANS_EXEC) && !w.pe.ere) {
            return VTDS_SPT_5;
        }
    }
    res->pe = w.pe;

    switch (w.pe.pgtt) {
    case VTDS_PGTT_PT:
        if (iova & ~VTD_HAW_MASK(s->aw_bits)) {
            return VTDS_SGN_4;
        }
        res->pt = true;
        res->addr = iova;
        res->leaf = (VTDSLeaf) {
            .hpa = iova & VTD_PAGE_MASK_4K, .level = 1,
            .us = true, .rw = true, .dirty = true,
            .r = true, .w = true, .x = true,
        };
        return in_interrupt_range(iova) ? VTDS_SGN_8 : 0;
    case VTDS_PGTT_SS:
        if (beyond_ss(&w.pe, iova) || (iova & ~VTD_HAW_MASK(s->aw_bits))) {
            return VTDS_SGN_4;
        }
        stage = 2;
        break;
    default:
        if (sextract64(iova, 0, 48) != (int64_t)iova) {
            return VTDS_SGN_1;
        }
        stage = 1;
        break;
    }

    hit = tlb_find(&w, stage, iova);
    if (hit && !leaf_check(&w.pe, hit, w.flags) &&
        (!(w.flags & PCI_TRANS_WRITE) || hit->dirty)) {
        if (!spec) {
            iommu_mon_count(IOMMU_MON_EV_HIT, sid,
                            rid ? IOMMU_MON_ANY : pasid);
        }
        res->leaf = *hit;
        goto out;
    }
    if (!spec) {
        iommu_mon_count(IOMMU_MON_EV_WALK, sid, rid ? IOMMU_MON_ANY : pasid);
    }
    /*
     * A cached entry that forbids the access does not decide: the walk is
     * repeated from memory (spec 6.2.4).  One that leads to an entry which
     * is not present does: that is software's mistake.
     */
    for (;;) {
        if (stage == 2) {
            if (hit) {
                w.cached = false;
            }
            ret = ss_walk(&w, iova, &res->leaf);
            if (!ret) {
                ret = leaf_check(&w.pe, &res->leaf, w.flags);
            }
        } else {
            ret = fs_walk(&w, iova, &res->leaf);
        }
        if (!w.cached ||
            (ret != VTDS_SGN_2 && ret != VTDS_SGN_3 && ret != VTDS_SGN_6 &&
             ret != VTDS_SGN_7 && ret != VTDS_SFS_6 && ret != VTDS_SFS_7 &&
             ret != VTDS_SFS_8)) {
            break;
        }
        w.cached = false;
    }
    if (ret) {
        return ret;
    }
out:
    res->addr = leaf_addr(&res->leaf, iova);
    /* Spec 3.15: an output in the interrupt range is blocked. */
    return in_interrupt_range(res->addr) ? VTDS_SGN_8 : 0;
}

/* Faults: spec 7.2 */

/* The code a legacy root table's users expect: spec 7.1.3, "L" conditions */
static unsigned legacy_reason(unsigned reason, unsigned flags)
{
    switch (reason) {
    case VTDS_SRT_1:
        return VTD_FR_ROOT_TABLE_INV;
    case VTDS_SRT_2:
        return VTD_FR_ROOT_ENTRY_P;
    case VTDS_SRT_3:
        return VTD_FR_ROOT_ENTRY_RSVD;
    case VTDS_SCT_1:
        return VTD_FR_CONTEXT_TABLE_INV;
    case VTDS_SCT_2:
        return VTD_FR_CONTEXT_ENTRY_P;
    case VTDS_SCT_3:
        return VTD_FR_CONTEXT_ENTRY_RSVD;
    case VTDS_SCT_4:
    case VTDS_SSS_4:
        return VTD_FR_CONTEXT_ENTRY_INV;
    case VTDS_SCT_5:
        return VTD_FR_CONTEXT_ENTRY_TT;
    case VTDS_SSS_1:
        return VTD_FR_PAGING_ENTRY_INV;
    case VTDS_SSS_3:
        return VTD_FR_PAGING_ENTRY_RSVD;
    case VTDS_SGN_4:
        return VTD_FR_ADDR_BEYOND_MGAW;
    case VTDS_SSS_2:
        return flags & PCI_TRANS_WRITE ? VTD_FR_WRITE : VTD_FR_READ;
    case VTDS_SGN_6:
        return VTD_FR_WRITE;
    case VTDS_SGN_7:
        return VTD_FR_READ;
    case VTDS_SGN_8:
        return VTD_FR_INTERRUPT_ADDR;
    default:
        return reason;
    }
}

/* Faults that FPD does not hide: no entry with an FPD field was reached. */
static bool qualified(unsigned reason)
{
    switch (reason) {
    case VTDS_RTA_2:
    case VTDS_SRT_1:
    case VTDS_SRT_2:
    case VTDS_SRT_3:
    case VTDS_SCT_1:
        return false;
    default:
        return true;
    }
}

/*
 * A translation request gets an answer without permissions for these, and
 * nothing is recorded: a page request may repair them (spec 7.1.3, column
 * "recoverable").
 */
static bool recoverable(unsigned reason)
{
    switch (reason) {
    case VTDS_SFS_2:
    case VTDS_SFS_5:
    case VTDS_SFS_6:
    case VTDS_SFS_7:
    case VTDS_SFS_8:
    case VTDS_SSS_2:
    case VTDS_SGN_1:
    case VTDS_SGN_2:
    case VTDS_SGN_3:
    case VTDS_SGN_4:
    case VTDS_SGN_5:
    case VTDS_SGN_6:
    case VTDS_SGN_7:
        return true;
    default:
        return false;
    }
}

/* Control, data and address registers of all events are laid out alike. */
void vtd_strict_event(IntelIOMMUState *s, hwaddr ctl)
{
    MSIMessage msi;

    if (reg32(s, ctl) & VTD_FECTL_IM) {
        set_reg32(s, ctl, reg32(s, ctl) | VTD_FECTL_IP);
        return;
    }
    msi.data = reg32(s, ctl + 4);
    msi.address = reg32(s, ctl + 8);
    apic_get_class(NULL)->send_msi(&msi);
}

/* The fault event: spec 7.3.  @before is FSTS before the new condition. */
static void fault_event(IntelIOMMUState *s, uint32_t before)
{
    if (!(before & VTDS_FSTS_EVENTS)) {
        vtd_strict_event(s, DMAR_FECTL_REG);
    }
}

static hwaddr frcd(unsigned i)
{
    return VTDS_FRCD_REG + i * 16;
}

static bool frcd_full(IntelIOMMUState *s, unsigned i)
{
    return reg64(s, frcd(i) + 8) & VTD_FRCD_F;
}

/* Records are used in order: room is what is free from the next one on. */
static void report_room(IntelIOMMUState *s)
{
    uint32_t fsts = reg32(s, DMAR_FSTS_REG);
    unsigned room = 0, n = s->fault_records;

    while (!(fsts & VTDS_FSTS_PFO) && room < n &&
           !frcd_full(s, (s->next_frcd_reg + room) % n)) {
        room++;
    }
    iommu_mon_set_fault_room(room, !(fsts & (VTDS_FSTS_PFO | VTDS_FSTS_PPF)));
}

static void update_ppf(IntelIOMMUState *s)
{
    uint32_t fsts = reg32(s, DMAR_FSTS_REG) & ~VTDS_FSTS_PPF;

    for (unsigned i = 0; i < s->fault_records; i++) {
        if (frcd_full(s, i)) {
            fsts |= VTDS_FSTS_PPF;
            break;
        }
    }
    set_reg32(s, DMAR_FSTS_REG, fsts);
    report_room(s);
}

/*
 * Spec 7.2.1.  Every fault is counted once as raised, and once as recorded,
 * collapsed or lost.  Collapsing is allowed, not required: it needs
 * x-fault-collapse=on, and then a pending record of the same source and
 * reason.
 */
void vtd_strict_record(IntelIOMMUState *s, uint64_t hi, uint64_t lo)
{
    uint64_t same = VTD_FRCD_SID_MASK | VTD_FRCD_FR(0xff);
    uint32_t fsts = reg32(s, DMAR_FSTS_REG), sid = VTD_FRCD_SID(hi);
    uint32_t pasid = hi & VTDS_FRCD_PP ? extract64(hi, 40, 20) :
                                         IOMMU_MON_ANY;
    unsigned n = s->next_frcd_reg;

    iommu_mon_count(IOMMU_MON_EV_F_RAISED, sid, pasid);
    if (fsts & VTDS_FSTS_PFO) {
        iommu_mon_count(IOMMU_MON_EV_F_LOST, sid, pasid);
        return;
    }
    if (s->fault_collapse) {
        for (unsigned i = 0; i < s->fault_records; i++) {
            if (frcd_full(s, i) &&
                !((reg64(s, frcd(i) + 8) ^ hi) & same)) {
                iommu_mon_count(IOMMU_MON_EV_F_COLLAPSED, sid, pasid);
                return;
            }
        }
    }
    if (frcd_full(s, n)) {
        iommu_mon_count(IOMMU_MON_EV_F_LOST, sid, pasid);
        set_reg32(s, DMAR_FSTS_REG, fsts | VTDS_FSTS_PFO);
        report_room(s);
        fault_event(s, fsts);
        return;
    }
    iommu_mon_count(IOMMU_MON_EV_F_RECORDED, sid, pasid);
    set_reg64(s, frcd(n), lo);
    set_reg64(s, frcd(n) + 8, hi | VTD_FRCD_F);
    if (!(fsts & VTDS_FSTS_PPF)) {
        fsts = (fsts & ~VTD_FSTS_FRI_MASK) | VTD_FSTS_FRI(n);
    }
    set_reg32(s, DMAR_FSTS_REG, fsts | VTDS_FSTS_PPF);
    s->next_frcd_reg = (n + 1) % s->fault_records;
    report_room(s);
    fault_event(s, fsts);
}

static void raise_fault(VTDStrict *v, uint16_t sid, uint32_t pasid,
                        uint64_t iova, unsigned flags, unsigned reason,
                        const VTDSResult *res)
{
    uint64_t at = flags & PCI_TRANS_ATS ? VTDS_AT_REQUEST :
                  flags & PCI_TRANS_TRANSLATED ? VTDS_AT_TRANSLATED :
                                                 VTDS_AT_UNTRANSLATED;
    uint64_t hi;

    if (res->fpd && qualified(reason)) {
        return;
    }
    if (res->legacy) {
        reason = legacy_reason(reason, flags);
    }
    hi = sid | VTD_FRCD_FR(reason) | VTDS_FRCD_AT(at);
    if (res->page_request) {
        hi |= VTDS_FRCD_T2;
    } else if (!(flags & PCI_TRANS_WRITE)) {
        hi |= VTD_FRCD_T;
    } else if (flags & PCI_TRANS_READ) {
        hi |= VTD_FRCD_T | VTDS_FRCD_T2;
    }
    if (pasid != PCI_TRANS_NO_PASID) {
        hi |= VTDS_FRCD_PP | VTDS_FRCD_PV(pasid);
        hi |= flags & PCI_TRANS_EXEC ? VTDS_FRCD_EXE : 0;
        hi |= flags & PCI_TRANS_PRIV ? VTDS_FRCD_PRIV : 0;
    }
    vtd_strict_record(v->s, hi, VTD_FRCD_FI(iova));
}

/*
 * What hardware may do at any time (spec 6.2): fetch again, through whatever
 * is still in a table or still cached, what was used lately.  Run after each
 * invalidation descriptor, it brings back what an invalidation in the wrong
 * order has dropped too early.  It sets no A or D bit and reports no fault.
 */
static void refill(VTDStrict *v)
{
    VTDSResult res;

    if (!v->s->strict_refill || !v->s->dmar_enabled) {
        return;
    }
    for (unsigned i = 0; i < IOMMU_RECENT; i++) {
        IOMMURecent *r = &v->recent.entry[i];

        if (r->used) {
            xlate(v, r->sid, r->pasid, r->iova,
                  PCI_TRANS_READ | (r->priv ? PCI_TRANS_PRIV : 0), true,
                  &res);
        }
    }
}

/* Front ends */

static int access_one(VTDStrict *v, uint16_t sid, uint32_t pasid,
                      uint64_t iova, unsigned flags, VTDSResult *res)
{
    int ret = xlate(v, sid, pasid, iova, flags, false, res);

    if (!ret && !(flags & PCI_TRANS_TRANSLATED) && v->s->strict_refill) {
        iommu_recent_add(&v->recent, sid, pasid, flags & PCI_TRANS_PRIV, iova);
    }
    return ret;
}

void vtd_strict_translate_as(IntelIOMMUState *s, PCIBus *bus, uint8_t devfn,
                             uint32_t pasid, hwaddr addr,
                             IOMMUAccessFlags flag, IOMMUTLBEntry *out)
{
    uint16_t sid = PCI_BUILD_BDF(pci_bus_num(bus), devfn);
    unsigned flags = (flag & IOMMU_RO ? PCI_TRANS_READ : 0) |
                     (flag & IOMMU_WO ? PCI_TRANS_WRITE : 0);
    VTDStrict *v = s->strict;
    VTDSResult res;
    int ret;

    if (pasid == PCI_NO_PASID) {
        pasid = PCI_TRANS_NO_PASID;
    }
    out->iova = addr & VTD_PAGE_MASK_4K;
    out->addr_mask = ~VTD_PAGE_MASK_4K;
    out->perm = IOMMU_NONE;
    if (!s->dmar_enabled) {
        out->translated_addr = out->iova;
        out->perm = IOMMU_RW;
        return;
    }
    RCU_READ_LOCK_GUARD();
    QEMU_LOCK_GUARD(&s->iommu_lock);
    if (!flags) {
        /* Only a question: no fault, no A or D bit */
        ret = xlate(v, sid, pasid, addr, PCI_TRANS_READ, true, &res);
        flag = IOMMU_RO;
    } else {
        iommu_mon_count(IOMMU_MON_EV_TRANS, sid,
                        pasid == PCI_TRANS_NO_PASID ? IOMMU_MON_ANY : pasid);
        ret = access_one(v, sid, pasid, addr, flags, &res);
        if (ret) {
            raise_fault(v, sid, pasid, addr, flags, ret, &res);
        }
    }
    if (!ret) {
        out->translated_addr = res.addr & VTD_PAGE_MASK_4K;
        out->perm = flag;
    }
}

/* What an answer to a translation request grants: spec 4.2.3 */
static uint32_t ats_perm(const VTDSResult *res, unsigned flags)
{
    unsigned priv = flags & PCI_TRANS_PRIV;
    uint32_t perm = 0;

    if (!leaf_check(&res->pe, &res->leaf, PCI_TRANS_READ | priv)) {
        perm |= PCI_TRANS_READ;
    }
    /* A request that wants no write gets W only where D is set already. */
    if (res->leaf.dirty &&
        !leaf_check(&res->pe, &res->leaf, PCI_TRANS_WRITE | priv)) {
        perm |= PCI_TRANS_WRITE;
    }
    if ((flags & PCI_TRANS_EXEC) &&
        !leaf_check(&res->pe, &res->leaf, PCI_TRANS_EXEC | priv)) {
        perm |= PCI_TRANS_EXEC;
    }
    return perm ? perm | priv : 0;
}

static void translate_ats(VTDStrict *v, uint16_t sid, PCITransReq *req)
{
    unsigned flags = req->flags;
    VTDSResult res;
    int ret;

    ret = access_one(v, sid, req->pasid, req->iova, flags, &res);
    if (ret == VTDS_SGN_6 || ret == VTDS_SGN_3) {
        /* Not all that was asked for: answer with what there is. */
        flags &= ret == VTDS_SGN_6 ? ~PCI_TRANS_WRITE : ~PCI_TRANS_EXEC;
        if (flags & (PCI_TRANS_READ | PCI_TRANS_WRITE | PCI_TRANS_EXEC)) {
            ret = access_one(v, sid, req->pasid, req->iova, flags, &res);
        }
    }
    if (ret && recoverable(ret)) {
        req->status = PCI_TRANS_OK;
        return;
    }
    if (ret) {
        raise_fault(v, sid, req->pasid, req->iova, req->flags, ret, &res);
        return;
    }
    req->status = PCI_TRANS_OK;
    req->addr = res.addr;
    req->mask = MAKE_64BIT_MASK(0, level_shift(res.leaf.level));
    req->perm = ats_perm(&res, flags);
}

void vtd_strict_translate(PCIBus *bus, void *opaque, int devfn,
                          PCITransReq *req)
{
    IntelIOMMUState *s = opaque;
    VTDStrict *v = s->strict;
    uint16_t sid = PCI_BUILD_BDF(pci_bus_num(bus), devfn);
    uint32_t tag = req->pasid == PCI_TRANS_NO_PASID ? IOMMU_MON_ANY :
                                                      req->pasid;
    uint32_t kind = req->flags & (PCI_TRANS_ATS | PCI_TRANS_TRANSLATED);
    VTDSResult res;
    int ret;

    req->status = PCI_TRANS_FAULT;
    req->perm = 0;
    req->as = &address_space_memory;
    req->mask = ~VTD_PAGE_MASK_4K;

    if (kind == PCI_TRANS_ATS) {
        iommu_mon_count(IOMMU_MON_EV_ATS, sid, tag);
    } else if (!kind) {
        iommu_mon_count(IOMMU_MON_EV_TRANS, sid, tag);
    }
    if (!s->dmar_enabled) {
        /* Spec 4.2.3: without translation, translation requests are UR. */
        if (!kind) {
            req->status = PCI_TRANS_OK;
            req->as = pci_device_iommu_address_space(req->dev);
            req->addr = req->iova;
            req->perm = req->flags;
        }
        goto done;
    }
    if (req->pasid == PCI_TRANS_NO_PASID && in_interrupt_range(req->iova)) {
        /*
         * Spec 3.15: a request without PASID is an interrupt, which the
         * device's address space knows; a translation request is told
         * "untranslated only", which here is no permission.
         */
        if (kind != PCI_TRANS_TRANSLATED) {
            req->status = PCI_TRANS_OK;
            req->as = pci_device_iommu_address_space(req->dev);
            req->addr = req->iova;
            req->perm = kind ? 0 : req->flags;
            goto done;
        }
    }
    WITH_RCU_READ_LOCK_GUARD() {
        QEMU_LOCK_GUARD(&s->iommu_lock);
        if (kind == PCI_TRANS_ATS) {
            translate_ats(v, sid, req);
        } else {
            ret = access_one(v, sid, req->pasid, req->iova, req->flags, &res);
            if (ret) {
                raise_fault(v, sid, req->pasid, req->iova, req->flags, ret,
                            &res);
            } else {
                req->status = PCI_TRANS_OK;
                req->addr = res.addr;
                req->mask = res.pt ? ~VTD_PAGE_MASK_4K :
                            MAKE_64BIT_MASK(0, level_shift(res.leaf.level));
                req->perm = req->flags;
            }
        }
    }
done:
    req->perm &= PCI_TRANS_READ | PCI_TRANS_WRITE | PCI_TRANS_EXEC |
                 PCI_TRANS_PRIV;
    req->done(req);
}

/* Invalidation: spec 6.5 */

typedef struct VTDSInv {
    VTDStrict *v;
    bool all;                   /* whatever the tags */
    bool page;                  /* only what covers @addr, @order */
    bool by_pasid;              /* stage 1 only, of @pasid */
    bool ss_page;               /* @page narrows stage 2 only */
    uint16_t did;
    uint32_t pasid;
    uint64_t addr;
    unsigned order;             /* log2 of the size in bytes */
} VTDSInv;

/* Do [page << shift, +1 << shift) and the invalidated range meet? */
static bool inv_meets(const VTDSInv *inv, uint64_t page, unsigned shift)
{
    unsigned s = MAX(shift, inv->order);

    return s >= 64 || !(((page << shift) ^ inv->addr) >> s);
}

static bool inv_match(const VTDSInv *inv, const VTDSKey *key, unsigned shift)
{
    if (inv->all) {
        return true;
    }
    if (key->did != inv->did) {
        return false;
    }
    if (inv->by_pasid && (key->stage != 1 || key->pasid != inv->pasid)) {
        return false;
    }
    if (!inv->page || (inv->ss_page && key->stage == 1)) {
        return true;
    }
    return inv_meets(inv, key->page, shift);
}

static gboolean inv_tlb(gpointer key, gpointer val, gpointer opaque)
{
    const VTDSKey *k = key;

    return inv_match(opaque, k, level_shift(k->level));
}

static gboolean inv_psc(gpointer key, gpointer val, gpointer opaque)
{
    const VTDSKey *k = key;

    return inv_match(opaque, k, level_shift(k->level + 1));
}

static void inv_run(VTDSInv *inv, bool leaf_only)
{
    g_hash_table_foreach_remove(inv->v->tlb, inv_tlb, inv);
    if (!leaf_only) {
        g_hash_table_foreach_remove(inv->v->psc, inv_psc, inv);
    }
}

/* Which conditions of the context entry a page request meets: spec 7.1.3 */
static int page_request_fault(VTDStrict *v, uint16_t sid, uint32_t pasid,
                              VTDSCtx *ctx, VTDSResult *res)
{
    int ret;

    *res = (VTDSResult) { .legacy = !v->s->root_scalable };
    if (res->legacy) {
        return VTDS_RTA_2;
    }
    ret = get_context(v, sid, ctx, &res->fpd);
    if (ret) {
        return ret;
    }
    if (pasid != PCI_TRANS_NO_PASID) {
        if (!(ctx->val[0] & VTDS_CE_PASIDE)) {
            return VTDS_SCT_6;
        }
        if (pasid >= 1ULL << (VTDS_CE_PDTS(ctx->val[0]) + 7 + 6)) {
            return VTDS_SCT_7;
        }
    }
    return ctx->val[0] & VTDS_CE_PRE ? 0 : VTDS_SCT_8;
}

/*
 * Spec 6.5.4: a page request takes out of the caches what led to it, so that
 * software which then grants more need not invalidate.
 */
static void page_request_inv(VTDStrict *v, uint16_t sid, uint32_t pasid,
                             const VTDSCtx *ctx, uint64_t addr)
{
    bool fpd = false;
    VTDSPe pe;
    VTDSInv inv = {
        .v = v, .page = true, .by_pasid = true,
        .pasid = pasid != PCI_TRANS_NO_PASID ? pasid :
                 ctx->val[1] & VTD_SM_CONTEXT_ENTRY_RID2PASID_MASK,
        .addr = addr & VTD_PAGE_MASK_4K, .order = VTD_PAGE_SHIFT_4K,
    };

    if (!get_pe(v, sid, inv.pasid, ctx, &pe, &fpd)) {
        inv.did = pe.did;
        inv_run(&inv, false);
    }
}

bool vtd_strict_page_request(IntelIOMMUState *s, uint16_t sid,
                             const PCIPageReq *req)
{
    VTDStrict *v = s->strict;
    VTDSResult res;
    VTDSCtx ctx;
    int ret;

    if (!s->dmar_enabled) {
        return false;
    }
    RCU_READ_LOCK_GUARD();
    QEMU_LOCK_GUARD(&s->iommu_lock);
    ret = page_request_fault(v, sid, req->pasid, &ctx, &res);
    if (ret) {
        res.page_request = true;
        raise_fault(v, sid, req->pasid, req->addr, req->flags, ret, &res);
        return false;
    }
    page_request_inv(v, sid, req->pasid, &ctx, req->addr);
    return true;
}

typedef struct VTDSTabInv {
    bool all;
    bool by_pasid;
    uint16_t did;
    uint32_t pasid;
    uint16_t sid, sid_mask;
    bool by_sid;
} VTDSTabInv;

static gboolean inv_ctx(gpointer key, gpointer val, gpointer opaque)
{
    const VTDSTabInv *inv = opaque;
    const VTDSCtx *ctx = val;

    if (inv->all) {
        return true;
    }
    if (inv->by_sid) {
        return !((GPOINTER_TO_UINT(key) ^ inv->sid) & inv->sid_mask);
    }
    /* Scalable-mode context entries have no domain id: drop them all. */
    return !ctx->legacy || VTD_CONTEXT_ENTRY_DID(ctx->val[1]) == inv->did;
}

static gboolean inv_pe(gpointer key, gpointer val, gpointer opaque)
{
    const VTDSTabInv *inv = opaque;
    const VTDSPe *pe = val;

    if (inv->all) {
        return true;
    }
    return pe->did == inv->did &&
           (!inv->by_pasid || (uint32_t)*(uint64_t *)key == inv->pasid);
}

/* Spec 6.5.2.1; @gran: 1 global, 2 domain, 3 device */
static bool do_cc(VTDStrict *v, unsigned gran, uint16_t did, uint16_t sid,
                  unsigned fm)
{
    static const uint16_t mask[] = { 0xffff, 0xfffb, 0xfff9, 0xfff8 };
    VTDSTabInv inv = {
        .all = gran == 1, .by_sid = gran == 3, .did = did,
        .sid = sid, .sid_mask = mask[fm & 3],
    };

    if (!gran) {
        return false;
    }
    g_hash_table_foreach_remove(v->ctx, inv_ctx, &inv);
    return true;
}

/*
 * Spec 6.5.2.3; @gran: 1 global, 2 domain, 3 page.  Page-selective takes all
 * first-stage and nested entries of the domain: their tag is an address of
 * another space.
 */
static bool do_iotlb(VTDStrict *v, unsigned gran, uint16_t did, uint64_t addr,
                     unsigned am, bool ih)
{
    VTDSInv inv = {
        .v = v, .all = gran == 1, .page = gran == 3, .ss_page = true,
        .did = did, .order = VTD_PAGE_SHIFT_4K + (gran == 3 ? am : 0),
    };

    if (!gran || (gran == 3 && am > VTD_MAMV)) {
        return false;
    }
    inv.addr = addr & ~MAKE_64BIT_MASK(0, inv.order);
    inv_run(&inv, gran == 3 && ih);
    return true;
}

static int desc_cc(VTDStrict *v, const uint64_t *d, bool ignore)
{
    unsigned gran = extract64(d[0], 4, 2);
    uint16_t sid = VTD_INV_DESC_CC_SID(d[0]);

    if ((d[0] & VTD_INV_DESC_CC_RSVD) || d[1] || !gran) {
        return VTDS_IQEI_RSVD;
    }
    iommu_mon_count(IOMMU_MON_EV_VTD(IOMMU_MON_VTD_CC),
                    gran == 3 ? sid : IOMMU_MON_ANY, IOMMU_MON_ANY);
    if (!ignore) {
        do_cc(v, gran, VTD_INV_DESC_CC_DID(d[0]), sid,
              VTD_INV_DESC_CC_FM(d[0]));
    }
    return 0;
}

static int desc_iotlb(VTDStrict *v, const uint64_t *d, bool ignore)
{
    unsigned gran = extract64(d[0], 4, 2);
    unsigned am = VTD_INV_DESC_IOTLB_AM(d[1]);

    if ((d[0] & VTD_INV_DESC_IOTLB_RSVD_LO) ||
        (d[1] & VTD_INV_DESC_IOTLB_RSVD_HI) || !gran ||
        (gran == 3 && am > VTD_MAMV)) {
        return VTDS_IQEI_RSVD;
    }
    iommu_mon_count(IOMMU_MON_EV_VTD(IOMMU_MON_VTD_IOTLB), IOMMU_MON_ANY,
                    IOMMU_MON_ANY);
    if (!ignore) {
        do_iotlb(v, gran, VTD_INV_DESC_IOTLB_DID(d[0]),
                 VTD_INV_DESC_IOTLB_ADDR(d[1]), am, d[1] & (1ULL << 6));
    }
    return 0;
}

/* Spec 6.5.2.2; granularity 0: domain, 1: PASID in domain, 3: global */
static int desc_pc(VTDStrict *v, const uint64_t *d, bool ignore)
{
    unsigned gran = extract64(d[0], 4, 2);
    uint32_t pasid = extract64(d[0], 32, 20);
    VTDSTabInv inv = {
        .all = gran == 3, .by_pasid = gran == 1,
        .did = extract64(d[0], 16, 16), .pasid = pasid,
    };

    if ((d[0] & 0xfff000000000f1c0ULL) || d[1] || gran == 2) {
        return VTDS_IQEI_RSVD;
    }
    iommu_mon_count(IOMMU_MON_EV_VTD(IOMMU_MON_VTD_PC), IOMMU_MON_ANY,
                    gran == 1 ? pasid : IOMMU_MON_ANY);
    if (!ignore) {
        g_hash_table_foreach_remove(v->pasid, inv_pe, &inv);
    }
    return 0;
}

/* Spec 6.5.2.4; granularity 2: PASID, 3: pages of it */
static int desc_piotlb(VTDStrict *v, const uint64_t *d, bool ignore)
{
    unsigned gran = extract64(d[0], 4, 2);
    unsigned am = VTD_INV_DESC_PIOTLB_AM(d[1]);
    VTDSInv inv = {
        .v = v, .by_pasid = true, .page = gran == 3,
        .did = VTD_INV_DESC_PIOTLB_DID(d[0]),
        .pasid = VTD_INV_DESC_PIOTLB_PASID(d[0]),
        /* For pages only; MAMV is for the second stage, spec 11.4.2. */
        .order = gran == 3 ? MIN(VTD_PAGE_SHIFT_4K + am, 64) :
                 VTD_PAGE_SHIFT_4K,
    };

    if ((d[0] & VTD_INV_DESC_PIOTLB_RSVD_VAL0) ||
        (d[1] & VTD_INV_DESC_PIOTLB_RSVD_VAL1) || gran < 2) {
        return VTDS_IQEI_RSVD;
    }
    iommu_mon_count(IOMMU_MON_EV_VTD(IOMMU_MON_VTD_PIOTLB), IOMMU_MON_ANY,
                    inv.pasid);
    if (!ignore) {
        inv.addr = VTD_INV_DESC_PIOTLB_ADDR(d[1]) &
                   ~MAKE_64BIT_MASK(0, inv.order);
        inv_run(&inv, gran == 3 && VTD_INV_DESC_PIOTLB_IH(d[1]));
    }
    return 0;
}

/*
 * Spec 6.5.2.5 and 6.5.2.6.  A function that is gone, or whose ATS is off
 * (a reset does that), gives no completion: that is a time-out.
 */
static void invalidate_device(VTDStrict *v, uint16_t sid, uint32_t pasid,
                              bool global, uint64_t addr, bool large)
{
    uint64_t size = VTD_PAGE_SIZE;
    unsigned ones;

    addr &= VTD_PAGE_MASK_4K;
    if (large) {
        /* The lowest clear bit tells the size. */
        ones = cto64(addr >> VTD_PAGE_SHIFT_4K);
        if (ones >= 51) {
            addr = 0;
            size = UINT64_MAX;
        } else {
            size = VTD_PAGE_SIZE << (ones + 1);
            addr &= ~(size - 1);
        }
    }
    if (pci_trans_invalidate(v->bus, sid, pasid, global, addr, size) !=
        PCI_TRANS_INV_OK) {
        v->timed_out = true;
        v->timed_out_sid = sid;
        return;
    }
    /* The completion does not overtake the function's page requests. */
    vtd_prq_push(v->s, sid);
}

static int desc_dtlb(VTDStrict *v, const uint64_t *d, bool ignore)
{
    uint16_t sid = extract64(d[0], 32, 16);

    /* PFSID is ignored, because ECAP.DIT is clear. */
    if ((d[0] & 0x000f0000ffe001f0ULL) || (d[1] & 0xffeULL)) {
        return VTDS_IQEI_RSVD;
    }
    iommu_mon_count(IOMMU_MON_EV_VTD(IOMMU_MON_VTD_DTLB), sid, IOMMU_MON_ANY);
    if (!ignore) {
        invalidate_device(v, sid, PCI_TRANS_NO_PASID, false, d[1], d[1] & 1);
    }
    return 0;
}

static int desc_pdtlb(VTDStrict *v, const uint64_t *d, bool ignore)
{
    uint16_t sid = extract64(d[0], 16, 16);
    uint32_t pasid = extract64(d[0], 32, 20);

    if (d[1] & 0x7feULL) {
        return VTDS_IQEI_RSVD;
    }
    iommu_mon_count(IOMMU_MON_EV_VTD(IOMMU_MON_VTD_PDTLB), sid, pasid);
    if (!ignore) {
        invalidate_device(v, sid, pasid, d[1] & 1, d[1],
                          d[1] & (1ULL << 11));
    }
    return 0;
}

static int desc_iec(VTDStrict *v, const uint64_t *d, bool ignore)
{
    bool global = !(d[0] & (1ULL << 4));

    if ((d[0] & VTD_INV_DESC_IEC_RSVD) || d[1]) {
        return VTDS_IQEI_RSVD;
    }
    iommu_mon_count(IOMMU_MON_EV_VTD(IOMMU_MON_VTD_IEC), IOMMU_MON_ANY,
                    IOMMU_MON_ANY);
    if (!ignore) {
        x86_iommu_iec_notify_all(X86_IOMMU_DEVICE(v->s), global,
                                 extract64(d[0], 32, 16),
                                 extract64(d[0], 27, 5));
    }
    return 0;
}

/* The completion event: spec 6.5.2.9 */
static void completion_event(IntelIOMMUState *s)
{
    if (!(reg32(s, DMAR_ICS_REG) & VTD_ICS_IWC)) {
        set_reg32(s, DMAR_ICS_REG, reg32(s, DMAR_ICS_REG) | VTD_ICS_IWC);
        vtd_strict_event(s, DMAR_IECTL_REG);
    }
}

/*
 * Spec 6.5.2.8.  Commands are executed one after the other, so FN alone is
 * complete at once.  PD: page requests on their way arrive first.
 */
static int desc_wait(VTDStrict *v, const uint64_t *d, bool ignore)
{
    uint32_t data = cpu_to_le32(d[0] >> VTD_INV_DESC_WAIT_DATA_SHIFT);

    if ((d[0] & 0xfffff100ULL) || (d[1] & VTD_INV_DESC_WAIT_RSVD_HI)) {
        return VTDS_IQEI_RSVD;
    }
    iommu_mon_count(IOMMU_MON_EV_VTD(IOMMU_MON_VTD_WAIT), IOMMU_MON_ANY,
                    IOMMU_MON_ANY);
    if (v->timed_out || ignore) {
        /* Aborted together with what it waits for: spec 6.5.2.11 */
        return 0;
    }
    if (d[0] & VTDS_WAIT_PD) {
        vtd_prq_drain(v->s);
    }
    if (d[0] & VTD_INV_DESC_WAIT_SW) {
        dma_memory_write(&address_space_memory, d[1], &data, sizeof(data),
                         MEMTXATTRS_UNSPECIFIED);
    }
    if (d[0] & VTD_INV_DESC_WAIT_IF) {
        completion_event(v->s);
    }
    return 0;
}

static int desc_pgrp(VTDStrict *v, const uint64_t *d, bool ignore)
{
    return vtd_prq_response(v->s, d, ignore);
}

typedef int VTDSDesc(VTDStrict *v, const uint64_t *d, bool ignore);

static const struct {
    VTDSDesc *run;
    bool wide;                  /* exists in a 256-bit queue only */
} descs[] = {
    [VTD_INV_DESC_CC]           = { desc_cc },
    [VTD_INV_DESC_IOTLB]        = { desc_iotlb },
    [VTD_INV_DESC_DEVICE]       = { desc_dtlb },
    [VTD_INV_DESC_IEC]          = { desc_iec },
    [VTD_INV_DESC_WAIT]         = { desc_wait },
    [VTD_INV_DESC_PIOTLB]       = { desc_piotlb, true },
    [VTD_INV_DESC_PC]           = { desc_pc, true },
    [VTD_INV_DESC_DEV_PIOTLB]   = { desc_pdtlb, true },
    [IOMMU_MON_VTD_PGRP]        = { desc_pgrp, true },
};

static void queue_error(IntelIOMMUState *s, uint32_t bit, uint64_t iqer)
{
    uint32_t fsts = reg32(s, DMAR_FSTS_REG);

    iommu_mon_count(bit == VTDS_FSTS_IQE ? IOMMU_MON_EV_IQE :
                                           IOMMU_MON_EV_ITE,
                    bit == VTDS_FSTS_ITE ? extract64(iqer, 32, 16) :
                                           IOMMU_MON_ANY, IOMMU_MON_ANY);
    set_reg64(s, VTDS_IQER_REG, iqer);
    set_reg32(s, DMAR_FSTS_REG, fsts | bit);
    fault_event(s, fsts);
}

/* Returns an error code for IQER, or 0 with the descriptor's type in @type. */
static int run_one(VTDStrict *v, unsigned *type)
{
    IntelIOMMUState *s = v->s;
    unsigned n = s->iq_dw ? 4 : 2;
    uint64_t d[4] = { 0 };
    int ret;

    if (!iommu_read_struct(s->iq + (uint64_t)s->iq_head * n * 8, d, n)) {
        return VTDS_IQEI_FETCH;
    }
    *type = VTD_INV_DESC_TYPE(d[0]);
    if (*type >= ARRAY_SIZE(descs) || !descs[*type].run ||
        (*type == IOMMU_MON_VTD_PGRP && !(s->ecap & VTDS_ECAP_PRS))) {
        return VTDS_IQEI_TYPE;
    }
    if (descs[*type].wide && !s->iq_dw) {
        return VTDS_IQEI_WIDTH;
    }
    if (d[2] || d[3]) {
        return VTDS_IQEI_RSVD;
    }
    if (*type == VTD_INV_DESC_WAIT || *type == VTD_INV_DESC_IEC ||
        *type == VTD_INV_DESC_DEVICE || *type == VTD_INV_DESC_DEV_PIOTLB ||
        *type == IOMMU_MON_VTD_PGRP) {
        /* These reach out of the IOMMU: not under its lock. */
        return descs[*type].run(v, d, iommu_mon_ignore_vtd(*type));
    }
    qemu_mutex_lock(&s->iommu_lock);
    ret = descs[*type].run(v, d, iommu_mon_ignore_vtd(*type));
    if (!ret) {
        refill(v);
    }
    qemu_mutex_unlock(&s->iommu_lock);
    return ret;
}

/*
 * Spec 6.5.2.  Invalidation requests to devices are posted; the first wait
 * behind one that is never answered is aborted, and ITE stops the queue with
 * the head behind that wait.
 */
static bool queue_has_work(IntelIOMMUState *s)
{
    return s->qi_enabled && s->iq_head != s->iq_tail &&
           !(reg32(s, DMAR_FSTS_REG) & (VTDS_FSTS_IQE | VTDS_FSTS_ITE));
}

static void run_queue(VTDStrict *v, unsigned max)
{
    IntelIOMMUState *s = v->s;
    unsigned shift = s->iq_dw ? 5 : 4, type = 0;
    int err = 0;

    if (v->running) {
        return;
    }
    v->running = true;
    RCU_READ_LOCK_GUARD();
    for (; max && queue_has_work(s); max--) {
        err = s->iq_tail >= s->iq_size ? VTDS_IQEI_TAIL : run_one(v, &type);
        if (err) {
            queue_error(s, VTDS_FSTS_IQE, err);
            s->iq_last_desc_type = VTD_INV_DESC_NONE;
            break;
        }
        s->iq_last_desc_type = type;
        s->iq_head = (s->iq_head + 1) % s->iq_size;
        set_reg64(s, DMAR_IQH_REG, (uint64_t)s->iq_head << shift);
        if (v->timed_out && (type == VTD_INV_DESC_WAIT ||
                             s->iq_head == s->iq_tail)) {
            v->timed_out = false;
            queue_error(s, VTDS_FSTS_ITE, (uint64_t)v->timed_out_sid << 32);
        }
    }
    v->running = false;
}

/* One descriptor, and then everything else that waits for the main loop */
static void run_queue_bh(void *opaque)
{
    VTDStrict *v = opaque;

    run_queue(v, 1);
    if (queue_has_work(v->s)) {
        qemu_bh_schedule(v->bh);
    }
}

void vtd_strict_run_queue(IntelIOMMUState *s)
{
    if (s->async_queue) {
        qemu_bh_schedule(s->strict->bh);
    } else {
        run_queue(s->strict, UINT_MAX);
    }
}

uint64_t vtd_strict_ccmd(IntelIOMMUState *s, uint64_t val)
{
    unsigned gran = extract64(val, 61, 2);

    QEMU_LOCK_GUARD(&s->iommu_lock);
    do_cc(s->strict, gran, VTD_CCMD_DID(val), VTD_CCMD_SID(val),
          VTD_CCMD_FM(val));
    return (uint64_t)gran << 59;
}

uint64_t vtd_strict_iotlb(IntelIOMMUState *s, uint64_t val)
{
    unsigned gran = extract64(val, 60, 2);
    uint64_t iva = reg64(s, DMAR_IVA_REG);

    QEMU_LOCK_GUARD(&s->iommu_lock);
    if (!do_iotlb(s->strict, gran, VTD_TLB_DID(val), VTD_IVA_ADDR(iva),
                  VTD_IVA_AM(iva), iva & (1ULL << 6))) {
        gran = 0;
    }
    return (uint64_t)gran << 57;
}

/* Registers */

static void write_fsts(IntelIOMMUState *s, uint32_t val)
{
    uint32_t fsts = reg32(s, DMAR_FSTS_REG) & ~(val & VTDS_FSTS_W1C);

    set_reg32(s, DMAR_FSTS_REG, fsts);
    if (!(fsts & (VTDS_FSTS_IQE | VTDS_FSTS_ITE | VTDS_FSTS_ICE))) {
        set_reg64(s, VTDS_IQER_REG, 0);
    }
    if (!(fsts & VTDS_FSTS_EVENTS)) {
        set_reg32(s, DMAR_FECTL_REG,
                  reg32(s, DMAR_FECTL_REG) & ~VTD_FECTL_IP);
    }
    report_room(s);
    /* The queue goes on when its error is cleared. */
    vtd_strict_run_queue(s);
}

static void write_iqt(IntelIOMMUState *s, uint64_t val)
{
    if (s->iq_dw && (val & VTD_IQT_QT_256_RSV_BIT)) {
        queue_error(s, VTDS_FSTS_IQE, VTDS_IQEI_ALIGN);
        return;
    }
    set_reg64(s, DMAR_IQT_REG, val & 0x7fff0ULL);
    s->iq_tail = VTD_IQT_QT(s->iq_dw, val);
    vtd_strict_run_queue(s);
}

bool vtd_strict_reg_write(IntelIOMMUState *s, hwaddr addr, uint64_t val,
                          unsigned size)
{
    hwaddr end = frcd(s->fault_records);
    unsigned i;

    if (addr == DMAR_FSTS_REG) {
        write_fsts(s, val);
        return true;
    }
    if (addr == DMAR_IQT_REG) {
        write_iqt(s, val);
        return true;
    }
    if (addr >= VTDS_FRCD_REG && addr < end) {
        /* Only F can be written, with 1, to clear it. */
        i = (addr - VTDS_FRCD_REG) / 16;
        if (size == 8 && addr == frcd(i) + 8) {
            val >>= 32;
        } else if (size != 4 || addr != frcd(i) + 12) {
            return true;
        }
        if (val & (1u << 31)) {
            set_reg64(s, frcd(i) + 8, reg64(s, frcd(i) + 8) & ~VTD_FRCD_F);
            update_ppf(s);
            if (!(reg32(s, DMAR_FSTS_REG) & VTDS_FSTS_EVENTS)) {
                set_reg32(s, DMAR_FECTL_REG,
                          reg32(s, DMAR_FECTL_REG) & ~VTD_FECTL_IP);
            }
        }
        return true;
    }
    if (vtd_prq_reg_write(s, addr, val, size)) {
        return true;
    }
    /* The record of the model without nesting is not there. */
    return addr >= DMAR_FRCD_REG_OFFSET && addr < DMAR_FRCD_REG_OFFSET + 16;
}

void vtd_strict_cap_init(IntelIOMMUState *s)
{
    X86IOMMUState *x86 = X86_IOMMU_DEVICE(s);

    s->cap &= ~(VTD_CAP_FRO | VTD_CAP_NFR | VTD_CAP_ND);
    s->cap |= (s->domain_id_bits - 4) / 2 |
              (uint64_t)(VTDS_FRCD_REG / 16) << 24 |
              (uint64_t)(s->fault_records - 1) << 40;
    if (s->fs1gp) {
        s->cap |= VTD_CAP_FS1GP;
    }
    s->ecap |= VTDS_ECAP_C | VTDS_ECAP_NEST | VTDS_ECAP_ERS | VTD_ECAP_SRS |
               VTDS_ECAP_NWFS | VTDS_ECAP_EAFS |
               VTDS_ECAP_PSS(VTDS_PASID_BITS) | VTD_ECAP_PASID |
               VTD_ECAP_SMTS | VTD_ECAP_SLTS | VTD_ECAP_FLTS |
               VTDS_ECAP_SMPWC | VTDS_ECAP_RPS;
    /* Page requests follow what a translation request was told. */
    if (x86->dt_supported) {
        s->ecap |= VTDS_ECAP_PRS | VTDS_ECAP_PDS;
    }
}

void vtd_strict_reset(IntelIOMMUState *s)
{
    X86IOMMUState *x86 = X86_IOMMU_DEVICE(s);
    VTDStrict *v = s->strict;

    g_hash_table_remove_all(v->ctx);
    g_hash_table_remove_all(v->pasid);
    g_hash_table_remove_all(v->tlb);
    g_hash_table_remove_all(v->psc);
    memset(&v->recent, 0, sizeof(v->recent));
    v->timed_out = false;
    qemu_bh_cancel(v->bh);
    vtd_prq_reset(s);
    report_room(s);
    iommu_mon_set_modes((s->strict_caches ? IOMMU_MON_MODE_STRICT : 0) |
                        IOMMU_MON_MODE_NESTING |
                        (x86->dt_supported ? IOMMU_MON_MODE_ATS : 0));
}

bool vtd_strict_check_config(IntelIOMMUState *s, Error **errp)
{
    if (!s->nesting) {
        return true;
    }
    if (!s->scalable_mode || s->flts) {
        error_setg(errp, "x-nesting needs x-scalable-mode=on and x-flts=off: "
                   "it has both stages");
        return false;
    }
    if (s->caching_mode || s->snoop_control || !s->dma_drain ||
        !s->dma_translation || s->aw_bits != VTD_HOST_AW_48BIT) {
        error_setg(errp, "x-nesting needs caching-mode=off, "
                   "snoop-control=off, dma-drain=on, dma-translation=on and "
                   "aw-bits=48");
        return false;
    }
    if (s->fault_records < 1 || s->fault_records > VTDS_FRCD_MAX) {
        error_setg(errp, "x-fault-records must be 1 to %d", VTDS_FRCD_MAX);
        return false;
    }
    if (s->domain_id_bits < 4 || s->domain_id_bits > VTD_DOMAIN_ID_SHIFT ||
        s->domain_id_bits % 2) {
        error_setg(errp, "x-domain-id-bits must be even, 4 to %d",
                   VTD_DOMAIN_ID_SHIFT);
        return false;
    }
    if (!s->strict_caches) {
        s->strict_refill = false;
    }
    return true;
}

bool vtd_strict_realize(IntelIOMMUState *s, PCIBus *bus, Error **errp)
{
    VTDStrict *v = g_new0(VTDStrict, 1);

    v->s = s;
    v->bus = bus;
    v->ctx = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    v->pasid = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                     g_free);
    v->tlb = g_hash_table_new_full(key_hash, key_equal, g_free, g_free);
    v->psc = g_hash_table_new_full(key_hash, key_equal, g_free, g_free);
    v->bh = qemu_bh_new_guarded(run_queue_bh, v,
                                &DEVICE(s)->mem_reentrancy_guard);
    s->strict = v;
    vtd_prq_realize(s, bus);
    error_setg(&v->migration_blocker,
               "intel-iommu with x-nesting=on cannot be migrated");
    return migrate_add_blocker(&v->migration_blocker, errp) == 0;
}
