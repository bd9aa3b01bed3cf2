/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Faults of a device's DMA, and who consumes them
 *
 * See Documentation/driver-api/iommu-nesting.rst.
 */
#ifndef __LINUX_IOMMU_FAULT_H
#define __LINUX_IOMMU_FAULT_H

#include <linux/errno.h>
#include <linux/iommu.h>
#include <linux/types.h>

/**
 * enum iommu_dma_fault_reason - Why an access was refused
 * @IOMMU_DMA_FAULT_UNKNOWN: only the hardware's code tells
 * @IOMMU_DMA_FAULT_PASID_FETCH: the description of the PASID cannot be read
 * @IOMMU_DMA_FAULT_BAD_PASID: it is malformed
 * @IOMMU_DMA_FAULT_NO_PASID: it is not present, or the PASID is too large
 * @IOMMU_DMA_FAULT_WALK: an entry of a table cannot be read
 * @IOMMU_DMA_FAULT_BAD_PTE: an entry of a table is malformed
 * @IOMMU_DMA_FAULT_TRANSLATION: nothing is mapped there
 * @IOMMU_DMA_FAULT_PERMISSION: what is mapped does not allow it
 * @IOMMU_DMA_FAULT_ACCESS: a flag in the entry (accessed, dirty) forbids it
 * @IOMMU_DMA_FAULT_OOR: an address is beyond what can be translated
 */
enum iommu_dma_fault_reason {
	IOMMU_DMA_FAULT_UNKNOWN,
	IOMMU_DMA_FAULT_PASID_FETCH,
	IOMMU_DMA_FAULT_BAD_PASID,
	IOMMU_DMA_FAULT_NO_PASID,
	IOMMU_DMA_FAULT_WALK,
	IOMMU_DMA_FAULT_BAD_PTE,
	IOMMU_DMA_FAULT_TRANSLATION,
	IOMMU_DMA_FAULT_PERMISSION,
	IOMMU_DMA_FAULT_ACCESS,
	IOMMU_DMA_FAULT_OOR,
};

#define IOMMU_DMA_FAULT_F_PASID		BIT(0)	/* @pasid is valid */
#define IOMMU_DMA_FAULT_F_ADDR		BIT(1)	/* @addr is valid */
#define IOMMU_DMA_FAULT_F_MUTED		BIT(2)	/* the last one for a while */
#define IOMMU_DMA_FAULT_F_MUTED_ALL	BIT(4)	/* with MUTED: of the device */

/**
 * struct iommu_dma_fault - An access that the IOMMU refused for good
 * @flags: IOMMU_DMA_FAULT_F_*; MUTED: the IOMMU reports no more faults of this
 *	   PASID until its domain is replaced or attached again, and perhaps
 *	   none of PASIDs beside it that nothing is attached to.  MUTED_ALL:
 *	   none of the device, until a domain is attached to any
 * @reason: enum iommu_dma_fault_reason
 * @hw_reason: the hardware's code
 * @stage: 1 or 2, the stage that refused; 0: neither, or it cannot be told
 * @perm: IOMMU_FAULT_PERM_* that was asked for
 * @pasid: of the request
 * @addr: that the device used, or of its page
 */
struct iommu_dma_fault {
	u32	flags;
	u32	reason;
	u32	hw_reason;
	u32	stage;
	u32	perm;
	u32	pasid;
	u64	addr;
};

/**
 * struct iommu_page_answer - What a device hears of a group of page requests
 * @flags: IOMMU_FAULT_PAGE_REQUEST_* of the last request
 * @resp: the answer; with PASID if @flags says so
 */
struct iommu_page_answer {
	u32				flags;
	struct iommu_page_response	resp;
};

/**
 * struct iommu_fault_response - What a consumer answers
 * @cookie: that names the group
 * @pasid: of the group; IOMMU_NO_PASID if it has none
 * @grpid: its index
 * @code: SUCCESS or INVALID of enum iommu_page_response_code
 * @reserved: 0
 */
struct iommu_fault_response {
	u64	cookie;
	u32	pasid;
	u32	grpid;
	u32	code;
	u32	reserved;
};

/**
 * struct iommu_fault_consumer_ops - What a consumer does with faults
 * @dma_fault: an access was refused.  False: it was dropped.
 * @page_request: the device asks for the @nr pages of a group, a list of
 *		  struct iopf_fault that is there during the call, and waits
 *		  for iommu_fault_respond() with @cookie.  False: it was
 *		  dropped and is answered by the caller.
 * @dropped: a page request of so many pages was dropped by the caller
 * @lost: the IOMMU lost faults, nobody knows how many and whose
 * @reset: the device is being reset: what it asked for before it forgot
 *
 * Context: one at a time, under a spinlock: they must not sleep.  No call
 * begins after iommu_fault_consumer_del().
 */
struct iommu_fault_consumer_ops {
	bool (*dma_fault)(void *priv, const struct iommu_dma_fault *fault);
	bool (*page_request)(void *priv, u64 cookie,
			     const struct list_head *faults, unsigned int nr);
	void (*dropped)(void *priv, unsigned int nr);
	void (*lost)(void *priv);
	void (*reset)(void *priv);
};

/**
 * struct iommu_fault_counts - What became of the faults of a device
 * @faults: accesses that were refused and given to the consumer
 * @requests: page requests that were given to it
 * @dropped: either, that it had no room for or did not want
 * @lost: how often the IOMMU lost faults, of this device or of others
 * @muted: how often it was told to report no more, of a PASID or the device
 * @resets: of the device
 * @waiting: groups of page requests that the consumer has not answered
 *
 * From the start of this consumer on.
 */
struct iommu_fault_counts {
	u64		faults;
	u64		requests;
	u64		dropped;
	u64		lost;
	u64		muted;
	u64		resets;
	unsigned int	waiting;
};

struct iommu_fault_consumer;

#if IS_ENABLED(CONFIG_IOMMU_NESTING)
/* For those who own the DMA of a device */
struct iommu_fault_consumer *
iommu_fault_consumer_add(struct device *dev,
			 const struct iommu_fault_consumer_ops *ops,
			 void *priv);
int iommu_fault_consumer_page_requests(struct iommu_fault_consumer *consumer,
				       bool on);
void iommu_fault_consumer_del(struct iommu_fault_consumer *consumer);
unsigned int iommu_fault_respond(struct iommu_fault_consumer *consumer,
				 const struct iommu_fault_response *responses,
				 unsigned int nr, int *err);
void iommu_fault_drain(struct iommu_fault_consumer *consumer);
bool iommu_fault_get_counts(struct device *dev,
			    struct iommu_fault_counts *counts);

/* For IOMMU drivers */
int iommu_report_dma_fault(struct device *dev,
			   const struct iommu_dma_fault *fault);
void iommu_report_fault_loss(struct device *dev);
#else
static inline int iommu_report_dma_fault(struct device *dev,
					 const struct iommu_dma_fault *fault)
{
	return -ENODEV;
}

static inline void iommu_report_fault_loss(struct device *dev)
{
}
#endif

#endif /* __LINUX_IOMMU_FAULT_H */
