/*
 * SMMUv3: the engine of arm-smmuv3,x-nesting=on
 *
 * Written from the Arm SMMU architecture specification, IHI 0070; "spec"
 * below is that one, with the chapters of issue F.  It knows SubstreamIDs,
 * context descriptor tables of one and two levels, stage 1 and stage 2, alone
 * and nested, ATS and stalls.  It keeps every cache the architecture allows
 * under the tags the architecture gives it, and drops nothing that no command
 * covers.
 *
 * Documented in tools/testing/hw/smmu-model.rst.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/host-utils.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "exec/address-spaces.h"
#include "hw/misc/iommu-monitor.h"
#include "hw/pci/iommu_strict.h"
#include "hw/pci/pci_bridge.h"
#include "hw/pci/pci_bus.h"
#include "hw/pci/pci_trans.h"
#include "migration/blocker.h"
#include "system/cpu-timers.h"
#include "system/device_tree.h"
#include "smmuv3_strict.h"
#include "smmuv3-internal.h"

/* What smmuv3-internal.h has no name for */
#define SMMUS_CR0_ATSCHK            (1u << 4)
#define SMMUS_CR2_RECINVSID         (1u << 1)
#define SMMUS_OVERFLOW              (1u << 31)  /* OVFLG, OVACKFLG */
#define SMMUS_CMDQS                 10
#define SMMUS_ICOUNT_NS             100         /* until an answer arrives */

/* Stream table entry, second dword: spec 5.2 */
#define SMMUS_STE_S1DSS(w)          extract64(w, 0, 2)
#define SMMUS_STE_MEV(w)            extract64(w, 19, 1)
#define SMMUS_STE_S2FWB(w)          extract64(w, 25, 1)
#define SMMUS_STE_S1STALLD(w)       extract64(w, 27, 1)
#define SMMUS_STE_EATS(w)           extract64(w, 28, 2)
#define SMMUS_STE_STRW(w)           extract64(w, 30, 2)
#define SMMUS_STE_PRIVCFG(w)        extract64(w, 48, 2)
#define SMMUS_STE_INSTCFG(w)        extract64(w, 50, 2)

enum { SMMUS_EATS_ABORT, SMMUS_EATS_FULL, SMMUS_EATS_SPLIT };
enum { SMMUS_DSS_TERMINATE, SMMUS_DSS_BYPASS, SMMUS_DSS_SSID0 };

#define SMMUS_PAGE                  12          /* the only granule */
#define SMMUS_LEVEL_BITS            9
#define SMMUS_ASID_GLOBAL           0x10000
#define SMMUS_ADDR(w)               ((w) & MAKE_64BIT_MASK(12, 36))
#define SMMUS_AF                    (1ULL << 10)

/* Not an event: the access ends, and nobody is told. */
#define SMMUS_ABORT                 0x100

/* Stage 1 table pointers have passed stage 2 when they are here. */
typedef struct SMMUSTable {
    uint64_t addr;
    bool ro, nouser, uxn, pxn;      /* what the levels above took away */
} SMMUSTable;

typedef struct SMMUSLeaf {
    uint64_t pa;                    /* of the block */
    uint64_t ipa;                   /* the same, if nested */
    uint8_t shift;                  /* log2 of its size */
    bool user, ro, uxn, pxn;        /* stage 1 */
    bool r, w, x, px;               /* stage 2 */
    uint8_t s2attr;
    bool wb;                        /* write-back memory */
} SMMUSLeaf;

/* A level 1 descriptor of CDs: its index is that of an SSID >> split. */
typedef struct SMMUSL1CD {
    uint64_t desc;
    unsigned split;
} SMMUSL1CD;

/*
 * Tag of a TLB or walk cache entry.  Stage 1 stands for stage 1 alone and for
 * nested: {VMID, ASID or global, address}.  Stage 2 stands for stage 2 alone
 * and for the inner walks of nested: {VMID, IPA}.
 */
typedef struct SMMUSKey {
    uint64_t page;
    uint32_t asid;
    uint16_t vmid;
    uint8_t shift;
    uint8_t stage;
} SMMUSKey;

typedef struct SMMUSStall {
    PCITransReq *req;               /* NULL: the device has given it up */
    uint16_t sid;
    uint16_t stag;
    bool told;                      /* the event is in the queue */
    bool retry;                     /* the answer */
    Evt evt;
    QTAILQ_ENTRY(SMMUSStall) next;
} SMMUSStall;

typedef QTAILQ_HEAD(, SMMUSStall) SMMUSStalls;

typedef struct SMMUStrict {
    SMMUv3State *s;
    PCIBus *bus;
    PCIIOMMUOps ops;
    GHashTable *l1ste;              /* index -> level 1 descriptor */
    GHashTable *ste;                /* SID -> 8 words */
    GHashTable *l1cd;               /* {SID, index} -> SMMUSL1CD */
    GHashTable *cd;                 /* {SID, SSID} -> 8 words */
    GHashTable *tlb;                /* SMMUSKey -> SMMUSLeaf */
    GHashTable *psc;                /* SMMUSKey -> SMMUSTable */
    IOMMURecents recent;
    SMMUSStalls stalls;             /* have a tag */
    SMMUSStalls crowd;              /* wait for one */
    SMMUSStalls answered;           /* will be run again, or refused */
    unsigned nr_stalls;
    uint16_t next_stag;
    Evt last_evt;                   /* for merging */
    bool running;                   /* the queue; guards against recursion */
    bool atc_failed;                /* an invalidation got no answer */
    QEMUBH *bh;                     /* runs the queue with x-async-queue=on */
    QEMUBH *answer_bh;
    QEMUTimer *answer_timer;        /* instead of @answer_bh with icount */
    Error *migration_blocker;
} SMMUStrict;

/* One translation */
typedef struct SMMUSWalk {
    SMMUStrict *v;
    uint16_t sid;
    uint32_t ssid;                  /* or PCI_TRANS_NO_PASID */
    unsigned flags;                 /* PCI_TRANS_READ ... PRIV */
    bool s1, s2;
    uint64_t ste[8];
    uint64_t cd[8];
    uint16_t vmid;
    uint32_t asid;
    SMMUSLeaf leaf;                 /* the result */
    /* Beside the type of an event, where it happened */
    bool f_s2;
    uint8_t f_class;
    uint64_t f_addr;                /* IPA, or the address of a fetch */
} SMMUSWalk;

static uint64_t pair_key(uint32_t hi, uint32_t lo)
{
    return (uint64_t)hi << 32 | lo;
}

static void map_set(GHashTable *t, uint64_t key, const void *val, size_t size)
{
    g_hash_table_replace(t, g_memdup2(&key, sizeof(key)),
                         g_memdup2(val, size));
}

static guint key_hash(gconstpointer p)
{
    const SMMUSKey *k = p;
    uint64_t h = k->page * 0x9e3779b97f4a7c15ULL;

    h ^= ((uint64_t)k->asid << 32 | (uint64_t)k->vmid << 16 |
          k->shift << 8 | k->stage) * 0xc2b2ae3d27d4eb4fULL;
    return h ^ (h >> 32);
}

static gboolean key_equal(gconstpointer a, gconstpointer b)
{
    const SMMUSKey *x = a, *y = b;

    return x->page == y->page && x->asid == y->asid && x->vmid == y->vmid &&
           x->shift == y->shift && x->stage == y->stage;
}

static SMMUSKey make_key(SMMUSWalk *w, unsigned stage, uint32_t asid,
                         uint64_t addr, unsigned shift)
{
    return (SMMUSKey) {
        .page = addr >> shift, .asid = stage == 1 ? asid : 0,
        .vmid = w->vmid, .shift = shift, .stage = stage,
    };
}

static void *cache_find(GHashTable *t, SMMUSWalk *w, unsigned stage,
                        uint32_t asid, uint64_t addr, unsigned shift)
{
    SMMUSKey key = make_key(w, stage, asid, addr, shift);

    return g_hash_table_lookup(t, &key);
}

static void cache_add(GHashTable *t, SMMUSWalk *w, unsigned stage,
                      uint32_t asid, uint64_t addr, unsigned shift,
                      const void *val, size_t size)
{
    SMMUSKey key = make_key(w, stage, asid, addr, shift);

    if (w->v->s->strict_caches) {
        g_hash_table_replace(t, g_memdup2(&key, sizeof(key)),
                             g_memdup2(val, size));
    }
}

static SMMUSLeaf *tlb_find(SMMUSWalk *w, unsigned stage, uint64_t addr)
{
    SMMUSLeaf *leaf;
    unsigned shift;

    for (shift = SMMUS_PAGE; shift <= 30; shift += SMMUS_LEVEL_BITS) {
        leaf = cache_find(w->v->tlb, w, stage, w->asid, addr, shift);
        if (!leaf && stage == 1) {
            leaf = cache_find(w->v->tlb, w, stage, SMMUS_ASID_GLOBAL, addr,
                              shift);
        }
        if (leaf) {
            return leaf;
        }
    }
    return NULL;
}

static uint64_t leaf_addr(const SMMUSLeaf *leaf, uint64_t addr)
{
    return leaf->pa | (addr & MAKE_64BIT_MASK(0, leaf->shift));
}

static unsigned oas_bits(SMMUv3State *s, unsigned field)
{
    return oas2bits(MIN(field, FIELD_EX32(s->idr[5], IDR5, OAS)));
}

static bool too_wide(uint64_t addr, unsigned bits)
{
    return addr >> bits;
}

/* Returns @type, and remembers where it happened. */
static int fault(SMMUSWalk *w, int type, bool s2, unsigned class,
                 uint64_t addr)
{
    w->f_s2 = s2;
    w->f_class = class;
    w->f_addr = addr;
    return type;
}

