// SPDX-License-Identifier: GPL-2.0-only
/* Driver of pasid-testdev */
#include <string.h>
#include <unistd.h>

#include "libvfio.h"
#include "mmio.h"

u32 ptd_read32(const struct ptd *p, unsigned int reg)
{
	return mmio_read32(p->bar + reg);
}

void ptd_write32(const struct ptd *p, unsigned int reg, u32 val)
{
	mmio_write32(p->bar + reg, val);
}

u64 ptd_read64(const struct ptd *p, unsigned int reg)
{
	return mmio_read64(p->bar + reg);
}

u32 ptd_pasid(u32 pasid)
{
	return pasid == PTD_NO_PASID ? 0 : PTD_PASID_VALID | pasid;
}

int ptd_init(struct ptd *p, struct vfio_device *dev)
{
	unsigned int q;
	u32 id;
	int ret;

	memset(p, 0, sizeof(*p));
	p->dev = dev;
	ret = vfio_device_enable(dev);
	if (!ret)
		ret = vfio_device_map_bar(dev, 0);
	if (ret)
		return ret;
	p->bar = dev->bar[0];
	id = ptd_read32(p, PTD_ID);
	if (id != PTD_ID_VALUE)
		return vfio_fail(-ENXIO, "%s is no pasid-testdev (id 0x%x)",
				 dev->bdf, id);
	p->nr_queues = ptd_read32(p, PTD_CAPS) & PTD_CAPS_QUEUES;
	p->max_len = ptd_read32(p, PTD_MAX_LEN);
	for (q = 0; q < p->nr_queues; q++)
		ptd_write32(p, PTD_QUEUE(q) + PTD_Q_CTRL, PTD_Q_CTRL_ENABLE);
	return 0;
}

int ptd_init_any(struct ptd *p, struct vfio_device *dev)
{
	if (!dsa_is(dev->bdf))
		return ptd_init(p, dev);
	memset(p, 0, sizeof(*p));
	p->dev = dev;
	p->is_dsa = true;
	return dsa_init(&p->dsa, dev);
}

void ptd_submit(struct ptd *p, unsigned int q, struct ptd_desc *d)
{
	u32 word[sizeof(*d) / 4];
	unsigned int i;

	d->tag = ++p->tag;
	memcpy(word, d, sizeof(*d));
	for (i = 0; i < ARRAY_SIZE(word); i++)
		ptd_write32(p, PTD_QUEUE(q) + PTD_Q_DESC + 4 * i, word[i]);
	ptd_write32(p, PTD_QUEUE(q) + PTD_Q_DOORBELL, 1);
}

/* Until (register & mask) is not 0 */
static int poll_reg(struct ptd *p, unsigned int reg, u32 mask)
{
	u64 end = vfio_now_ms() + vfio_wait_ms;

	while (!(ptd_read32(p, reg) & mask)) {
		if (vfio_now_ms() > end)
			return vfio_fail(-ETIMEDOUT,
					 "%s: register 0x%x stays 0",
					 p->dev->bdf, reg);
		usleep(50);
	}
	return 0;
}

int ptd_wait(struct ptd *p, unsigned int q, struct ptd_record *r)
{
	u32 word[sizeof(*r) / 4];
	unsigned int i;
	int ret;

	ret = poll_reg(p, PTD_QUEUE(q) + PTD_Q_CPL_COUNT, ~0u);
	if (ret)
		return ret;
	for (i = 0; i < ARRAY_SIZE(word); i++)
		word[i] = ptd_read32(p, PTD_QUEUE(q) + PTD_Q_CPL + 4 * i);
	ptd_write32(p, PTD_QUEUE(q) + PTD_Q_CPL_POP, 1);
	memcpy(r, word, sizeof(*r));
	return 0;
}

int ptd_run(struct ptd *p, unsigned int q, struct ptd_desc *d,
	    struct ptd_record *r)
{
	struct ptd_record local;
	int ret;

	if (!r)
		r = &local;
	if (p->is_dsa)
		return dsa_run(&p->dsa, d, r);
	ptd_submit(p, q, d);
	ret = ptd_wait(p, q, r);
	if (ret)
		return ret;
	if (r->tag != d->tag)
		return vfio_fail(-EPROTO, "completion of tag %u, not %u",
				 r->tag, d->tag);
	return r->status;
}

static int run_op(struct ptd *p, u32 op, u32 pasid, u64 dst, u64 src, u64 imm,
		  u32 len, struct ptd_record *r)
{
	struct ptd_desc d = {
		.op = op,
		.pasid = ptd_pasid(pasid),
		.src = src,
		.dst = dst,
		.imm = imm,
		.len = len,
	};

	return ptd_run(p, 0, &d, r);
}

int ptd_copy(struct ptd *p, u32 pasid, u64 dst, u64 src,
	     u32 len, struct ptd_record *r)
{
	return run_op(p, PTD_OP_MEMMOVE, pasid, dst, src, 0, len, r);
}

int ptd_fill(struct ptd *p, u32 pasid, u64 dst, u32 len,
	     u64 pattern, struct ptd_record *r)
{
	return run_op(p, PTD_OP_FILL, pasid, dst, 0, pattern, len, r);
}

int ptd_compare(struct ptd *p, u32 pasid, u64 a, u64 b,
		u32 len, struct ptd_record *r)
{
	return run_op(p, PTD_OP_COMPARE, pasid, b, a, 0, len, r);
}

int ptd_crc(struct ptd *p, u32 pasid, u64 src, u32 len,
	    u32 seed, struct ptd_record *r)
{
	return run_op(p, PTD_OP_CRC32, pasid, 0, src, seed, len, r);
}

int ptd_hold(struct ptd *p, unsigned int q)
{
	struct ptd_desc d = { .op = PTD_OP_HOLD };

	ptd_submit(p, q, &d);
	return poll_reg(p, PTD_QUEUE(q) + PTD_Q_STATUS, PTD_Q_STATUS_HELD);
}

int ptd_release(struct ptd *p, unsigned int q, struct ptd_record *r)
{
	struct ptd_record local;

	ptd_write32(p, PTD_QUEUE(q) + PTD_Q_CTRL,
		    PTD_Q_CTRL_ENABLE | PTD_Q_CTRL_RELEASE);
	return ptd_wait(p, q, r ? r : &local);
}

const char *ptd_status_name(int status)
{
	static const char *const names[] = {
		[PTD_ST_OK] = "done",
		[PTD_ST_BAD_OP] = "bad operation",
		[PTD_ST_BAD_FLAGS] = "bad flags",
		[PTD_ST_BAD_LEN] = "bad length",
		[PTD_ST_BAD_ALIGN] = "bad alignment",
		[PTD_ST_BAD_PASID] = "bad PASID",
		[PTD_ST_BAD_RSVD] = "reserved bits set",
		[PTD_ST_READ_FAULT] = "the IOMMU refused a read",
		[PTD_ST_WRITE_FAULT] = "the IOMMU refused a write",
		[PTD_ST_MISMATCH] = "data differs",
		[PTD_ST_RECORD_FAULT] = "the record could not be written",
		[PTD_ST_NO_BUSMASTER] = "the device is no bus master",
		[PTD_ST_BUS_ERROR] = "nothing is at the address",
	};

	if (status < 0)
		return strerror(-status);
	if (status >= (int)ARRAY_SIZE(names) || !names[status])
		return "unknown status";
	return names[status];
}
