/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Faults of devices on their way to a consumer
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM iommu_fault

#if !defined(_TRACE_IOMMU_FAULT_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_IOMMU_FAULT_H

#include <linux/iommu-fault.h>
#include <linux/tracepoint.h>

DECLARE_EVENT_CLASS(iommu_dma_fault_class,
		    TP_PROTO(struct device *dev,
			     const struct iommu_dma_fault *fault),
		    TP_ARGS(dev, fault),
		    TP_STRUCT__entry(__string(device, dev_name(dev))
				     __field(u64, addr)
				     __field(u32, flags)
				     __field(u32, pasid)
				     __field(u32, perm)
				     __field(u32, reason)
				     __field(u32, stage)
				     __field(u32, hw_reason)),
		    TP_fast_assign(__assign_str(device);
				   __entry->addr = fault->addr;
				   __entry->flags = fault->flags;
				   __entry->pasid = fault->pasid;
				   __entry->perm = fault->perm;
				   __entry->reason = fault->reason;
				   __entry->stage = fault->stage;
				   __entry->hw_reason = fault->hw_reason;),
		    TP_printk("%s addr=0x%llx pasid=%d perm=0x%x reason=%u stage=%u code=0x%x%s",
			      __get_str(device), __entry->addr,
			      __entry->flags & IOMMU_DMA_FAULT_F_PASID ?
				(int)__entry->pasid : -1,
			      __entry->perm, __entry->reason, __entry->stage,
			      __entry->hw_reason,
			      __entry->flags & IOMMU_DMA_FAULT_F_MUTED ?
				" muted" : "")
);

/* Given to the consumer */
DEFINE_EVENT(iommu_dma_fault_class, iommu_fault,
	     TP_PROTO(struct device *dev, const struct iommu_dma_fault *fault),
	     TP_ARGS(dev, fault)
);

/* The consumer has no room */
DEFINE_EVENT(iommu_dma_fault_class, iommu_fault_drop,
	     TP_PROTO(struct device *dev, const struct iommu_dma_fault *fault),
	     TP_ARGS(dev, fault)
);

/* A group of page requests; cookie 0: dropped, and answered at once */
TRACE_EVENT(iommu_page_request,
	    TP_PROTO(struct device *dev, u64 cookie,
		     const struct iommu_page_answer *answer,
		     const struct list_head *faults, u32 count),
	    TP_ARGS(dev, cookie, answer, faults, count),
	    TP_STRUCT__entry(__string(device, dev_name(dev))
			     __field(u64, cookie)
			     __field(u64, addr)
			     __field(u32, pasid)
			     __field(u32, grpid)
			     __field(u32, flags)
			     __field(u32, count)),
	    TP_fast_assign(__assign_str(device);
			   __entry->cookie = cookie;
			   __entry->addr = list_last_entry(faults,
							   struct iopf_fault,
							   list)->fault.prm.addr;
			   __entry->pasid = answer->resp.pasid;
			   __entry->grpid = answer->resp.grpid;
			   __entry->flags = answer->flags;
			   __entry->count = count;),
	    TP_printk("%s cookie=%llu pasid=%d group=%u addr=0x%llx pages=%u",
		      __get_str(device), __entry->cookie,
		      __entry->flags & IOMMU_FAULT_PAGE_REQUEST_PASID_VALID ?
			(int)__entry->pasid : -1,
		      __entry->grpid, __entry->addr, __entry->count)
);

TRACE_EVENT(iommu_page_response,
	    TP_PROTO(struct device *dev,
		     const struct iommu_page_answer *answer),
	    TP_ARGS(dev, answer),
	    TP_STRUCT__entry(__string(device, dev_name(dev))
			     __field(u32, pasid)
			     __field(u32, grpid)
			     __field(u32, flags)
			     __field(u32, code)),
	    TP_fast_assign(__assign_str(device);
			   __entry->pasid = answer->resp.pasid;
			   __entry->grpid = answer->resp.grpid;
			   __entry->flags = answer->flags;
			   __entry->code = answer->resp.code;),
	    TP_printk("%s pasid=%d group=%u code=%u", __get_str(device),
		      __entry->flags & IOMMU_FAULT_PAGE_REQUEST_PASID_VALID ?
			(int)__entry->pasid : -1,
		      __entry->grpid, __entry->code)
);

#endif /* _TRACE_IOMMU_FAULT_H */

#include <trace/define_trace.h>