static unsigned level_shift(unsigned level)
{
    return SMMUS_PAGE + (3 - level) * SMMUS_LEVEL_BITS;
}

/* A descriptor that is a table, a block or page, or nothing */
static bool is_table(uint64_t d, unsigned level)
{
    return level < 3 && (d & 3) == 3;
}

static bool is_leaf(uint64_t d, unsigned level)
{
    return level == 3 ? (d & 3) == 3 : level > 0 && (d & 3) == 1;
}

/* Stage 2: spec 3.4 and 5.2; VMSAv8-64 */

static unsigned s2_bits(const SMMUSWalk *w)
{
    return 64 - extract64(w->ste[2], 32, 6);
}

static unsigned s2_start(const SMMUSWalk *w)
{
    return 2 - extract64(w->ste[2], 38, 2);
}

static bool s2_allows(const SMMUSLeaf *leaf, unsigned flags)
{
    if (flags & PCI_TRANS_EXEC) {
        return leaf->r && (flags & PCI_TRANS_PRIV ? leaf->px : leaf->x);
    }
    return (!(flags & PCI_TRANS_READ) || leaf->r) &&
           (!(flags & PCI_TRANS_WRITE) || leaf->w);
}

/* @wb1: stage 1 says write-back.  Forced: 6 write-back, 7 as stage 1 says. */
static bool s2_write_back(const SMMUSWalk *w, unsigned attr, bool wb1)
{
    if (!SMMUS_STE_S2FWB(w->ste[1])) {
        return wb1 && (attr >> 2) == 3;
    }
    return (attr & 7) == 6 || ((attr & 7) == 7 && wb1);
}

static int s2_walk(SMMUSWalk *w, unsigned class, uint64_t ipa, SMMUSLeaf *out)
{
    SMMUSLeaf *hit = tlb_find(w, 2, ipa);
    unsigned bits = s2_bits(w), level = s2_start(w), shift, xn;
    unsigned width = bits - level_shift(level);
    unsigned ps = oas_bits(w->v->s, extract64(w->ste[2], 48, 3));
    uint64_t table = w->ste[3] & MAKE_64BIT_MASK(4, 44), d;
    SMMUSTable *t, next = { 0 };

    if (hit) {
        *out = *hit;
        return 0;
    }
    if (too_wide(ipa, bits)) {
        return fault(w, SMMU_EVT_F_TRANSLATION, true, class, ipa);
    }
    for (unsigned l = 3; l > level; l--) {
        t = cache_find(w->v->psc, w, 2, 0, ipa, level_shift(l - 1));
        if (t) {
            level = l;
            table = t->addr;
            width = SMMUS_LEVEL_BITS;
            break;
        }
    }
    for (;; level++, width = SMMUS_LEVEL_BITS) {
        shift = level_shift(level);
        if (!iommu_read_word(table + extract64(ipa, shift, width) * 8, &d)) {
            return fault(w, SMMU_EVT_F_WALK_EABT, true, class, table);
        }
        if (!is_table(d, level)) {
            break;
        }
        if (too_wide(SMMUS_ADDR(d), ps)) {
            return fault(w, SMMU_EVT_F_ADDR_SIZE, true, class, ipa);
        }
        table = next.addr = SMMUS_ADDR(d);
        cache_add(w->v->psc, w, 2, 0, ipa, shift, &next, sizeof(next));
    }
    if (!is_leaf(d, level)) {
        return fault(w, SMMU_EVT_F_TRANSLATION, true, class, ipa);
    }
    if (too_wide(SMMUS_ADDR(d), ps)) {
        return fault(w, SMMU_EVT_F_ADDR_SIZE, true, class, ipa);
    }
    if (!(d & SMMUS_AF) && !extract64(w->ste[2], 53, 1)) {
        return fault(w, SMMU_EVT_F_ACCESS, true, class, ipa);
    }
    /* XN: 0 for all, 1 not privileged, 2 none, 3 privileged only */
    xn = extract64(d, 53, 2);
    *out = (SMMUSLeaf) {
        .pa = SMMUS_ADDR(d) & ~MAKE_64BIT_MASK(0, shift),
        .shift = shift,
        .r = extract64(d, 6, 1), .w = extract64(d, 7, 1),
        .x = xn < 2, .px = xn == 0 || xn == 3,
        .s2attr = extract64(d, 2, 4),
    };
    out->wb = s2_write_back(w, out->s2attr, true);
    cache_add(w->v->tlb, w, 2, 0, ipa, shift, out, sizeof(*out));
    return 0;
}

/* Where a structure of stage 1 is in memory; @class tells which one it is */
static int s2_fetch(SMMUSWalk *w, unsigned class, uint64_t *addr)
{
    SMMUSLeaf leaf;
    int ret;

    if (!w->s2) {
        return 0;
    }
    ret = s2_walk(w, class, *addr, &leaf);
    if (ret) {
        return ret;
    }
    if (!leaf.r) {
        return fault(w, SMMU_EVT_F_PERMISSION, true, class, *addr);
    }
    *addr = leaf_addr(&leaf, *addr);
    return 0;
}

/* Stage 1 */

static bool s1_allows(const SMMUSLeaf *leaf, unsigned flags)
{
    bool priv = flags & PCI_TRANS_PRIV;

    if ((!priv && !leaf->user) || ((flags & PCI_TRANS_WRITE) && leaf->ro)) {
        return false;
    }
    if (flags & PCI_TRANS_EXEC) {
        /* What a user can write, a privileged access does not execute. */
        return priv ? !leaf->pxn && (!leaf->user || leaf->ro) : !leaf->uxn;
    }
    return true;
}

static bool mair_write_back(uint8_t attr)
{
    unsigned outer = attr >> 4, inner = attr & 0xf;

    /* x1RW: write-back, transient or not; 0100 is non-cacheable */
    return (outer & 4) && outer != 4 && (inner & 4) && inner != 4;
}

static int s1_walk(SMMUSWalk *w, uint64_t iova, SMMUSLeaf *out)
{
    bool high = iova >> 63;
    unsigned bits = 64 - extract64(w->cd[0], high ? 16 : 0, 6);
    unsigned start = 3 - (bits - SMMUS_PAGE - 1) / SMMUS_LEVEL_BITS;
    unsigned level = start, width = bits - level_shift(start), shift;
    unsigned ips = oas_bits(w->v->s, extract64(w->cd[0], 32, 3));
    uint64_t ttb = w->cd[high ? 2 : 1], d;
    SMMUSTable *hit, t = { .addr = ttb & MAKE_64BIT_MASK(4, 44) };
    int ret;

    if (extract64(w->cd[0], high ? 30 : 14, 1) ||
        (high ? ~iova : iova) >> bits) {
        return fault(w, SMMU_EVT_F_TRANSLATION, false, SMMU_CLASS_IN, 0);
    }
    for (unsigned l = 3; l > start; l--) {
        hit = cache_find(w->v->psc, w, 1, w->asid, iova, level_shift(l - 1));
        if (hit) {
            level = l;
            t = *hit;
            width = SMMUS_LEVEL_BITS;
            break;
        }
    }
    if (level == start) {
        ret = s2_fetch(w, SMMU_CLASS_TT, &t.addr);
        if (ret) {
            return ret;
        }
    }
    for (;; level++, width = SMMUS_LEVEL_BITS) {
        shift = level_shift(level);
        if (!iommu_read_word(t.addr + extract64(iova, shift, width) * 8, &d)) {
            return fault(w, SMMU_EVT_F_WALK_EABT, false, SMMU_CLASS_TT,
                         t.addr);
        }
        if (!is_table(d, level)) {
            break;
        }
        if (too_wide(SMMUS_ADDR(d), ips)) {
            return fault(w, SMMU_EVT_F_ADDR_SIZE, false, SMMU_CLASS_IN, 0);
        }
        if (!extract64(ttb, 1, 1)) {            /* HAD */
            t.ro |= extract64(d, 62, 1);
            t.nouser |= extract64(d, 61, 1);
            t.uxn |= extract64(d, 60, 1);
            t.pxn |= extract64(d, 59, 1);
        }
        t.addr = SMMUS_ADDR(d);
        ret = s2_fetch(w, SMMU_CLASS_TT, &t.addr);
        if (ret) {
            return ret;
        }
        cache_add(w->v->psc, w, 1, w->asid, iova, shift, &t, sizeof(t));
    }
    if (!is_leaf(d, level)) {
        return fault(w, SMMU_EVT_F_TRANSLATION, false, SMMU_CLASS_IN, 0);
    }
    if (too_wide(SMMUS_ADDR(d), ips)) {
        return fault(w, SMMU_EVT_F_ADDR_SIZE, false, SMMU_CLASS_IN, 0);
    }
    if (!(d & SMMUS_AF) && !extract64(w->cd[0], 35, 1)) {
        return fault(w, SMMU_EVT_F_ACCESS, false, SMMU_CLASS_IN, 0);
    }
    *out = (SMMUSLeaf) {
        .pa = SMMUS_ADDR(d) & ~MAKE_64BIT_MASK(0, shift),
        .shift = shift,
        .user = extract64(d, 6, 1) && !t.nouser,
        .ro = extract64(d, 7, 1) || t.ro,
        .pxn = extract64(d, 53, 1) || t.pxn,
        .uxn = extract64(d, 54, 1) || t.uxn,
        .r = true, .w = true, .x = true, .px = true,
        .wb = mair_write_back(w->cd[3] >> extract64(d, 2, 3) * 8),
    };
    if (w->s2) {
        uint64_t ipa = leaf_addr(out, iova);
        SMMUSLeaf page;

        /* What stage 1 refuses does not come to stage 2. */
        if (!s1_allows(out, w->flags)) {
            return fault(w, SMMU_EVT_F_PERMISSION, false, SMMU_CLASS_IN, 0);
        }
        ret = s2_walk(w, SMMU_CLASS_IN, ipa, &page);
        if (ret) {
            return ret;
        }
        out->r = page.r;
        out->w = page.w;
        out->x = page.x;
        out->px = page.px;
        out->wb = s2_write_back(w, page.s2attr, out->wb);
        out->shift = MIN(shift, page.shift);
        out->ipa = ipa & ~MAKE_64BIT_MASK(0, out->shift);
        out->pa = leaf_addr(&page, ipa) & ~MAKE_64BIT_MASK(0, out->shift);
    }
    cache_add(w->v->tlb, w, 1, d & (1ULL << 11) ? w->asid : SMMUS_ASID_GLOBAL,
              iova, out->shift, out, sizeof(*out));
    return 0;
}

