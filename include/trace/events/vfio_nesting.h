/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Nested translation in type1 containers
 *
 * Names and fields stay as they are: tools rely on them.  They are described
 * in Documentation/admin-guide/vfio-nesting.rst.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vfio_nesting

#if !defined(_TRACE_VFIO_NESTING_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_VFIO_NESTING_H

#include <linux/device.h>
#include <linux/tracepoint.h>

/* A table of the guest is bound to a PASID of a device, or could not be */
TRACE_EVENT(vfio_nesting_bind,
	TP_PROTO(struct device *dev, u32 pasid, u32 format, bool replaced,
		 int ret),
	TP_ARGS(dev, pasid, format, replaced, ret),
	TP_STRUCT__entry(
		__string(device, dev_name(dev))
		__field(u32, pasid)
		__field(u32, format)
		__field(bool, replaced)
		__field(int, ret)
	),
	TP_fast_assign(
		__assign_str(device);
		__entry->pasid = pasid;
		__entry->format = format;
		__entry->replaced = replaced;
		__entry->ret = ret;
	),
	TP_printk("device=%s pasid=%u format=%u replaced=%d ret=%d",
		  __get_str(device), __entry->pasid, __entry->format,
		  __entry->replaced, __entry->ret)
);

/* A binding is gone: by UNBIND or BLOCK, or because its group left */
TRACE_EVENT(vfio_nesting_unbind,
	TP_PROTO(struct device *dev, u32 pasid, bool blocked),
	TP_ARGS(dev, pasid, blocked),
	TP_STRUCT__entry(
		__string(device, dev_name(dev))
		__field(u32, pasid)
		__field(bool, blocked)
	),
	TP_fast_assign(
		__assign_str(device);
		__entry->pasid = pasid;
		__entry->blocked = blocked;
	),
	TP_printk("device=%s pasid=%u blocked=%d", __get_str(device),
		  __entry->pasid, __entry->blocked)
);

/* The entries of one invalidation were done for one binding */
TRACE_EVENT(vfio_nesting_invalidate,
	TP_PROTO(struct device *dev, u32 pasid, u32 entries, int ret),
	TP_ARGS(dev, pasid, entries, ret),
	TP_STRUCT__entry(
		__string(device, dev_name(dev))
		__field(u32, pasid)
		__field(u32, entries)
		__field(int, ret)
	),
	TP_fast_assign(
		__assign_str(device);
		__entry->pasid = pasid;
		__entry->entries = entries;
		__entry->ret = ret;
	),
	TP_printk("device=%s pasid=%u entries=%u ret=%d",
		  __get_str(device), __entry->pasid, __entry->entries,
		  __entry->ret)
);

#endif /* _TRACE_VFIO_NESTING_H */

#include <trace/define_trace.h>
