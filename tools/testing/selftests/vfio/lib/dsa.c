// SPDX-License-Identifier: GPL-2.0-only
/*
 * Driver of Intel's Data Streaming Accelerator, as far as copies go
 *
 * One dedicated queue in one group with one engine.  The PASID of a dedicated
 * queue is in its configuration, so another one takes the queue off and on
 * again.  There is no completion record: the device would write it with the
 * PASID, where a test has nothing mapped.  Draining the queue tells that a
 * descriptor is done, and the software error register why it failed.
 *
 * Registers, descriptors and codes are those of drivers/dma/idxd/registers.h
 * and <linux/idxd.h>.
 */
#include <string.h>
#include <unistd.h>

#include "libvfio.h"
#include "mmio.h"

/* Registers, in BAR 0 */
#define DSA_VERSION		0x00
#define DSA_GENCAP		0x10
#define DSA_GENCAP_CONFIG	BIT_ULL(31)
#define DSA_WQCAP		0x20
#define DSA_WQCAP_SIZE(c)	((c) & 0xffff)
#define DSA_WQCAP_CFG_SHIFT(c)	(5 + (((c) >> 24) & 0xf))
#define DSA_WQCAP_DEDICATED	BIT_ULL(49)
#define DSA_GRPCAP		0x30
#define DSA_GRPCAP_RDBUFS(c)	(((c) >> 8) & 0xff)
#define DSA_TABLES		0x60
#define DSA_TABLE_GRP(t)	(((t) & 0xffff) * 0x100)
#define DSA_TABLE_WQ(t)		((((t) >> 16) & 0xffff) * 0x100)
#define DSA_CMD			0xa0
#define DSA_CMD_CODE(c)		((u32)(c) << 20)
#define DSA_CMDSTS		0xa8
#define DSA_CMDSTS_ACTIVE	BIT(31)
#define DSA_CMDSTS_ERR		0xff
#define DSA_SWERR		0xc0
#define DSA_SWERR_VALID		BIT_ULL(0)
#define DSA_SWERR_ACK		(BIT_ULL(0) | BIT_ULL(1))
#define DSA_SWERR_WRITE		BIT_ULL(5)
#define DSA_SWERR_CODE(e)	(((e) >> 8) & 0xff)
#define DSA_SWERR_ADDR		0xd0

enum {
	DSA_ENABLE_DEVICE = 1,
	DSA_RESET_DEVICE = 5,
	DSA_ENABLE_WQ,
	DSA_DISABLE_WQ,
	DSA_DRAIN_WQ,
};

/* Queue 0, as a mask of queues */
#define DSA_WQ0			1
#define DSA_WQ_ENTRIES		16

/* In a group: queues, engines, flags */
#define DSA_GRP_ENGINES		32
#define DSA_GRP_FLAGS		40
#define DSA_GRP_TC(n)		((n) | (n) << 3)
#define DSA_GRP_RDBUFS(n)	((u64)(n) << 20)

/* Words of a queue's configuration */
#define DSA_WQ_SIZE		0
#define DSA_WQ_MODE		8
#define DSA_WQ_DEDICATED	BIT(0)
#define DSA_WQ_PRIORITY(n)	((n) << 4)
#define DSA_WQ_PASID(n)		((n) << 8)
#define DSA_WQ_PASID_EN		BIT(28)
#define DSA_WQ_LIMITS		12
#define DSA_WQ_XFER_SHIFT	16
#define DSA_WQ_WORDS		8

/* Descriptors */
#define DSA_OP_MEMMOVE		3
#define DSA_OP_FILL		4
#define DSA_FLAG_CC		BIT(8)

/* Status of a completion, which is the code of an error too */
#define DSA_PAGE_FAULT		0x03
#define DSA_PAGE_FAULT_LAST	0x04
#define DSA_TRANSLATION_FAIL	0x22

static u64 read64(const struct dsa *d, unsigned int reg)
{
	return d->io->read(d->priv, reg) |
	       (u64)d->io->read(d->priv, reg + 4) << 32;
}