/* Arm lets a cached entry decide: what grows needs an invalidation, too. */
static int check_leaf(SMMUSWalk *w, uint64_t iova)
{
    const SMMUSLeaf *leaf = &w->leaf;

    if (w->s1 && !s1_allows(leaf, w->flags)) {
        return fault(w, SMMU_EVT_F_PERMISSION, false, SMMU_CLASS_IN, 0);
    }
    if (w->s2 && !s2_allows(leaf, w->flags)) {
        return fault(w, SMMU_EVT_F_PERMISSION, true, SMMU_CLASS_IN, w->s1 ?
                     leaf->ipa | (iova & MAKE_64BIT_MASK(0, leaf->shift)) :
                     iova);
    }
    return 0;
}

/* Stream table: spec 5.1 and 5.2.  Invalid entries are kept as well. */
static int get_ste(SMMUSWalk *w)
{
    SMMUStrict *v = w->v;
    SMMUv3State *s = v->s;
    uint64_t base = s->strtab_base & SMMU_BASE_ADDR_MASK, l1, *hit, key;
    unsigned log2size = MIN(FIELD_EX32(s->strtab_base_cfg, STRTAB_BASE_CFG,
                                       LOG2SIZE), SMMU_IDR1_SIDSIZE);
    unsigned split = 0, span;

    key = w->sid;
    hit = g_hash_table_lookup(v->ste, &key);
    if (hit) {
        memcpy(w->ste, hit, sizeof(w->ste));
        return 0;
    }
    if (w->sid >> log2size) {
        return SMMU_EVT_C_BAD_STREAMID;
    }
    base &= ~MAKE_64BIT_MASK(0, MAX(5, log2size + 5) + 1);
    if (FIELD_EX32(s->strtab_base_cfg, STRTAB_BASE_CFG, FMT) == 1) {
        split = FIELD_EX32(s->strtab_base_cfg, STRTAB_BASE_CFG, SPLIT);
        base = s->strtab_base & SMMU_BASE_ADDR_MASK &
               ~MAKE_64BIT_MASK(0, MAX(5, (int)log2size - (int)split - 1 + 3)
                                   + 1);
        key = w->sid >> split;
        hit = g_hash_table_lookup(v->l1ste, &key);
        if (hit) {
            l1 = *hit;
        } else if (!iommu_read_word(base + key * 8, &l1)) {
            return fault(w, SMMU_EVT_F_STE_FETCH, false, 0, base + key * 8);
        }
        span = extract64(l1, 0, 5);
        /* Linux fills in a level 1 descriptor without any command. */
        if (span && s->strict_caches) {
            map_set(v->l1ste, key, &l1, sizeof(l1));
        }
        if (!span || span > split + 1 ||
            (w->sid & MAKE_64BIT_MASK(0, split)) >> (span - 1)) {
            return SMMU_EVT_C_BAD_STREAMID;
        }
        base = l1 & MAKE_64BIT_MASK(6, 46) &
               ~MAKE_64BIT_MASK(0, 6 + span - 1);
    }
    base += (split ? w->sid & MAKE_64BIT_MASK(0, split) : w->sid) * 64;
    if (!iommu_read_struct(base, w->ste, 8)) {
        return fault(w, SMMU_EVT_F_STE_FETCH, false, 0, base);
    }
    if (s->strict_caches) {
        map_set(v->ste, w->sid, w->ste, sizeof(w->ste));
    }
    return 0;
}

/* What of an entry is ILLEGAL: spec 5.2, for what this SMMU has */
static bool ste_illegal(SMMUSWalk *w)
{
    SMMUv3State *s = w->v->s;
    uint64_t w0 = w->ste[0], w1 = w->ste[1], w2 = w->ste[2];
    unsigned bits = s2_bits(w), start = s2_start(w), cdmax;
    bool no_stall = FIELD_EX32(s->idr[0], IDR0, STALL_MODEL) == 1;

    if (SMMUS_STE_STRW(w1) || SMMUS_STE_EATS(w1) == 3 ||
        (w->s1 && !STAGE1_SUPPORTED(s))) {
        return true;
    }
    if (w->s1) {
        cdmax = extract64(w0, 59, 5);
        if (cdmax > FIELD_EX32(s->idr[1], IDR1, SSIDSIZE) ||
            (cdmax && extract64(w0, 4, 2) == 3) ||
            (cdmax && SMMUS_STE_S1DSS(w1) == 3) ||
            (no_stall && SMMUS_STE_S1STALLD(w1))) {
            return true;
        }
    }
    if (w->s2) {
        if (!extract64(w2, 51, 1) || extract64(w2, 46, 2) ||    /* AA64, TG */
            extract64(w2, 52, 1) || extract64(w2, 55, 2) ||     /* ENDI, H */
            extract64(w2, 38, 2) == 3 || bits > 48 ||
            bits > oas_bits(s, 7) || extract64(w2, 32, 6) > 39 ||
            (no_stall && extract64(w2, 57, 1)) ||
            (SMMUS_STE_S2FWB(w1) && !s->fwb)) {
            return true;
        }
        /* At least one bit at the start, at most 16 tables side by side */
        if (bits <= level_shift(start) ||
            bits > level_shift(start) + SMMUS_LEVEL_BITS + 4 ||
            too_wide(w->ste[3] & MAKE_64BIT_MASK(4, 48), oas_bits(s, 7))) {
            return true;
        }
    }
    return false;
}

/* Context descriptor tables: spec 5.3 and 5.4.  IPAs if there is stage 2. */
static int get_cd(SMMUSWalk *w, uint32_t ssid)
{
    SMMUStrict *v = w->v;
    uint64_t base = w->ste[0] & MAKE_64BIT_MASK(6, 46), key, *hit;
    SMMUSL1CD *l1_hit, l1;
    unsigned fmt = extract64(w->ste[0], 4, 2), split = fmt == 2 ? 10 : 6;
    int ret;

    key = pair_key(w->sid, ssid);
    hit = g_hash_table_lookup(v->cd, &key);
    if (hit) {
        memcpy(w->cd, hit, sizeof(w->cd));
        return 0;
    }
    if (fmt && extract64(w->ste[0], 59, 5)) {
        key = pair_key(w->sid, ssid >> split);
        l1_hit = g_hash_table_lookup(v->l1cd, &key);
        if (l1_hit) {
            l1 = *l1_hit;
        } else {
            base += (ssid >> split) * 8;
            ret = s2_fetch(w, SMMU_CLASS_CD, &base);
            if (ret) {
                return ret;
            }
            l1.split = split;
            if (!iommu_read_word(base, &l1.desc)) {
                return fault(w, SMMU_EVT_F_CD_FETCH, false, 0, base);
            }
            if (v->s->strict_caches) {
                map_set(v->l1cd, key, &l1, sizeof(l1));
            }
        }
        if (!(l1.desc & 1)) {
            return SMMU_EVT_C_BAD_SUBSTREAMID;
        }
        base = SMMUS_ADDR(l1.desc);
        base += (ssid & MAKE_64BIT_MASK(0, split)) * 64;
    } else {
        base += (uint64_t)ssid * 64;
    }
    ret = s2_fetch(w, SMMU_CLASS_CD, &base);
    if (ret) {
        return ret;
    }
    if (!iommu_read_struct(base, w->cd, 8)) {
        return fault(w, SMMU_EVT_F_CD_FETCH, false, 0, base);
    }
    if (v->s->strict_caches) {
        map_set(v->cd, pair_key(w->sid, ssid), w->cd, sizeof(w->cd));
    }
    return 0;
}

static bool cd_illegal(SMMUSWalk *w)
{
    SMMUv3State *s = w->v->s;
    uint64_t w0 = w->cd[0];
    unsigned ips = oas_bits(s, extract64(w0, 32, 3)), tsz, i;
    bool stall = extract64(w0, 44, 1);

    if (!extract64(w0, 31, 1) || !extract64(w0, 41, 1) ||       /* V, AA64 */
        extract64(w0, 15, 1) || extract64(w0, 42, 2) ||         /* ENDI, H */
        !extract64(w0, 46, 1)) {                                /* A */
        return true;
    }
    if (stall && (SMMUS_STE_S1STALLD(w->ste[1]) ||
                  FIELD_EX32(s->idr[0], IDR0, STALL_MODEL) == 1)) {
        return true;
    }
    for (i = 0; i < 2; i++) {
        tsz = extract64(w0, i * 16, 6);
        if (extract64(w0, i * 16 + 14, 1)) {
            continue;                                           /* EPD */
        }
        if (tsz < 16 || tsz > 39 ||
            extract64(w0, i * 16 + 6, 2) != (i ? 2 : 0) ||      /* TG */
            too_wide(w->cd[1 + i] & MAKE_64BIT_MASK(4, 48), ips)) {
            return true;
        }
    }
    return false;
}

/*
 * Which stages there are, and with which descriptors: spec 3.3.  Returns 0,
 * an event type, or SMMUS_ABORT.
 */
