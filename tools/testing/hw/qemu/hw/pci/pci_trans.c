/*
 * DMA translation with attributes, and the device side of ATS
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "block/aio.h"
#include "exec/address-spaces.h"
#include "hw/misc/iommu-monitor.h"
#include "hw/pci/pci_device.h"
#include "hw/pci/pcie.h"
#include "hw/pci/pci_trans.h"

#define PCI_TRANS_PAGE_MASK     0xfffULL

/* Requests that wait until the monitor releases DMA */
static QTAILQ_HEAD(, PCITransReq) stalled = QTAILQ_HEAD_INITIALIZER(stalled);
static bool release_cb_added;

/* PCIDevice * -> const PCIATSOps * */
static GHashTable *ats_ops;

/* No IOMMU, or one that knows nothing of this interface */
static void pci_trans_plain(PCITransReq *req)
{
    AddressSpace *as = pci_device_iommu_address_space(req->dev);
    bool iommu = as != &address_space_memory;

    if (iommu && (req->pasid != PCI_TRANS_NO_PASID ||
                  (req->flags & (PCI_TRANS_ATS | PCI_TRANS_TRANSLATED)))) {
        req->status = PCI_TRANS_FAULT;
        req->perm = 0;
        return;
    }
    req->status = PCI_TRANS_OK;
    req->as = as;
    req->addr = req->iova;
    req->mask = PCI_TRANS_PAGE_MASK;
    req->perm = req->flags & (PCI_TRANS_READ | PCI_TRANS_WRITE |
                              PCI_TRANS_EXEC | PCI_TRANS_PRIV);
}

static void pci_trans_run(PCITransReq *req)
{
    if (!pci_device_iommu_translate(req->dev, req)) {
        pci_trans_plain(req);
        req->done(req);
    }
}

/*
 * Runs in a bottom half: a register write that releases DMA has returned
 * before the first access goes on.  DMA may be held again half way.
 */
static void pci_trans_release_bh(void *opaque)
{
    PCITransReq *req;

    while (!iommu_mon_dma_held() && (req = QTAILQ_FIRST(&stalled))) {
        QTAILQ_REMOVE(&stalled, req, next);
        pci_trans_run(req);
    }
}

static void pci_trans_released(void *opaque)
{
    aio_bh_schedule_oneshot(qemu_get_aio_context(), pci_trans_release_bh,
                            NULL);
}

void pci_trans_submit(PCITransReq *req)
{
    assert(bql_locked());
    req->status = PCI_TRANS_FAULT;
    req->as = NULL;
    req->addr = 0;
    req->mask = PCI_TRANS_PAGE_MASK;
    req->perm = 0;
    req->global = false;
    memset(&req->next, 0, sizeof(req->next));
    req->cancel = NULL;

    /* A request does not overtake one that was released before it. */
    if (iommu_mon_dma_held() || !QTAILQ_EMPTY(&stalled)) {
        if (!release_cb_added) {
            release_cb_added = true;
            iommu_mon_add_release_cb(pci_trans_released, NULL);
        }
        QTAILQ_INSERT_TAIL(&stalled, req, next);
        return;
    }
    pci_trans_run(req);
}

void pci_trans_cancel(PCITransReq *req)
{
    if (QTAILQ_IN_USE(req, next)) {
        QTAILQ_REMOVE(&stalled, req, next);
    } else if (req->cancel) {
        req->cancel(req);
    }
}

void pci_trans_page_request(PCIDevice *dev, const PCIPageReq *req)
{
    assert(bql_locked());
    pci_device_iommu_page_request(dev, req);
}

bool pci_trans_awake(PCIDevice *dev)
{
    return !(dev->cap_present & QEMU_PCI_CAP_PM) ||
           !(pci_get_word(dev->config + dev->pm_cap + PCI_PM_CTRL) &
             PCI_PM_CTRL_STATE_MASK);
}

PCITransInv pci_trans_invalidate(PCIBus *bus, uint16_t sid, uint32_t pasid,
                                 bool global, hwaddr addr, uint64_t size)
{
    PCIDevice *dev = pci_find_device(bus, sid >> 8, sid & 0xff);
    const PCIATSOps *ops;
    uint16_t pos;

    if (!dev || !pci_trans_awake(dev) || iommu_mon_inv_timeout(sid)) {
        return PCI_TRANS_INV_TIMEOUT;
    }
    pos = pci_is_express(dev) ?
          pcie_find_capability(dev, PCI_EXT_CAP_ID_ATS) : 0;
    if (!pos || !(pci_get_word(dev->config + pos + PCI_ATS_CTRL) &
                  PCI_ATS_CTRL_ENABLE)) {
        return PCI_TRANS_INV_ATS_OFF;
    }
    ops = pci_trans_get_ats_ops(dev);
    if (ops && ops->invalidate) {
        ops->invalidate(dev, pasid, global, addr, size);
    }
    return PCI_TRANS_INV_OK;
}

void pci_trans_set_ats_ops(PCIDevice *dev, const PCIATSOps *ops)
{
    if (!ats_ops) {
        ats_ops = g_hash_table_new(NULL, NULL);
    }
    if (ops) {
        g_hash_table_insert(ats_ops, dev, (void *)ops);
    } else {
        g_hash_table_remove(ats_ops, dev);
    }
}

const PCIATSOps *pci_trans_get_ats_ops(PCIDevice *dev)
{
    return ats_ops ? g_hash_table_lookup(ats_ops, dev) : NULL;
}
