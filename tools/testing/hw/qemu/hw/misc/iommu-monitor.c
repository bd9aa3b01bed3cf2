/*
 * iommu-monitor: shows what the IOMMU models did, and makes them misbehave
 *
 * One function that no guest ever assigns, so that a test can look at the
 * hardware from outside of what it tests.  The models call the functions of
 * hw/misc/iommu-monitor.h; without a monitor those do nothing.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "qapi/error.h"
#include "hw/pci/pci_device.h"
#include "hw/pci/pci_bridge.h"
#include "hw/pci/pcie.h"
#include "hw/pci/pcie_port.h"
#include "hw/misc/iommu-monitor.h"
#include "migration/vmstate.h"
#include "system/cpu-timers.h"
#include "qom/object.h"

#define TYPE_IOMMU_MONITOR "iommu-monitor"
OBJECT_DECLARE_SIMPLE_TYPE(IOMMUMonState, IOMMU_MONITOR)

/* A page of its own, whatever the guest's page size */
#define IMON_BAR_SIZE (64 * KiB)

typedef struct IOMMUMonKey {
    uint32_t event;
    uint32_t sid;
    uint32_t pasid;
} IOMMUMonKey;

typedef struct IOMMUMonCount {
    IOMMUMonKey key;
    uint64_t n;
} IOMMUMonCount;

typedef struct IOMMUMonRelease {
    void (*cb)(void *opaque);
    void *opaque;
    QTAILQ_ENTRY(IOMMUMonRelease) next;
} IOMMUMonRelease;

struct IOMMUMonState {
    PCIDevice parent_obj;

    MemoryRegion bar;
    GHashTable *counts;

    uint32_t sel_event;
    uint32_t sel_sid;
    uint32_t sel_pasid;
    uint64_t ignore_vtd;
    uint64_t ignore_smmu[4];        /* a bit for each of 256 opcodes */
    uint32_t ignore_smmu_idx;
    uint32_t inv_timeout;
    uint32_t dma_hold;
    uint32_t prq_hold;
    uint32_t prq_depth;
    uint32_t vcmd;
    uint32_t unplugged;
};

/*
 * The models and devices may exist before the monitor does, so what they
 * register is kept apart from it.
 */
static IOMMUMonState *the_monitor;
static uint64_t the_modes;
static uint32_t fault_room = UINT32_MAX;
static bool fault_idle = true;
static QTAILQ_HEAD(, IOMMUMonRelease) release_cbs =
    QTAILQ_HEAD_INITIALIZER(release_cbs);

static guint imon_key_hash(gconstpointer v)
{
    const IOMMUMonKey *k = v;

    return k->event * 0x9e3779b1u ^ k->sid * 0x85ebca6bu ^
           k->pasid * 0xc2b2ae35u;
}

static gboolean imon_key_equal(gconstpointer a, gconstpointer b)
{
    return !memcmp(a, b, sizeof(IOMMUMonKey));
}

void iommu_mon_count(uint32_t event, uint32_t sid, uint32_t pasid)
{
    IOMMUMonKey key = { .event = event, .sid = sid, .pasid = pasid };
    IOMMUMonCount *c;

    if (!the_monitor) {
        return;
    }
    c = g_hash_table_lookup(the_monitor->counts, &key);
    if (!c) {
        c = g_new0(IOMMUMonCount, 1);
        c->key = key;
        g_hash_table_insert(the_monitor->counts, &c->key, c);
    }
    c->n++;
}

bool iommu_mon_ignore_vtd(uint32_t type)
{
    return the_monitor && type < 64 && (the_monitor->ignore_vtd >> type & 1);
}

bool iommu_mon_ignore_smmu(uint32_t opcode)
{
    return the_monitor && opcode < 256 &&
           (the_monitor->ignore_smmu[opcode / 64] >> (opcode % 64) & 1);
}

bool iommu_mon_inv_timeout(uint32_t sid)
{
    IOMMUMonState *s = the_monitor;

    if (!s || !(s->inv_timeout & IMON_INV_TIMEOUT_ARMED) ||
        (s->inv_timeout & 0xffff) != sid) {
        return false;
    }
    if (!(s->inv_timeout & IMON_INV_TIMEOUT_STICKY)) {
        s->inv_timeout = 0;
    }
    return true;
}

bool iommu_mon_dma_held(void)
{
    return the_monitor && the_monitor->dma_hold;
}

bool iommu_mon_prq_held(void)
{
    return the_monitor && the_monitor->prq_hold;
}

uint32_t iommu_mon_prq_depth(void)
{
    return the_monitor ? the_monitor->prq_depth : 0;
}

uint32_t iommu_mon_vcmd(void)
{
    return the_monitor ? the_monitor->vcmd : IMON_VCMD_OK;
}

void iommu_mon_add_release_cb(void (*cb)(void *opaque), void *opaque)
{
    IOMMUMonRelease *r = g_new0(IOMMUMonRelease, 1);

    r->cb = cb;
    r->opaque = opaque;
    QTAILQ_INSERT_TAIL(&release_cbs, r, next);
}