static int get_config(SMMUSWalk *w)
{
    bool has_ssid = w->ssid != PCI_TRANS_NO_PASID;
    unsigned config, cdmax, dss;
    uint32_t ssid = 0;
    int ret;

    ret = get_ste(w);
    if (ret) {
        return ret;
    }
    config = extract64(w->ste[0], 1, 3);
    if (!(w->ste[0] & 1)) {
        return SMMU_EVT_C_BAD_STE;
    }
    if (!(config & 4)) {
        return SMMUS_ABORT;
    }
    w->s1 = config & 1;
    w->s2 = config & 2;
    w->vmid = extract64(w->ste[2], 0, 16);
    if (ste_illegal(w)) {
        return SMMU_EVT_C_BAD_STE;
    }
    switch (SMMUS_STE_PRIVCFG(w->ste[1])) {
    case 2:
        w->flags &= ~PCI_TRANS_PRIV;
        break;
    case 3:
        w->flags |= PCI_TRANS_PRIV;
        break;
    }
    switch (SMMUS_STE_INSTCFG(w->ste[1])) {
    case 2:
        w->flags &= ~PCI_TRANS_EXEC;
        break;
    case 3:
        if (w->flags & PCI_TRANS_READ) {
            w->flags |= PCI_TRANS_EXEC;
        }
        break;
    }
    if (!w->s1) {
        return has_ssid ? SMMU_EVT_C_BAD_SUBSTREAMID : 0;
    }
    cdmax = extract64(w->ste[0], 59, 5);
    dss = SMMUS_STE_S1DSS(w->ste[1]);
    if (has_ssid) {
        if (!cdmax || w->ssid >> cdmax) {
            return SMMU_EVT_C_BAD_SUBSTREAMID;
        }
        if (!w->ssid && dss == SMMUS_DSS_SSID0) {
            return SMMU_EVT_F_STREAM_DISABLED;
        }
        ssid = w->ssid;
    } else if (cdmax && dss == SMMUS_DSS_TERMINATE) {
        return SMMU_EVT_F_STREAM_DISABLED;
    } else if (cdmax && dss == SMMUS_DSS_BYPASS) {
        w->s1 = false;
        return 0;
    }
    ret = get_cd(w, ssid);
    if (ret) {
        return ret;
    }
    if (cd_illegal(w)) {
        return SMMU_EVT_C_BAD_CD;
    }
    w->asid = extract64(w->cd[0], 48, 16);
    return 0;
}

/* The whole of it; @w has sid, ssid and flags.  As get_config(). */
static int xlate(SMMUSWalk *w, uint64_t iova, bool spec)
{
    uint32_t tag = w->ssid == PCI_TRANS_NO_PASID ? IOMMU_MON_ANY : w->ssid;
    SMMUSLeaf *hit;
    int ret;

    ret = get_config(w);
    if (ret) {
        return ret;
    }
    if (!w->s1 && !w->s2) {
        if (too_wide(iova, oas_bits(w->v->s, 7))) {
            return fault(w, SMMU_EVT_F_ADDR_SIZE, false, SMMU_CLASS_IN, 0);
        }
        w->leaf = (SMMUSLeaf) {
            .pa = iova & ~MAKE_64BIT_MASK(0, SMMUS_PAGE),
            .shift = SMMUS_PAGE, .wb = true,
        };
        return 0;
    }
    if (w->s1 && extract64(w->cd[0], 38 + extract64(iova, 55, 1), 1)) {
        iova = sextract64(iova, 0, 56);         /* TBI */
    }
    hit = tlb_find(w, w->s1 ? 1 : 2, iova);
    if (!spec) {
        iommu_mon_count(hit ? IOMMU_MON_EV_HIT : IOMMU_MON_EV_WALK, w->sid,
                        tag);
    }
    if (hit) {
        w->leaf = *hit;
    } else {
        ret = w->s1 ? s1_walk(w, iova, &w->leaf) :
                      s2_walk(w, SMMU_CLASS_IN, iova, &w->leaf);
        if (ret) {
            return ret;
        }
    }
    ret = check_leaf(w, iova);
    if (!ret && !spec && !w->leaf.wb) {
        iommu_mon_count(IOMMU_MON_EV_NOT_WB, w->sid, tag);
    }
    return ret;
}

/* What hardware may do at any time: fetch again what was used lately. */
static void refill(SMMUStrict *v)
{
    if (!v->s->strict_refill || !smmu_enabled(v->s)) {
        return;
    }
    for (unsigned i = 0; i < IOMMU_RECENT; i++) {
        IOMMURecent *r = &v->recent.entry[i];
        SMMUSWalk w = {
            .v = v, .sid = r->sid, .ssid = r->pasid,
            .flags = PCI_TRANS_READ | (r->priv ? PCI_TRANS_PRIV : 0),
        };

        if (r->used) {
            xlate(&w, r->iova, true);
        }
    }
}

/* Events: spec 7.2 and 7.3 */

static uint32_t mon_tag(uint32_t ssid)
{
    return ssid == PCI_TRANS_NO_PASID ? IOMMU_MON_ANY : ssid;
}

static bool evtq_full(SMMUv3State *s)
{
    return smmuv3_q_full(&s->eventq);
}

static void evtq_put(SMMUStrict *v, const Evt *evt)
{
    SMMUv3State *s = v->s;
    SMMUQueue *q = &s->eventq;
    Evt le = *evt;

    for (unsigned i = 0; i < ARRAY_SIZE(le.word); i++) {
        cpu_to_le32s(&le.word[i]);
    }
    if (address_space_write(&address_space_memory, Q_PROD_ENTRY(q),
                            MEMTXATTRS_UNSPECIFIED, &le, sizeof(le))) {
        smmuv3_trigger_irq(s, SMMU_IRQ_GERROR, R_GERROR_EVENTQ_ABT_ERR_MASK);
        return;
    }
    q->prod = (q->prod & SMMUS_OVERFLOW) |
              ((q->prod + 1) & WRAP_INDEX_MASK(q));
    v->last_evt = *evt;
    smmuv3_trigger_irq(s, SMMU_IRQ_EVTQ, 0);
}

/* The last one is still in the queue, and says the same of the same page. */
static bool evt_merges(SMMUStrict *v, const Evt *e)
{
    const Evt *o = &v->last_evt;

    return v->s->event_merge && !smmuv3_q_empty(&v->s->eventq) &&
           e->word[0] == o->word[0] && e->word[1] == o->word[1] &&
           e->word[3] == o->word[3] && e->word[5] == o->word[5] &&
           !((e->word[4] ^ o->word[4]) >> SMMUS_PAGE);
}

/* Each event is counted once as raised, and as what became of it. */
static void record(SMMUStrict *v, SMMUSWalk *w, const Evt *evt)
{
    SMMUv3State *s = v->s;
    uint32_t tag = mon_tag(w->ssid);

    iommu_mon_count(IOMMU_MON_EV_F_RAISED, w->sid, tag);
    if (SMMUS_STE_MEV(w->ste[1]) && evt_merges(v, evt)) {
        iommu_mon_count(IOMMU_MON_EV_F_COLLAPSED, w->sid, tag);
        return;
    }
    if (!smmuv3_eventq_enabled(s) || evtq_full(s)) {
        iommu_mon_count(IOMMU_MON_EV_F_LOST, w->sid, tag);
        /* Spec 7.4: the flag toggles, if the last overflow is acknowledged */
        if (smmuv3_eventq_enabled(s) &&
            !((s->eventq.prod ^ s->eventq.cons) & SMMUS_OVERFLOW)) {
            s->eventq.prod ^= SMMUS_OVERFLOW;
        }
        return;
    }
    iommu_mon_count(IOMMU_MON_EV_F_RECORDED, w->sid, tag);
    evtq_put(v, evt);
}

static bool is_translation_fault(int type)
{
    return type == SMMU_EVT_F_TRANSLATION || type == SMMU_EVT_F_ADDR_SIZE ||
           type == SMMU_EVT_F_ACCESS || type == SMMU_EVT_F_PERMISSION;
}

/* CD.R and STE.S2R; configuration errors are always recorded. */
static bool is_recorded(SMMUSWalk *w, int type)
{
    if (type == SMMUS_ABORT) {
        return false;
    }
    if (type == SMMU_EVT_C_BAD_STREAMID) {
        return w->v->s->cr[2] & SMMUS_CR2_RECINVSID;
    }
    if (is_translation_fault(type)) {
        if (w->f_s2) {
            return extract64(w->ste[2], 58, 1);
        }
        return !w->s1 || extract64(w->cd[0], 45, 1);
    }
    return true;
}

static bool is_stalled(SMMUSWalk *w, int type)
{
    return is_translation_fault(type) && (w->flags & PCI_TRANS_CAN_STALL) &&
           (w->f_s2 ? extract64(w->ste[2], 57, 1) :
                      w->s1 && extract64(w->cd[0], 44, 1));
}