static void write64(struct dsa *d, unsigned int reg, u64 val)
{
	d->io->write(d->priv, reg, val);
	d->io->write(d->priv, reg + 4, val >> 32);
}

/* One at a time; @operand is the command's */
static int command(struct dsa *d, unsigned int code, u32 operand)
{
	u64 end = vfio_now_ms() + vfio_wait_ms;
	u32 status;

	d->io->write(d->priv, DSA_CMD, DSA_CMD_CODE(code) | operand);
	while ((status = d->io->read(d->priv, DSA_CMDSTS)) &
	       DSA_CMDSTS_ACTIVE) {
		if (vfio_now_ms() > end)
			return vfio_fail(-ETIMEDOUT, "DSA command %u", code);
	}
	if (status & DSA_CMDSTS_ERR)
		return vfio_fail(-EIO, "DSA command %u: error 0x%x", code,
				 status & DSA_CMDSTS_ERR);
	return 0;
}

int dsa_start(struct dsa *d, const struct dsa_io *io, void *priv)
{
	u64 tables, wqcap;
	u32 grp;
	int ret;

	memset(d, 0, sizeof(*d));
	d->io = io;
	d->priv = priv;
	if (!(read64(d, DSA_GENCAP) & DSA_GENCAP_CONFIG))
		return vfio_fail(-ENXIO, "this DSA cannot be configured");
	wqcap = read64(d, DSA_WQCAP);
	if (!(wqcap & DSA_WQCAP_DEDICATED) || !DSA_WQCAP_SIZE(wqcap))
		return vfio_fail(-ENXIO, "this DSA has no dedicated queues");

	ret = command(d, DSA_RESET_DEVICE, 0);
	if (ret)
		return ret;
	tables = read64(d, DSA_TABLES);
	grp = DSA_TABLE_GRP(tables);
	d->wq = DSA_TABLE_WQ(tables);
	d->wq_words = 1u << (DSA_WQCAP_CFG_SHIFT(wqcap) - 2);
	d->entries = DSA_WQCAP_SIZE(wqcap) < DSA_WQ_ENTRIES ?
		DSA_WQCAP_SIZE(wqcap) : DSA_WQ_ENTRIES;
	write64(d, grp, DSA_WQ0);
	write64(d, grp + DSA_GRP_ENGINES, 1);
	write64(d, grp + DSA_GRP_FLAGS, DSA_GRP_TC(1) |
		DSA_GRP_RDBUFS(DSA_GRPCAP_RDBUFS(read64(d, DSA_GRPCAP))));
	return command(d, DSA_ENABLE_DEVICE, 0);
}

/* Requests of the queue carry @pasid from now on, or none */
static int set_pasid(struct dsa *d, u32 pasid)
{
	u32 mode = DSA_WQ_DEDICATED | DSA_WQ_PRIORITY(1);
	unsigned int i;
	int ret;

	if (d->enabled && d->pasid == pasid)
		return 0;
	if (d->enabled) {
		ret = command(d, DSA_DISABLE_WQ, DSA_WQ0);
		if (ret)
			return ret;
		d->enabled = false;
	}
	if (pasid != PTD_NO_PASID)
		mode |= DSA_WQ_PASID(pasid) | DSA_WQ_PASID_EN;
	for (i = 0; i < d->wq_words && i < DSA_WQ_WORDS; i++)
		d->io->write(d->priv, d->wq + 4 * i,
			     i == DSA_WQ_SIZE / 4 ? d->entries :
			     i == DSA_WQ_MODE / 4 ? mode :
			     i == DSA_WQ_LIMITS / 4 ? DSA_WQ_XFER_SHIFT : 0);
	ret = command(d, DSA_ENABLE_WQ, 0);
	if (ret)
		return ret;
	d->enabled = true;
	d->pasid = pasid;
	return 0;
}

