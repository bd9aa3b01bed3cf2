/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints of the PASID space
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM iommu_pasid

#if !defined(_TRACE_IOMMU_PASID_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_IOMMU_PASID_H

#include <linux/iommu-pasid.h>
#include <linux/tracepoint.h>

TRACE_DEFINE_ENUM(IOMMU_PASID_SET_NULL);
TRACE_DEFINE_ENUM(IOMMU_PASID_SET_KERNEL);
TRACE_DEFINE_ENUM(IOMMU_PASID_SET_USER);

#define show_pasid_set_type(type)				\
	__print_symbolic(type,					\
			 { IOMMU_PASID_SET_NULL, "null" },	\
			 { IOMMU_PASID_SET_KERNEL, "kernel" },	\
			 { IOMMU_PASID_SET_USER, "user" })

/* An attempt to allocate: @ret is a PASID or an errno */
TRACE_EVENT(iommu_pasid_alloc,
	TP_PROTO(u32 type, u64 token, u32 min, u32 max, int ret),

	TP_ARGS(type, token, min, max, ret),

	TP_STRUCT__entry(
		__field(u32, type)
		__field(u64, token)
		__field(u32, min)
		__field(u32, max)
		__field(int, ret)
	),

	TP_fast_assign(
		__entry->type = type;
		__entry->token = token;
		__entry->min = min;
		__entry->max = max;
		__entry->ret = ret;
	),

	TP_printk("set=%s/%llu min=%u max=%u ret=%d",
		  show_pasid_set_type(__entry->type), __entry->token,
		  __entry->min, __entry->max, __entry->ret)
);

/* A PASID that its owner gives back; @users: who still uses it */
DECLARE_EVENT_CLASS(iommu_pasid_back,
	TP_PROTO(u32 type, u64 token, u32 pasid, u32 users),

	TP_ARGS(type, token, pasid, users),

	TP_STRUCT__entry(
		__field(u32, type)
		__field(u64, token)
		__field(u32, pasid)
		__field(u32, users)
	),

	TP_fast_assign(
		__entry->type = type;
		__entry->token = token;
		__entry->pasid = pasid;
		__entry->users = users;
	),

	TP_printk("set=%s/%llu pasid=%u users=%u",
		  show_pasid_set_type(__entry->type), __entry->token,
		  __entry->pasid, __entry->users)
);

/* With no user it is reclaimed at once */
DEFINE_EVENT(iommu_pasid_back, iommu_pasid_free,
	TP_PROTO(u32 type, u64 token, u32 pasid, u32 users),
	TP_ARGS(type, token, pasid, users)
);

/* A PASID that was freed while it was used has lost its last user */
DEFINE_EVENT(iommu_pasid_back, iommu_pasid_reclaim,
	TP_PROTO(u32 type, u64 token, u32 pasid, u32 users),
	TP_ARGS(type, token, pasid, users)
);

#endif /* _TRACE_IOMMU_PASID_H */

#include <trace/define_trace.h>