static void make_event(SMMUSWalk *w, int type, uint64_t iova, Evt *evt)
{
    unsigned flags = w->flags;

    *evt = (Evt) { 0 };
    EVT_SET_TYPE(evt, type);
    EVT_SET_SID(evt, w->sid);
    if (w->ssid != PCI_TRANS_NO_PASID) {
        EVT_SET_SSV(evt, 1);
        EVT_SET_SSID(evt, w->ssid);
    }
    switch (type) {
    case SMMU_EVT_F_STE_FETCH:
    case SMMU_EVT_F_CD_FETCH:
        EVT_SET_ADDR2(evt, w->f_addr);
        break;
    case SMMU_EVT_F_TRANS_FORBIDDEN:
    case SMMU_EVT_F_BAD_ATS_TREQ:
    case SMMU_EVT_F_UUT:
        EVT_SET_ADDR(evt, iova);
        EVT_SET_RNW(evt, !(flags & PCI_TRANS_WRITE));
        break;
    case SMMU_EVT_F_WALK_EABT:
    case SMMU_EVT_F_TRANSLATION:
    case SMMU_EVT_F_ADDR_SIZE:
    case SMMU_EVT_F_ACCESS:
    case SMMU_EVT_F_PERMISSION:
        EVT_SET_ADDR(evt, iova);
        EVT_SET_RNW(evt, !(flags & PCI_TRANS_WRITE));
        EVT_SET_PNU(evt, !!(flags & PCI_TRANS_PRIV));
        EVT_SET_IND(evt, !!(flags & PCI_TRANS_EXEC));
        EVT_SET_S2(evt, w->f_s2);
        EVT_SET_CLASS(evt, w->f_class);
        if (type == SMMU_EVT_F_WALK_EABT) {
            EVT_SET_ADDR2(evt, w->f_addr);
        } else if (w->f_s2) {
            EVT_SET_ADDR2(evt, (w->f_addr & ~0xfffULL));
        }
        break;
    }
}

/* Stalls: spec 3.12.2 */

static void tell_stalls(SMMUStrict *v)
{
    SMMUSStall *st;

    QTAILQ_FOREACH(st, &v->stalls, next) {
        if (st->told) {
            continue;
        }
        /* A stalled access is never lost: its event waits for room. */
        if (!smmuv3_eventq_enabled(v->s) || evtq_full(v->s)) {
            break;
        }
        st->told = true;
        iommu_mon_count(IOMMU_MON_EV_F_RECORDED, st->sid,
                        st->evt.word[0] & (1u << 11) ?
                        extract32(st->evt.word[0], 12, 20) : IOMMU_MON_ANY);
        evtq_put(v, &st->evt);
    }
}

static bool stag_used(SMMUStrict *v, uint16_t stag)
{
    SMMUSStall *st;

    QTAILQ_FOREACH(st, &v->stalls, next) {
        if (st->stag == stag) {
            return true;
        }
    }
    return false;
}

static void cancel_stall(PCITransReq *req)
{
    SMMUSStall *st = req->cancel_opaque;

    /* The tag is used until software has answered. */
    st->req = NULL;
    req->cancel = NULL;
}

static SMMUSStall *new_stall(PCITransReq *req, uint16_t sid)
{
    SMMUSStall *st = g_new0(SMMUSStall, 1);

    st->req = req;
    st->sid = sid;
    req->cancel = cancel_stall;
    req->cancel_opaque = st;
    return st;
}

static void answer_stall(SMMUStrict *v, SMMUSStalls *from, SMMUSStall *st,
                         bool retry)
{
    QTAILQ_REMOVE(from, st, next);
    if (from == &v->stalls) {
        v->nr_stalls--;
    }
    st->retry = retry;
    QTAILQ_INSERT_TAIL(&v->answered, st, next);
    if (icount_enabled()) {
        /* A bottom half would run at a point that host timing decides */
        timer_mod(v->answer_timer,
                  qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + SMMUS_ICOUNT_NS);
    } else {
        qemu_bh_schedule(v->answer_bh);
    }
}

static void stall(SMMUStrict *v, SMMUSWalk *w, const Evt *evt,
                  PCITransReq *req)
{
    SMMUSStall *st = new_stall(req, w->sid);

    if (v->nr_stalls >= v->s->stall_max) {
        QTAILQ_INSERT_TAIL(&v->crowd, st, next);
        return;
    }
    while (stag_used(v, v->next_stag)) {
        v->next_stag++;
    }
    st->stag = v->next_stag++;
    st->evt = *evt;
    EVT_SET_STALL(&st->evt, 1u);
    EVT_SET_STAG(&st->evt, st->stag);
    v->nr_stalls++;
    QTAILQ_INSERT_TAIL(&v->stalls, st, next);
    iommu_mon_count(IOMMU_MON_EV_F_RAISED, w->sid, mon_tag(w->ssid));
    tell_stalls(v);
}

/* All of a stream, or of all */
static void terminate_stalls(SMMUStrict *v, bool all, uint16_t sid)
{
    SMMUSStall *st, *tmp;

    QTAILQ_FOREACH_SAFE(st, &v->stalls, next, tmp) {
        if (all || st->sid == sid) {
            answer_stall(v, &v->stalls, st, false);
        }
    }
    QTAILQ_FOREACH_SAFE(st, &v->crowd, next, tmp) {
        if (all || st->sid == sid) {
            answer_stall(v, &v->crowd, st, false);
        }
    }
}

/* Front ends */

static bool translate(SMMUStrict *v, SMMUSWalk *w, uint64_t iova,
                      PCITransReq *req)
{
    Evt evt;
    int ret = xlate(w, iova, false);

    if (!ret) {
        if (v->s->strict_refill) {
            iommu_recent_add(&v->recent, w->sid, w->ssid,
                             w->flags & PCI_TRANS_PRIV, iova);
        }
        return true;
    }
    if (!is_recorded(w, ret) && !(req && is_stalled(w, ret))) {
        return false;
    }
    make_event(w, ret, iova, &evt);
    if (req && is_stalled(w, ret)) {
        stall(v, w, &evt, req);
    } else {
        record(v, w, &evt);
    }
    return false;
}

void smmuv3_strict_translate_as(SMMUv3State *s, uint16_t sid, hwaddr addr,
                                IOMMUAccessFlags flag, IOMMUTLBEntry *out)
{
    SMMUStrict *v = s->strict;
    SMMUSWalk w = {
        .v = v, .sid = sid, .ssid = PCI_TRANS_NO_PASID,
        .flags = (flag & IOMMU_RO ? PCI_TRANS_READ : 0) |
                 (flag & IOMMU_WO ? PCI_TRANS_WRITE : 0),
    };
    bool ok;

    *out = (IOMMUTLBEntry) {
        .target_as = &address_space_memory,
        .iova = addr & ~0xfffULL,
        .addr_mask = 0xfff,
    };
    RCU_READ_LOCK_GUARD();
    QEMU_LOCK_GUARD(&s->mutex);
    if (!smmu_enabled(s)) {
        w.leaf = (SMMUSLeaf) { .pa = out->iova, .shift = SMMUS_PAGE };
        ok = !FIELD_EX32(s->gbpa, GBPA, ABORT);
    } else if (!w.flags) {
        /* Only a question */
        w.flags = PCI_TRANS_READ;
        ok = !xlate(&w, addr, true);
        flag = IOMMU_RO;
    } else {
        iommu_mon_count(IOMMU_MON_EV_TRANS, sid, IOMMU_MON_ANY);
        ok = translate(v, &w, addr, NULL);
    }
    if (ok) {
        out->translated_addr = leaf_addr(&w.leaf, addr) & ~0xfffULL;
        out->perm = flag;
    }
}

/*
 * Spec 3.9.1.  What a page request can repair is answered without
 * permissions, and nothing is recorded.
 */
static void translate_ats(SMMUStrict *v, SMMUSWalk *w, PCITransReq *req)
{
    static const unsigned kinds[] = {
        PCI_TRANS_READ, PCI_TRANS_WRITE, PCI_TRANS_EXEC,
    };
    unsigned want = w->flags, priv = want & PCI_TRANS_PRIV;
    Evt evt;
    int ret = get_config(w);

    if (!ret && ((!w->s1 && !w->s2) ||
                 SMMUS_STE_EATS(w->ste[1]) != SMMUS_EATS_FULL)) {
        ret = SMMU_EVT_F_BAD_ATS_TREQ;
    }
    for (unsigned i = 0; !ret && i < ARRAY_SIZE(kinds); i++) {
        if (!(want & kinds[i])) {
            continue;
        }
        w->flags = priv | kinds[i] |
                   (kinds[i] == PCI_TRANS_EXEC ? PCI_TRANS_READ : 0);
        ret = xlate(w, req->iova, false);
        if (!ret) {
            req->perm |= kinds[i] | priv;
            req->addr = leaf_addr(&w->leaf, req->iova);
            req->mask = MAKE_64BIT_MASK(0, w->leaf.shift);
        } else if (is_translation_fault(ret)) {
            ret = 0;
        }
    }
    w->flags = want;
    if (!ret) {
        iommu_recent_add(&v->recent, w->sid, w->ssid, priv, req->iova);
        req->status = PCI_TRANS_OK;
    } else if (is_recorded(w, ret)) {
        make_event(w, ret, req->iova, &evt);
        record(v, w, &evt);
    }
}

/* Spec 3.9.1.3: a translated access looks at the STE alone, if at all. */
static void translated(SMMUStrict *v, SMMUSWalk *w, PCITransReq *req)
{
    Evt evt;
    int ret = 0;

    if (v->s->cr[0] & SMMUS_CR0_ATSCHK) {
        ret = get_ste(w);
        if (!ret && !(w->ste[0] & 1)) {
            ret = SMMU_EVT_C_BAD_STE;
        } else if (!ret && SMMUS_STE_EATS(w->ste[1]) != SMMUS_EATS_FULL) {
            ret = SMMU_EVT_F_TRANS_FORBIDDEN;
        }
    }
    if (!ret) {
        req->status = PCI_TRANS_OK;
        req->addr = req->iova;
        req->perm = req->flags;
    } else if (is_recorded(w, ret)) {
        make_event(w, ret, req->iova, &evt);
        record(v, w, &evt);
    }
}