void iommu_mon_del_release_cb(void (*cb)(void *opaque), void *opaque)
{
    IOMMUMonRelease *r;

    QTAILQ_FOREACH(r, &release_cbs, next) {
        if (r->cb == cb && r->opaque == opaque) {
            QTAILQ_REMOVE(&release_cbs, r, next);
            g_free(r);
            return;
        }
    }
}

void iommu_mon_set_modes(uint64_t modes)
{
    the_modes = modes & ~IOMMU_MON_MODE_ICOUNT;
}

static void imon_release(void)
{
    IOMMUMonRelease *r, *tmp;

    QTAILQ_FOREACH_SAFE(r, &release_cbs, next, tmp) {
        r->cb(r->opaque);
    }
}

void iommu_mon_set_fault_room(uint32_t room, bool idle)
{
    bool more = room > fault_room || (idle && !fault_idle);

    fault_room = room;
    fault_idle = idle;
    if (more) {
        imon_release();
    }
}

uint32_t iommu_mon_fault_room(void)
{
    return fault_room;
}

bool iommu_mon_fault_idle(void)
{
    return fault_idle;
}

static void imon_set_hold(uint32_t *what, bool hold)
{
    bool release = *what && !hold;

    *what = hold;
    if (release) {
        imon_release();
    }
}

static bool imon_match(uint32_t sel, uint32_t tag)
{
    return sel == IMON_SEL_ANY || sel == tag ||
           (sel == IMON_SEL_NONE && tag == IOMMU_MON_ANY);
}

static uint64_t imon_sum(IOMMUMonState *s)
{
    GHashTableIter iter;
    gpointer v;
    uint64_t sum = 0;

    g_hash_table_iter_init(&iter, s->counts);
    while (g_hash_table_iter_next(&iter, NULL, &v)) {
        IOMMUMonCount *c = v;

        if (imon_match(s->sel_event, c->key.event) &&
            imon_match(s->sel_sid, c->key.sid) &&
            imon_match(s->sel_pasid, c->key.pasid)) {
            sum += c->n;
        }
    }
    return sum;
}

/*
 * What a hand that pulls the card out does: all functions of the slot are
 * gone at once and the port tells presence and link down.
 */
static bool imon_unplug(IOMMUMonState *s, uint32_t sid)
{
    PCIBus *root = pci_device_root_bus(PCI_DEVICE(s));
    PCIDevice *dev, *port;

    if (sid > UINT16_MAX) {
        return false;
    }
    dev = pci_find_device(root, PCI_BUS_NUM(sid), sid & 0xff);
    if (!dev || pci_bus_is_root(pci_get_bus(dev))) {
        return false;
    }
    port = pci_bridge_get_device(pci_get_bus(dev));
    /* Not where ACPI does the hotplug: the guest would never hear of it */
    if (!object_dynamic_cast(OBJECT(port), TYPE_PCIE_SLOT) ||
        !(pci_get_long(port->config + port->exp.exp_cap + PCI_EXP_SLTCAP) &
          PCI_EXP_SLTCAP_HPC)) {
        return false;
    }
    pcie_cap_slot_surprise_removal(port);
    return true;
}

/* The registers as 64-bit words: the lower address is the lower half */
static uint64_t imon_read64(IOMMUMonState *s, hwaddr reg)
{
    switch (reg) {
    case IMON_ID:
        return IMON_ID_VALUE;
    case IMON_MODES:
        return the_modes | (icount_enabled() ? IOMMU_MON_MODE_ICOUNT : 0);
    case IMON_ICOUNT:
        return icount_enabled() ? icount_get_raw() : 0;
    case IMON_ICOUNT_VALID:
        return !!icount_enabled();
    case IMON_SEL_EVENT:
        return s->sel_event | (uint64_t)s->sel_sid << 32;
    case IMON_SEL_PASID:
        return s->sel_pasid;
    case IMON_COUNT:
        return imon_sum(s);
    case IMON_IGNORE_VTD:
        return s->ignore_vtd;
    case IMON_IGNORE_SMMU:
        return s->ignore_smmu_idx;
    case IMON_IGNORE_SMMU_ON:
        return iommu_mon_ignore_smmu(s->ignore_smmu_idx) |
               (uint64_t)s->inv_timeout << 32;
    case IMON_DMA_HOLD:
        return s->dma_hold | (uint64_t)s->unplugged << 32;
    case IMON_PRQ_HOLD:
        return s->prq_hold | (uint64_t)s->prq_depth << 32;
    case IMON_VCMD:
        return s->vcmd;
    default:
        return 0;
    }
}

static uint64_t imon_read(void *opaque, hwaddr addr, unsigned size)
{
    uint64_t val = imon_read64(opaque, addr & ~7ull);

    return size == 8 ? val : (uint32_t)(val >> (addr & 4) * 8);
}

