/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __INTEL_FAULT_H
#define __INTEL_FAULT_H

#include <linux/types.h>

struct device;
struct device_domain_info;
struct intel_iommu;
struct iommu_dma_fault;
struct iommu_page_answer;
struct iommu_page_response;
struct qi_desc;

/* Records that one interrupt reads, and that are reported at once */
#define INTEL_FAULT_BATCH	32

/*
 * Descriptors that users may have submitted at once.  Half the queue: the
 * flushes of other CPUs find room beside it.
 */
#define INTEL_QI_BATCH		(QI_LENGTH / 2 - 2)

/* A fault recording register, 11.4.14 */
struct intel_fault_record {
	u64	addr;		/* bits 63:12 */
	u32	lo;		/* of the upper half */
	u32	hi;
};

/**
 * struct intel_fault - Faults between the interrupt and its thread
 * @rec: the interrupt fills one of the two, the thread reports the other
 * @nr: records in that of the interrupt
 * @fill: which one that is
 * @next: the register to go on with, if @more
 * @more: not all registers were read
 * @lost: the hardware lost faults
 * @status: of the fault status register when the records were read
 *
 * Protected by intel_iommu.register_lock, but for the records of the thread,
 * which are its own under intel_iommu.iopf_lock.
 */
struct intel_fault {
	struct intel_fault_record rec[2][INTEL_FAULT_BATCH];
	unsigned int	nr;
	unsigned int	fill;
	unsigned int	next;
	bool		more;
	bool		lost;
	u32		status;
};

/**
 * struct intel_fault_rate - How many faults a device raises
 * @start: when the counting began, in jiffies
 * @nr: faults since then
 * @mutes: PASIDs that were muted since then
 * @muted_all: FPD is set in the context entry
 */
struct intel_fault_rate {
	unsigned long	start;
	unsigned int	nr;
	unsigned int	mutes;
	bool		muted_all;
};

void dmar_fault_do_one(struct intel_iommu *iommu, int type, u8 fault_reason,
		       u32 pasid, u16 source_id, unsigned long long addr);

void intel_fault_drain(struct intel_iommu *iommu);
void intel_fault_unmute(struct device_domain_info *info);
void intel_iommu_faults_wanted(struct device *dev);
void intel_page_response_desc(const struct device_domain_info *info, u32 flags,
			      const struct iommu_page_response *resp,
			      struct qi_desc *desc);
void intel_iommu_page_responses(struct device *dev,
				const struct iommu_page_answer *answers,
				unsigned int nr);

#if IS_ENABLED(CONFIG_KUNIT)
bool intel_fault_meaning(struct iommu_dma_fault *fault);
u32 intel_fault_perm(const struct intel_fault_record *rec);
bool intel_fault_has_entry(u8 code);
#endif

#endif /* __INTEL_FAULT_H */