/* True if the request is answered, false if it waits. */
static bool submit(SMMUStrict *v, uint16_t sid, PCITransReq *req)
{
    SMMUv3State *s = v->s;
    uint32_t kind = req->flags & (PCI_TRANS_ATS | PCI_TRANS_TRANSLATED);
    SMMUSWalk w = {
        .v = v, .sid = sid, .ssid = req->pasid, .flags = req->flags,
    };

    req->status = PCI_TRANS_FAULT;
    req->perm = 0;
    req->as = &address_space_memory;
    req->mask = 0xfff;
    req->cancel = NULL;
    RCU_READ_LOCK_GUARD();
    QEMU_LOCK_GUARD(&s->mutex);
    if (!smmu_enabled(s)) {
        /* Spec 3.9.1: without translation, ATS is refused. */
        if (!kind && !FIELD_EX32(s->gbpa, GBPA, ABORT)) {
            req->status = PCI_TRANS_OK;
            req->addr = req->iova;
            req->perm = req->flags;
        }
    } else if (kind == PCI_TRANS_ATS) {
        translate_ats(v, &w, req);
    } else if (kind) {
        translated(v, &w, req);
    } else if (translate(v, &w, req->iova, req)) {
        req->status = PCI_TRANS_OK;
        req->addr = leaf_addr(&w.leaf, req->iova);
        req->mask = MAKE_64BIT_MASK(0, w.leaf.shift);
        req->perm = req->flags;
    }
    req->perm &= PCI_TRANS_READ | PCI_TRANS_WRITE | PCI_TRANS_EXEC |
                 PCI_TRANS_PRIV;
    return !req->cancel;
}

static void smmuv3_strict_translate(PCIBus *bus, void *opaque, int devfn,
                                    PCITransReq *req)
{
    SMMUv3State *s = ARM_SMMUV3(opaque);
    uint16_t sid = PCI_BUILD_BDF(pci_bus_num(bus), devfn);
    uint32_t tag = mon_tag(req->pasid);

    if (req->flags & PCI_TRANS_ATS) {
        iommu_mon_count(IOMMU_MON_EV_ATS, sid, tag);
    } else if (!(req->flags & PCI_TRANS_TRANSLATED)) {
        iommu_mon_count(IOMMU_MON_EV_TRANS, sid, tag);
    }
    if (submit(s->strict, sid, req)) {
        req->done(req);
    }
}

/* The command that answered has long returned. */
static void answer_bh(void *opaque)
{
    SMMUStrict *v = opaque;
    SMMUSStalls list = QTAILQ_HEAD_INITIALIZER(list);
    SMMUSStall *st;
    PCITransReq *req;
    unsigned room;

    WITH_QEMU_LOCK_GUARD(&v->s->mutex) {
        /* As many as there are tags may try again. */
        room = v->s->stall_max - v->nr_stalls;
        while (room-- && (st = QTAILQ_FIRST(&v->crowd))) {
            answer_stall(v, &v->crowd, st, true);
        }
        while ((st = QTAILQ_FIRST(&v->answered))) {
            QTAILQ_REMOVE(&v->answered, st, next);
            QTAILQ_INSERT_TAIL(&list, st, next);
        }
    }
    while ((st = QTAILQ_FIRST(&list))) {
        QTAILQ_REMOVE(&list, st, next);
        req = st->req;
        if (req) {
            bool done = true;

            req->cancel = NULL;
            if (st->retry) {
                done = submit(v, st->sid, req);
            } else {
                req->status = PCI_TRANS_FAULT;
            }
            if (done) {
                req->done(req);
            }
        }
        g_free(st);
    }
}

/* Commands: spec chapter 4 */

typedef struct SMMUSInv {
    unsigned stages;                /* bit 1: stage 1, bit 2: stage 2 */
    bool any_vmid, any_asid, by_addr, globals;
    uint16_t vmid;
    uint16_t asid;
    unsigned ttl_shift;             /* only entries of this size, or 0 */
    uint64_t first, last;
} SMMUSInv;

static bool inv_covers(const SMMUSInv *inv, const SMMUSKey *k)
{
    uint64_t first = k->page << k->shift;
    uint64_t last = first | MAKE_64BIT_MASK(0, k->shift);

    if (!(inv->stages & 1 << k->stage) ||
        (!inv->any_vmid && k->vmid != inv->vmid)) {
        return false;
    }
    if (k->stage == 1 && !inv->any_asid && k->asid != inv->asid &&
        !(inv->globals && k->asid == SMMUS_ASID_GLOBAL)) {
        return false;
    }
    return !inv->by_addr || (first <= inv->last && inv->first <= last);
}

static gboolean inv_tlb(gpointer key, gpointer val, gpointer opaque)
{
    const SMMUSInv *inv = opaque;
    const SMMUSKey *k = key;

    return inv_covers(inv, k) &&
           (!inv->ttl_shift || inv->ttl_shift == k->shift);
}

static gboolean inv_psc(gpointer key, gpointer val, gpointer opaque)
{
    return inv_covers(opaque, key);
}

static void inv_run(SMMUStrict *v, SMMUSInv *inv, bool leaf)
{
    g_hash_table_foreach_remove(v->tlb, inv_tlb, inv);
    if (!leaf) {
        g_hash_table_foreach_remove(v->psc, inv_psc, inv);
    }
}

/* An address or, with TG, a range: spec 4.4.1.1 */
static int inv_addr(SMMUStrict *v, SMMUSInv *inv, const uint64_t *c,
                    uint64_t addr)
{
    unsigned tg = extract64(c[1], 10, 2), ttl = extract64(c[1], 8, 2);
    unsigned num = extract64(c[0], 12, 5), scale = extract64(c[0], 20, 5);

    inv->by_addr = true;
    inv->first = addr;
    inv->last = addr | 0xfff;
    if (tg) {
        /* One page without a level is the command without a range. */
        if (!FIELD_EX32(v->s->idr[3], IDR3, RIL) || tg != 1 ||
            (!num && !scale && !ttl)) {
            return SMMU_CERROR_ILL;
        }
        inv->last = addr + ((((uint64_t)num + 1) << scale) << SMMUS_PAGE) - 1;
        inv->ttl_shift = ttl ? level_shift(ttl) : 0;
    } else if (num || scale || ttl) {
        return SMMU_CERROR_ILL;
    }
    inv_run(v, inv, c[1] & 1);
    return 0;
}

typedef struct SMMUSSids {
    uint32_t first, last;
    bool one;                       /* a single SSID of it */
    uint32_t ssid;
    unsigned split;                 /* of level 1 descriptors */
} SMMUSSids;

static gboolean inv_by_sid(gpointer key, gpointer val, gpointer opaque)
{
    const SMMUSSids *r = opaque;
    uint64_t k = *(uint64_t *)key;

    return k >= r->first && k <= r->last;
}

static gboolean inv_l1ste(gpointer key, gpointer val, gpointer opaque)
{
    const SMMUSSids *r = opaque;
    uint64_t k = *(uint64_t *)key << r->split;

    return k <= r->last && (k | MAKE_64BIT_MASK(0, r->split)) >= r->first;
}

static gboolean inv_cd(gpointer key, gpointer val, gpointer opaque)
{
    const SMMUSSids *r = opaque;
    uint64_t k = *(uint64_t *)key;

    return (k >> 32) >= r->first && (k >> 32) <= r->last &&
           (!r->one || (uint32_t)k == r->ssid);
}

static gboolean inv_l1cd(gpointer key, gpointer val, gpointer opaque)
{
    const SMMUSSids *r = opaque;
    const SMMUSL1CD *l1 = val;
    uint64_t k = *(uint64_t *)key;

    return (k >> 32) >= r->first && (k >> 32) <= r->last &&
           (!r->one || (uint32_t)k == r->ssid >> l1->split);
}

static void cfgi_ste(SMMUStrict *v, SMMUSSids *r, bool leaf)
{
    r->split = FIELD_EX32(v->s->strtab_base_cfg, STRTAB_BASE_CFG, SPLIT);
    g_hash_table_foreach_remove(v->ste, inv_by_sid, r);
    if (!leaf) {
        g_hash_table_foreach_remove(v->l1ste, inv_l1ste, r);
    }
    /* Spec 4.3.1: and what was found through it */
    g_hash_table_foreach_remove(v->cd, inv_cd, r);
    g_hash_table_foreach_remove(v->l1cd, inv_l1cd, r);
}

static void cfgi_cd(SMMUStrict *v, SMMUSSids *r, bool leaf)
{
    g_hash_table_foreach_remove(v->cd, inv_cd, r);
    if (!leaf) {
        g_hash_table_foreach_remove(v->l1cd, inv_l1cd, r);
    }
}

static void atc_inv(SMMUStrict *v, const uint64_t *c)
{
    unsigned order = extract64(c[1], 0, 6);
    uint64_t addr = c[1] & ~0xfffULL, size = UINT64_MAX;
    bool ssv = extract64(c[0], 11, 1);

    if (order < 52) {
        size = 1ULL << (12 + order);
        addr &= ~(size - 1);
    } else {
        addr = 0;
    }
    /*
     * Linux invalidates before it switches ATS on, so a function whose ATS is
     * off has to answer.
     */
    switch (pci_trans_invalidate(v->bus, c[0] >> 32, ssv ?
                                 extract64(c[0], 12, 20) : PCI_TRANS_NO_PASID,
                                 ssv && extract64(c[0], 9, 1), addr, size)) {
    case PCI_TRANS_INV_TIMEOUT:
        v->atc_failed = true;
        iommu_mon_count(IOMMU_MON_EV_ITE, c[0] >> 32, IOMMU_MON_ANY);
        break;
    case PCI_TRANS_INV_ATS_OFF:
        iommu_mon_count(IOMMU_MON_EV_ATS_OFF, c[0] >> 32, IOMMU_MON_ANY);
        break;
    default:
        break;
    }
}