static void imon_write32(IOMMUMonState *s, hwaddr addr, uint32_t val)
{
    switch (addr) {
    case IMON_SEL_EVENT:
        s->sel_event = val;
        break;
    case IMON_SEL_SID:
        s->sel_sid = val;
        break;
    case IMON_SEL_PASID:
        s->sel_pasid = val;
        break;
    case IMON_CLEAR:
        g_hash_table_remove_all(s->counts);
        break;
    case IMON_IGNORE_VTD:
        s->ignore_vtd = deposit64(s->ignore_vtd, 0, 32, val);
        break;
    case IMON_IGNORE_VTD + 4:
        s->ignore_vtd = deposit64(s->ignore_vtd, 32, 32, val);
        break;
    case IMON_IGNORE_SMMU:
        s->ignore_smmu_idx = val & 0xff;
        break;
    case IMON_IGNORE_SMMU_ON: {
        uint64_t *word = &s->ignore_smmu[s->ignore_smmu_idx / 64];

        *word = deposit64(*word, s->ignore_smmu_idx % 64, 1, !!val);
        break;
    }
    case IMON_INV_TIMEOUT:
        s->inv_timeout = val;
        break;
    case IMON_DMA_HOLD:
        imon_set_hold(&s->dma_hold, val & 1);
        break;
    case IMON_PRQ_HOLD:
        imon_set_hold(&s->prq_hold, val & 1);
        break;
    case IMON_PRQ_DEPTH:
        s->prq_depth = val;
        break;
    case IMON_VCMD:
        s->vcmd = val;
        imon_release();
        break;
    case IMON_UNPLUG:
        s->unplugged = imon_unplug(s, val);
        break;
    default:
        break;
    }
}

static void imon_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    imon_write32(opaque, addr, val);
    if (size == 8) {
        imon_write32(opaque, addr + 4, val >> 32);
    }
}

static const MemoryRegionOps imon_ops = {
    .read = imon_read,
    .write = imon_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 8 },
    .impl = { .min_access_size = 4, .max_access_size = 8 },
};

static void imon_reset(DeviceState *dev)
{
    IOMMUMonState *s = IOMMU_MONITOR(dev);

    g_hash_table_remove_all(s->counts);
    s->sel_event = 0;
    s->sel_sid = IMON_SEL_ANY;
    s->sel_pasid = IMON_SEL_ANY;
    s->ignore_vtd = 0;
    memset(s->ignore_smmu, 0, sizeof(s->ignore_smmu));
    s->ignore_smmu_idx = 0;
    s->inv_timeout = 0;
    s->unplugged = 0;
    s->prq_depth = 0;
    s->vcmd = IMON_VCMD_OK;
    imon_set_hold(&s->dma_hold, false);
    imon_set_hold(&s->prq_hold, false);
}

static void imon_realize(PCIDevice *pdev, Error **errp)
{
    IOMMUMonState *s = IOMMU_MONITOR(pdev);

    if (the_monitor) {
        error_setg(errp, "there can be only one " TYPE_IOMMU_MONITOR);
        return;
    }
    /* The key is the start of the value */
    s->counts = g_hash_table_new_full(imon_key_hash, imon_key_equal, NULL,
                                      g_free);
    memory_region_init_io(&s->bar, OBJECT(s), &imon_ops, s,
                          TYPE_IOMMU_MONITOR, IMON_BAR_SIZE);
    pci_register_bar(pdev, 0, PCI_BASE_ADDRESS_SPACE_MEMORY, &s->bar);
    the_monitor = s;
}

static void imon_exit(PCIDevice *pdev)
{
    IOMMUMonState *s = IOMMU_MONITOR(pdev);

    imon_set_hold(&s->dma_hold, false);
    imon_set_hold(&s->prq_hold, false);
    the_monitor = NULL;
    g_hash_table_destroy(s->counts);
}

/* The models whose state it shows do not migrate either */
static const VMStateDescription imon_vmstate = {
    .name = TYPE_IOMMU_MONITOR,
    .unmigratable = 1,
};

static void imon_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *k = PCI_DEVICE_CLASS(klass);

    k->realize = imon_realize;
    k->exit = imon_exit;
    k->vendor_id = IMON_VENDOR_ID;
    k->device_id = IMON_DEVICE_ID;
    k->class_id = PCI_CLASS_OTHERS;
    dc->desc = "Counters and knobs of the IOMMU models";
    dc->vmsd = &imon_vmstate;
    dc->hotpluggable = false;
    device_class_set_legacy_reset(dc, imon_reset);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
}

static const TypeInfo imon_info = {
    .name = TYPE_IOMMU_MONITOR,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(IOMMUMonState),
    .class_init = imon_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_CONVENTIONAL_PCI_DEVICE },
        { },
    },
};

static void imon_register_types(void)
{
    type_register_static(&imon_info);
}

type_init(imon_register_types)
