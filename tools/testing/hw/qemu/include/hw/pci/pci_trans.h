/*
 * DMA translation with attributes, and the device side of ATS
 *
 * An AddressSpace cannot carry a PASID, cannot tell a translation request
 * from an access, and cannot wait.  A device that needs any of these asks for
 * each translation with a PCITransReq; the IOMMU model answers through
 * PCITransReq.done, at once or, for a stalled access, later.
 *
 * All functions are called with the BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_PCI_PCI_TRANS_H
#define HW_PCI_PCI_TRANS_H

#include "hw/pci/pci.h"

#define PCI_TRANS_NO_PASID      UINT32_MAX

/* PCITransReq.flags */
#define PCI_TRANS_READ          (1u << 0)
#define PCI_TRANS_WRITE         (1u << 1)
#define PCI_TRANS_EXEC          (1u << 2)
#define PCI_TRANS_PRIV          (1u << 3)
/*
 * A translation request (ATS).  Never stalls, never raises a primary fault
 * for a condition that a page request can repair.
 */
#define PCI_TRANS_ATS           (1u << 4)
/* An access with AT = translated: @iova is what an ATS answer returned. */
#define PCI_TRANS_TRANSLATED    (1u << 5)
/* The device can wait: a fault may stall the access until it is repaired. */
#define PCI_TRANS_CAN_STALL     (1u << 6)

typedef enum PCITransStatus {
    PCI_TRANS_OK,       /* an access may go on; an ATS answer has @perm */
    PCI_TRANS_FAULT,    /* refused: unsupported request or completer abort */
} PCITransStatus;

typedef struct PCITransReq PCITransReq;

struct PCITransReq {
    /* Set by the device */
    PCIDevice *dev;
    uint32_t pasid;             /* or PCI_TRANS_NO_PASID */
    uint32_t flags;
    hwaddr iova;
    void (*done)(PCITransReq *req);

    /* Set by the IOMMU model before it calls @done */
    PCITransStatus status;
    AddressSpace *as;           /* where @addr is valid */
    hwaddr addr;                /* of @iova itself, not of its page */
    hwaddr mask;                /* size of the translated block, minus 1 */
    uint32_t perm;              /* READ | WRITE | EXEC | PRIV; 0: no mapping */
    bool global;                /* ATS: valid for every PASID */

    /* While the request waits */
    QTAILQ_ENTRY(PCITransReq) next;
    /* Set by the IOMMU model that keeps it: forget it, and do not call @done */
    void (*cancel)(PCITransReq *req);
    void *cancel_opaque;
};

/**
 * pci_trans_submit: translate one access, which must not cross a page
 *
 * @req->done is called exactly once, perhaps before this returns.  Without an
 * IOMMU the answer is identity.
 */
void pci_trans_submit(PCITransReq *req);

/**
 * pci_trans_cancel: forget a stalled request; its @done is not called
 *
 * For a function that is reset or removed.  No effect on a request that is
 * not stalled.
 */
void pci_trans_cancel(PCITransReq *req);

/* Answers to a page request group: PCIe 6.0, 10.4.2.2 */
#define PCI_PAGE_RESP_SUCCESS   0x0
#define PCI_PAGE_RESP_INVALID   0x1
#define PCI_PAGE_RESP_FAILURE   0xf
#define PCI_PAGE_NR_GROUPS      512     /* the index has nine bits */

/* A page request message.  Neither READ nor WRITE, and last: stop marker */
typedef struct PCIPageReq {
    uint32_t pasid;             /* or PCI_TRANS_NO_PASID */
    uint32_t flags;             /* PCI_TRANS_READ ... PRIV */
    uint16_t prgi;              /* index of the group */
    bool last;                  /* request of the group */
    hwaddr addr;                /* page aligned */
} PCIPageReq;

/**
 * pci_trans_page_request: send a page request message
 *
 * The answer to a group comes by PCIATSOps.page_response, perhaps before this
 * returns, perhaps never.  Without an IOMMU that takes page requests the
 * message is lost.
 */
void pci_trans_page_request(PCIDevice *dev, const PCIPageReq *req);

/* The device side of ATS and PRI, called by the IOMMU model */
typedef struct PCIATSOps {
    /*
     * Drop what covers [addr, addr + size) of @pasid (or of requests without
     * PASID; @global: of every PASID) and everything in flight that used it.
     * size is UINT64_MAX with addr 0 for "all".  Synchronous.
     */
    void (*invalidate)(PCIDevice *dev, uint32_t pasid, bool global,
                       hwaddr addr, uint64_t size);
    /* A page request group response message arrives; PCI_PAGE_RESP_* */
    void (*page_response)(PCIDevice *dev, uint32_t pasid, uint16_t prgi,
                          unsigned code);
} PCIATSOps;

/* Not in D0 it sends no request and no message: PCIe 6.0, 5.3.1 */
bool pci_trans_awake(PCIDevice *dev);

typedef enum PCITransInv {
    PCI_TRANS_INV_OK,
    PCI_TRANS_INV_ATS_OFF,      /* a reset does that as well */
    PCI_TRANS_INV_TIMEOUT,      /* not there, asleep, or the monitor says so */
} PCITransInv;

/**
 * pci_trans_invalidate: send an invalidation request
 *
 * @bus is the root bus.
 */
PCITransInv pci_trans_invalidate(PCIBus *bus, uint16_t sid, uint32_t pasid,
                                 bool global, hwaddr addr, uint64_t size);

/* @ops NULL: the device has no device TLB any more. */
void pci_trans_set_ats_ops(PCIDevice *dev, const PCIATSOps *ops);
const PCIATSOps *pci_trans_get_ats_ops(PCIDevice *dev);

#endif