static void resume(SMMUStrict *v, const uint64_t *c)
{
    SMMUSStall *st;

    QTAILQ_FOREACH(st, &v->stalls, next) {
        if (st->told && st->stag == extract64(c[1], 0, 16) &&
            st->sid == c[0] >> 32) {
            /* TERM_MODEL: what is not retried is aborted, Ab or not. */
            answer_stall(v, &v->stalls, st, extract64(c[0], 12, 1));
            return;
        }
    }
}

/*
 * Which bits a command has; any other, SSec among them, makes it illegal.
 * That is the strictest reading of RES0.
 */
#define SMMUS_SID           MAKE_64BIT_MASK(32, 32)
#define SMMUS_SSID          MAKE_64BIT_MASK(12, 20)
#define SMMUS_SSV           (1ULL << 11)
#define SMMUS_VMID          MAKE_64BIT_MASK(32, 16)
#define SMMUS_ASID          MAKE_64BIT_MASK(48, 16)
#define SMMUS_RANGE         (MAKE_64BIT_MASK(12, 5) | MAKE_64BIT_MASK(20, 5))
#define SMMUS_INV1          (1ULL | MAKE_64BIT_MASK(8, 4))

static const struct {
    bool known;
    uint8_t needs;                  /* bit 1: stage 1, bit 2: stage 2 */
    uint64_t bits[2];
} cmds[256] = {
    [SMMU_CMD_PREFETCH_CONFIG] = {
        true, 0, { SMMUS_SSV | SMMUS_SSID | SMMUS_SID, 0 } },
    [SMMU_CMD_PREFETCH_ADDR] = {
        true, 0, { SMMUS_SSV | SMMUS_SSID | SMMUS_SID, ~0x3e0ULL } },
    [SMMU_CMD_CFGI_STE] = { true, 0, { SMMUS_SID, 1 } },
    [SMMU_CMD_CFGI_STE_RANGE] = { true, 0, { SMMUS_SID, 0x1f } },
    [SMMU_CMD_CFGI_CD] = { true, 2, { SMMUS_SSID | SMMUS_SID, 1 } },
    [SMMU_CMD_CFGI_CD_ALL] = { true, 2, { SMMUS_SID, 0 } },
    [SMMU_CMD_TLBI_NH_ALL] = { true, 2, { SMMUS_VMID, 0 } },
    [SMMU_CMD_TLBI_NH_ASID] = { true, 2, { SMMUS_VMID | SMMUS_ASID, 0 } },
    [SMMU_CMD_TLBI_NH_VA] = {
        true, 2, { SMMUS_RANGE | SMMUS_VMID | SMMUS_ASID,
                   SMMUS_INV1 | MAKE_64BIT_MASK(12, 52) } },
    [SMMU_CMD_TLBI_NH_VAA] = {
        true, 2, { SMMUS_RANGE | SMMUS_VMID,
                   SMMUS_INV1 | MAKE_64BIT_MASK(12, 52) } },
    [SMMU_CMD_TLBI_S12_VMALL] = { true, 4, { SMMUS_VMID, 0 } },
    [SMMU_CMD_TLBI_S2_IPA] = {
        true, 4, { SMMUS_RANGE | SMMUS_VMID,
                   SMMUS_INV1 | MAKE_64BIT_MASK(12, 40) } },
    [SMMU_CMD_TLBI_NSNH_ALL] = { true, 0, { 0, 0 } },
    [SMMU_CMD_ATC_INV] = {
        true, 0, { 1ULL << 9 | SMMUS_SSV | SMMUS_SSID | SMMUS_SID,
                   0x3f | MAKE_64BIT_MASK(12, 52) } },
    [SMMU_CMD_RESUME] = { true, 0, { 3ULL << 12 | SMMUS_SID, 0xffff } },
    [SMMU_CMD_STALL_TERM] = { true, 0, { SMMUS_SID, 0 } },
    [SMMU_CMD_SYNC] = {
        true, 0, { 3ULL << 12 | MAKE_64BIT_MASK(22, 6) |
                   MAKE_64BIT_MASK(32, 32), MAKE_64BIT_MASK(2, 50) } },
};

static bool is_legal(SMMUv3State *s, const uint64_t *c)
{
    unsigned op = c[0] & 0xff;

    if (!cmds[op].known || (c[0] & ~0xffULL & ~cmds[op].bits[0]) ||
        (c[1] & ~cmds[op].bits[1])) {
        return false;
    }
    if (((cmds[op].needs & 2) && !STAGE1_SUPPORTED(s)) ||
        ((cmds[op].needs & 4) && !STAGE2_SUPPORTED(s))) {
        return false;
    }
    switch (op) {
    case SMMU_CMD_ATC_INV:
        return FIELD_EX32(s->idr[0], IDR0, ATS) && extract64(c[1], 0, 6) <= 52;
    case SMMU_CMD_RESUME:
    case SMMU_CMD_STALL_TERM:
        return FIELD_EX32(s->idr[0], IDR0, STALL_MODEL) != 1;
    case SMMU_CMD_SYNC:
        return extract64(c[0], 12, 2) != 3;
    default:
        return true;
    }
}

/* For TLBI, the monitor has the VMID as source and the ASID as PASID. */
static void count_cmd(const uint64_t *c)
{
    unsigned op = c[0] & 0xff;
    uint32_t sid = IOMMU_MON_ANY, ssid = IOMMU_MON_ANY;

    if (cmds[op].bits[0] & SMMUS_SID) {
        sid = c[0] >> 32;
    }
    if ((cmds[op].bits[0] & SMMUS_SID) == SMMUS_VMID ||
        (cmds[op].bits[0] & SMMUS_SID) == (SMMUS_VMID | SMMUS_ASID)) {
        sid = extract64(c[0], 32, 16);
    }
    if (op == SMMU_CMD_CFGI_CD ||
        (op == SMMU_CMD_ATC_INV && extract64(c[0], 11, 1))) {
        ssid = extract64(c[0], 12, 20);
    }
    if (op == SMMU_CMD_TLBI_NH_ASID || op == SMMU_CMD_TLBI_NH_VA) {
        ssid = c[0] >> 48;
    }
    if (op == SMMU_CMD_SYNC || op == SMMU_CMD_CFGI_STE_RANGE) {
        sid = IOMMU_MON_ANY;
    }
    iommu_mon_count(IOMMU_MON_EV_SMMU(op), sid, ssid);
}

static SMMUCmdError execute(SMMUStrict *v, const uint64_t *c)
{
    unsigned op = c[0] & 0xff;
    SMMUSInv inv = {
        .vmid = extract64(c[0], 32, 16), .asid = c[0] >> 48,
        .any_vmid = !STAGE2_SUPPORTED(v->s),
    };
    SMMUSSids sids = { .first = c[0] >> 32, .last = c[0] >> 32 };

    switch (op) {
    case SMMU_CMD_CFGI_STE:
        cfgi_ste(v, &sids, c[1] & 1);
        break;
    case SMMU_CMD_CFGI_STE_RANGE:
        sids.last |= MAKE_64BIT_MASK(0, extract64(c[1], 0, 5) + 1);
        sids.first &= ~MAKE_64BIT_MASK(0, extract64(c[1], 0, 5) + 1);
        cfgi_ste(v, &sids, false);
        break;
    case SMMU_CMD_CFGI_CD:
        sids.one = true;
        sids.ssid = extract64(c[0], 12, 20);
        cfgi_cd(v, &sids, c[1] & 1);
        break;
    case SMMU_CMD_CFGI_CD_ALL:
        cfgi_cd(v, &sids, false);
        break;
    case SMMU_CMD_TLBI_NSNH_ALL:
        inv.any_vmid = true;
        inv.stages = 2 | 4;
        inv.any_asid = true;
        inv_run(v, &inv, false);
        break;
    case SMMU_CMD_TLBI_S12_VMALL:
        inv.stages = 2 | 4;
        inv.any_asid = true;
        inv_run(v, &inv, false);
        break;
    case SMMU_CMD_TLBI_NH_ALL:
        inv.stages = 2;
        inv.any_asid = true;
        inv_run(v, &inv, false);
        break;
    case SMMU_CMD_TLBI_NH_ASID:
        inv.stages = 2;
        inv_run(v, &inv, false);
        break;
    case SMMU_CMD_TLBI_NH_VA:
        inv.stages = 2;
        inv.globals = true;
        return inv_addr(v, &inv, c, c[1] & ~0xfffULL);
    case SMMU_CMD_TLBI_NH_VAA:
        inv.stages = 2;
        inv.any_asid = true;
        return inv_addr(v, &inv, c, c[1] & ~0xfffULL);
    case SMMU_CMD_TLBI_S2_IPA:
        /* Nested entries stay: their tag is an address of stage 1. */
        inv.stages = 4;
        return inv_addr(v, &inv, c, SMMUS_ADDR(c[1]) |
                                    (c[1] & MAKE_64BIT_MASK(48, 4)));
    case SMMU_CMD_ATC_INV:
        atc_inv(v, c);
        break;
    case SMMU_CMD_RESUME:
        resume(v, c);
        break;
    case SMMU_CMD_STALL_TERM:
        terminate_stalls(v, false, c[0] >> 32);
        break;
    default:
        break;
    }
    return SMMU_CERROR_NONE;
}