/* What the error register says of the last descriptor, as PTD_ST_* */
static int error_of(struct dsa *d, u64 *addr)
{
	u64 err = read64(d, DSA_SWERR);

	if (!(err & DSA_SWERR_VALID))
		return PTD_ST_OK;
	*addr = read64(d, DSA_SWERR_ADDR);
	d->io->write(d->priv, DSA_SWERR, DSA_SWERR_ACK);
	switch (DSA_SWERR_CODE(err) & 0x7f) {
	case DSA_PAGE_FAULT ... DSA_PAGE_FAULT_LAST:
	case DSA_TRANSLATION_FAIL:
		return err & DSA_SWERR_WRITE ? PTD_ST_WRITE_FAULT :
					       PTD_ST_READ_FAULT;
	default:
		return vfio_fail(-EIO, "DSA error 0x%llx",
				 (unsigned long long)DSA_SWERR_CODE(err));
	}
}

int dsa_run(struct dsa *d, const struct ptd_desc *op, struct ptd_record *r)
{
	struct dsa_desc desc = {
		.flags = DSA_FLAG_CC,
		.dst = op->dst,
		.len = op->len,
	};
	u64 addr = 0;
	int ret;

	if (op->flags || op->record)
		return vfio_fail(-EOPNOTSUPP, "DSA: flags 0x%x", op->flags);
	switch (op->op) {
	case PTD_OP_MEMMOVE:
		desc.flags |= (u32)DSA_OP_MEMMOVE << 24;
		desc.src = op->src;
		break;
	case PTD_OP_FILL:
		desc.flags |= (u32)DSA_OP_FILL << 24;
		desc.src = op->imm;
		break;
	default:
		return vfio_fail(-EOPNOTSUPP, "DSA: operation %u", op->op);
	}
	ret = set_pasid(d, op->pasid & PTD_PASID_VALID ?
			op->pasid & ~PTD_PASID_VALID : PTD_NO_PASID);
	if (ret)
		return ret;
	ret = d->io->submit(d->priv, &desc);
	if (!ret)
		ret = command(d, DSA_DRAIN_WQ, DSA_WQ0);
	if (!ret)
		ret = error_of(d, &addr);
	if (ret < 0)
		return ret;
	memset(r, 0, sizeof(*r));
	r->status = ret;
	r->fault_addr = addr;
	/* How far it came before an error is not known. */
	r->done = ret == PTD_ST_OK ? op->len : 0;
	return ret;
}

/*
 * The device
 */
static u32 bar_read(void *priv, unsigned int reg)
{
	struct vfio_device *dev = priv;

	return mmio_read32(dev->bar[0] + reg);
}

static void bar_write(void *priv, unsigned int reg, u32 val)
{
	struct vfio_device *dev = priv;

	mmio_write32(dev->bar[0] + reg, val);
}

#ifdef __x86_64__
/* 64 bytes in one write, which only this instruction makes */
static int bar_submit(void *priv, const struct dsa_desc *desc)
{
	struct vfio_device *dev = priv;
	u32 a = 7, b, c = 0, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	if (!(c & BIT(28)))
		return vfio_fail(-EOPNOTSUPP, "this processor has no MOVDIR64B");
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* movdir64b (%rdx), %rax; the first portal of queue 0 */
	asm volatile(".byte 0x66, 0x0f, 0x38, 0xf8, 0x02"
		     : : "a"(dev->bar[2]), "d"(desc) : "memory");
	return 0;
}
#else
static int bar_submit(void *priv, const struct dsa_desc *desc)
{
	return vfio_fail(-EOPNOTSUPP, "DSA is a device of x86");
}
#endif

static const struct dsa_io bar_io = {
	.read = bar_read,
	.write = bar_write,
	.submit = bar_submit,
};

bool dsa_is(const char *bdf)
{
	return vfio_sysfs_id(bdf, "vendor") == DSA_VENDOR_ID &&
	       vfio_sysfs_id(bdf, "device") == DSA_DEVICE_ID;
}

int dsa_init(struct dsa *d, struct vfio_device *dev)
{
	int ret;

	ret = vfio_device_enable(dev);
	if (!ret)
		ret = vfio_device_map_bar(dev, 0);
	if (!ret)
		ret = vfio_device_map_bar(dev, 2);
	return ret ?: dsa_start(d, &bar_io, dev);
}