static SMMUCmdError run_one(SMMUStrict *v)
{
    SMMUv3State *s = v->s;
    SMMUCmdError err = SMMU_CERROR_NONE;
    uint64_t c[2];
    unsigned op;
    bool ignore;

    WITH_RCU_READ_LOCK_GUARD() {
        if (!iommu_read_struct(Q_CONS_ENTRY(&s->cmdq), c, 2)) {
            return SMMU_CERROR_ABT;
        }
    }
    op = c[0] & 0xff;
    if (!is_legal(s, c)) {
        return SMMU_CERROR_ILL;
    }
    ignore = iommu_mon_ignore_smmu(op);
    if (op == SMMU_CMD_SYNC && v->atc_failed) {
        v->atc_failed = false;
        return SMMU_CERROR_ATC_INV_SYNC;
    }
    count_cmd(c);
    if (ignore) {
        return SMMU_CERROR_NONE;
    }
    if (op == SMMU_CMD_ATC_INV) {
        /* It reaches out of the SMMU: not under its mutex. */
        atc_inv(v, c);
        return SMMU_CERROR_NONE;
    }
    WITH_RCU_READ_LOCK_GUARD() {
        QEMU_LOCK_GUARD(&s->mutex);
        err = execute(v, c);
        if (op >= SMMU_CMD_CFGI_STE && op <= SMMU_CMD_TLBI_NSNH_ALL) {
            refill(v);
        }
    }
    if (op == SMMU_CMD_SYNC &&
        extract64(c[0], 12, 2) == CMD_SYNC_SIG_IRQ) {
        smmuv3_trigger_irq(s, SMMU_IRQ_CMD_SYNC, 0);
    }
    return err;
}

static bool queue_has_work(SMMUv3State *s)
{
    return smmuv3_cmdq_enabled(s) && !smmuv3_q_empty(&s->cmdq) &&
           !FIELD_EX32(s->gerror ^ s->gerrorn, GERROR, CMDQ_ERR);
}

static void run_queue(SMMUStrict *v, unsigned max)
{
    SMMUv3State *s = v->s;
    SMMUCmdError err;

    if (v->running) {
        return;
    }
    v->running = true;
    for (; max && queue_has_work(s); max--) {
        err = run_one(v);
        if (err) {
            iommu_mon_count(IOMMU_MON_EV_IQE, IOMMU_MON_ANY, IOMMU_MON_ANY);
            smmu_write_cmdq_err(s, err);
            smmuv3_trigger_irq(s, SMMU_IRQ_GERROR, R_GERROR_CMDQ_ERR_MASK);
            break;
        }
        queue_cons_incr(&s->cmdq);
    }
    v->running = false;
}

/* One command, and then everything else that waits for the main loop */
static void run_queue_bh(void *opaque)
{
    SMMUStrict *v = opaque;

    run_queue(v, 1);
    if (queue_has_work(v->s)) {
        qemu_bh_schedule(v->bh);
    }
}

void smmuv3_strict_run_queue(SMMUv3State *s)
{
    if (s->async_queue) {
        qemu_bh_schedule(s->strict->bh);
    } else {
        run_queue(s->strict, UINT_MAX);
    }
}

void smmuv3_strict_written(SMMUv3State *s, hwaddr offset)
{
    SMMUStrict *v = s->strict;

    s->cmdq.log2size = MIN(s->cmdq.log2size, SMMUS_CMDQS);
    s->eventq.log2size = MIN(s->eventq.log2size, s->eventq_bits);
    QEMU_LOCK_GUARD(&s->mutex);
    switch (offset) {
    case A_CR0:
        if (!smmu_enabled(s)) {
            terminate_stalls(v, true, 0);
        }
        tell_stalls(v);
        break;
    case A_EVENTQ_CONS:
        tell_stalls(v);
        break;
    }
}

/* Power-on */

void smmuv3_strict_reset(SMMUv3State *s)
{
    SMMUStrict *v = s->strict;
    uint32_t *idr = s->idr;

    idr[0] = FIELD_DP32(idr[0], IDR0, S1P, s->stage1);
    idr[0] = FIELD_DP32(idr[0], IDR0, STALL_MODEL, s->stall_model ? 0 : 1);
    idr[0] = FIELD_DP32(idr[0], IDR0, CD2L, s->ssid_bits ? 1 : 0);
    idr[0] = FIELD_DP32(idr[0], IDR0, ATS, s->ats);
    idr[1] = FIELD_DP32(idr[1], IDR1, SSIDSIZE, s->ssid_bits);
    idr[1] = FIELD_DP32(idr[1], IDR1, CMDQS, SMMUS_CMDQS);
    idr[1] = FIELD_DP32(idr[1], IDR1, EVENTQS, s->eventq_bits);
    idr[3] = FIELD_DP32(idr[3], IDR3, FWB, s->fwb);
    idr[5] = FIELD_DP32(idr[5], IDR5, GRAN16K, 0);
    idr[5] = FIELD_DP32(idr[5], IDR5, GRAN64K, 0);
    idr[5] = FIELD_DP32(idr[5], IDR5, STALL_MAX,
                        s->stall_model ? s->stall_max : 0);
    s->cmdq.base = deposit64(s->cmdq.base, 0, 5, SMMUS_CMDQS);
    s->eventq.base = deposit64(s->eventq.base, 0, 5, s->eventq_bits);

    g_hash_table_remove_all(v->l1ste);
    g_hash_table_remove_all(v->ste);
    g_hash_table_remove_all(v->l1cd);
    g_hash_table_remove_all(v->cd);
    g_hash_table_remove_all(v->tlb);
    g_hash_table_remove_all(v->psc);
    memset(&v->recent, 0, sizeof(v->recent));
    terminate_stalls(v, true, 0);
    v->next_stag = 0;
    v->atc_failed = false;
    qemu_bh_cancel(v->bh);
    iommu_mon_set_modes((s->strict_caches ? IOMMU_MON_MODE_STRICT : 0) |
                        IOMMU_MON_MODE_NESTING |
                        (s->ats ? IOMMU_MON_MODE_ATS : 0));
}

static GHashTable *new_map(void)
{
    return g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
}

bool smmuv3_strict_realize(SMMUv3State *s, Error **errp)
{
    SMMUStrict *v;
    PCIBus *bus = s->smmu_state.primary_bus;

    if (!s->stage || strcmp(s->stage, "nested")) {
        error_setg(errp, "x-nesting needs stage=nested");
        return false;
    }
    if (s->ssid_bits > 20 || s->eventq_bits < 1 ||
        s->eventq_bits > SMMU_EVENTQS || s->stall_max < 1) {
        error_setg(errp, "x-ssid-bits is 0 to 20, x-eventq-bits 1 to %d, "
                   "x-stall-max at least 1", SMMU_EVENTQS);
        return false;
    }
    if (!s->strict_caches) {
        s->strict_refill = false;
    }
    if (!s->stage1) {
        s->ssid_bits = 0;
    }
    v = g_new0(SMMUStrict, 1);
    v->s = s;
    v->bus = bus;
    v->l1ste = new_map();
    v->ste = new_map();
    v->l1cd = new_map();
    v->cd = new_map();
    v->tlb = g_hash_table_new_full(key_hash, key_equal, g_free, g_free);
    v->psc = g_hash_table_new_full(key_hash, key_equal, g_free, g_free);
    QTAILQ_INIT(&v->stalls);
    QTAILQ_INIT(&v->crowd);
    QTAILQ_INIT(&v->answered);
    v->bh = qemu_bh_new_guarded(run_queue_bh, v,
                                &DEVICE(s)->mem_reentrancy_guard);
    v->answer_bh = qemu_bh_new_guarded(answer_bh, v,
                                       &DEVICE(s)->mem_reentrancy_guard);
    v->answer_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, answer_bh, v);
    s->strict = v;
    /* The address spaces stay as they are; translation by request is new. */
    v->ops = *bus->iommu_ops;
    v->ops.translate = smmuv3_strict_translate;
    pci_setup_iommu(bus, &v->ops, &s->smmu_state);
    error_setg(&v->migration_blocker,
               "arm-smmuv3 with x-nesting=on cannot be migrated");
    return migrate_add_blocker(&v->migration_blocker, errp) == 0;
}

/* Device tree */

static void fdt_device(PCIBus *bus, PCIDevice *dev, void *opaque)
{
    void **ctx = opaque;
    void *fdt = ctx[0];
    const char *parent = ctx[1];
    g_autofree char *node = NULL;
    bool stalls = object_property_find(OBJECT(dev), "x-can-stall") &&
                  object_property_get_bool(OBJECT(dev), "x-can-stall", NULL);

    if (!stalls && !IS_PCI_BRIDGE(dev)) {
        return;
    }
    node = g_strdup_printf("%s/%s@%x", parent,
                           IS_PCI_BRIDGE(dev) ? "pcie" : "dma",
                           PCI_SLOT(dev->devfn));
    qemu_fdt_add_subnode(fdt, node);
    /* The bus number is not known yet, and nobody looks at it. */
    qemu_fdt_setprop_cells(fdt, node, "reg", dev->devfn << 8, 0, 0, 0, 0);
    if (stalls) {
        qemu_fdt_setprop(fdt, node, "dma-can-stall", NULL, 0);
    }
    if (IS_PCI_BRIDGE(dev)) {
        void *below[2] = { fdt, node };

        qemu_fdt_setprop_string(fdt, node, "device_type", "pci");
        qemu_fdt_setprop_cell(fdt, node, "#address-cells", 3);
        qemu_fdt_setprop_cell(fdt, node, "#size-cells", 2);
        qemu_fdt_setprop(fdt, node, "ranges", NULL, 0);
        pci_for_each_device_under_bus(pci_bridge_get_sec_bus(
                                          PCI_BRIDGE(dev)),
                                      fdt_device, below);
    }
}

void smmuv3_strict_fdt(void *fdt, const char *node, PCIBus *bus)
{
    Object *obj = object_resolve_path_type("", TYPE_ARM_SMMUV3, NULL);
    void *ctx[2] = { fdt, (void *)node };

    if (!obj || !ARM_SMMUV3(obj)->nesting) {
        return;
    }
    if (ARM_SMMUV3(obj)->ats) {
        qemu_fdt_setprop(fdt, node, "ats-supported", NULL, 0);
    }
    pci_for_each_device_under_bus(bus, fdt_device, ctx);
}
