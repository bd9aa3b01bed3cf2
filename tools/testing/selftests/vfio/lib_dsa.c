// SPDX-License-Identifier: GPL-2.0-only
/*
 * The driver of DSA in libvfio, against registers in memory
 *
 * They keep the rules by which a device refuses a command: what may be
 * configured when, which queue a portal is for, whose PASID a request carries.
 * No device is needed, and it shows nothing of one.
 */
#include <stdlib.h>
#include <string.h>

#include "nest_test.h"

#define GRP	0x400
#define WQ	0x500
#define WQ_STEP	64
#define MEM	4096

enum state { OFF, ON };

struct mock {
	u32 reg[0x200];
	enum state dev, wq;
	unsigned int commands;
	unsigned int violations;
	u32 enable_error;	/* what enabling the queue ends with */
	u32 queued;
	struct dsa_desc desc;
	/* Two address spaces: with this PASID, and without one */
	u32 pasid;
	u8 mem[2][MEM];
};

static u32 *reg(struct mock *m, unsigned int off)
{
	return &m->reg[off / 4];
}

static void software_error(struct mock *m, u32 code, bool write, u64 addr)
{
	*reg(m, 0xc0) = 1 | (write ? BIT(5) : 0) | code << 8;
	*reg(m, 0xd0) = addr;
	*reg(m, 0xd4) = addr >> 32;
}

/* The address space of the queue, or NULL */
static u8 *space(struct mock *m)
{
	u32 mode = *reg(m, WQ + 8);

	if (!(mode & BIT(28)))
		return m->mem[0];
	return (mode >> 8 & 0xfffff) == m->pasid ? m->mem[1] : NULL;
}

static void run(struct mock *m)
{
	struct dsa_desc *d = &m->desc;
	u32 op = d->flags >> 24;
	u8 *mem = space(m);
	u32 i;

	m->queued = 0;
	if (op == 3 && (!mem || d->src + d->len > MEM)) {
		software_error(m, 0x03, false, d->src);
	} else if (!mem || d->dst + d->len > MEM) {
		software_error(m, 0x03, true, d->dst);
	} else if (op == 3) {
		memmove(mem + d->dst, mem + d->src, d->len);
	} else if (op == 4) {
		for (i = 0; i < d->len; i++)
			mem[d->dst + i] = d->src >> 8 * (i % 8);
	} else {
		software_error(m, 0x10, false, 0);
	}
}

static u32 command(struct mock *m, u32 code, u32 operand)
{
	m->commands++;
	switch (code) {
	case 1:
		/* one queue and one engine have to be in the group */
		if (m->dev == ON)
			return 0x10;
		if (*reg(m, GRP) != 1 || *reg(m, GRP + 32) != 1)
			return 0x15;
		m->dev = ON;
		return 0;
	case 5:
		memset(reg(m, GRP), 0, 48);
		memset(reg(m, WQ), 0, WQ_STEP);
		m->dev = OFF;
		m->wq = OFF;
		return 0;
	case 6:
		if (m->enable_error)
			return m->enable_error;
		if (m->dev == OFF)
			return 0x20;
		if (operand || m->wq == ON)
			return 0x21;
		if (!*reg(m, WQ) || *reg(m, WQ) > 128)
			return 0x22;
		if (!(*reg(m, WQ + 8) & 1))
			return 0x24;
		m->wq = ON;
		return 0;
	case 7:
	case 8:
		if (operand != 1 || m->wq == OFF)
			return 0x32;
		if (m->queued)
			run(m);
		if (code == 7)
			m->wq = OFF;
		return 0;
	default:
		return 1;
	}
}

static u32 mock_read(void *priv, unsigned int off)
{
	return *reg(priv, off);
}

static void mock_write(void *priv, unsigned int off, u32 val)
{
	struct mock *m = priv;

	if (off == 0xa0) {
		*reg(m, 0xa8) = command(m, val >> 20 & 0x1f, val & 0xfffff);
		return;
	}
	if (off == 0xc0) {
		*reg(m, off) &= ~val;
		return;
	}
	if ((off >= GRP && off < GRP + 48 && m->dev == ON) ||
	    (off >= WQ && off < WQ + WQ_STEP && m->wq == ON))
		m->violations++;
	else if (off >= GRP)
		*reg(m, off) = val;
	else
		m->violations++;
}

static int mock_submit(void *priv, const struct dsa_desc *desc)
{
	struct mock *m = priv;

	if (m->wq == OFF || m->queued++ || desc->completion ||
	    (uintptr_t)desc % 64)
		m->violations++;
	m->desc = *desc;
	return 0;
}

static const struct dsa_io mock_io = {
	.read = mock_read,
	.write = mock_write,
	.submit = mock_submit,
};

FIXTURE(lib_dsa)
{
	struct mock *m;
	struct dsa d;
};

FIXTURE_SETUP(lib_dsa)
{
	struct mock *m;

	m = calloc(1, sizeof(*m));
	ASSERT_NE(NULL, m);
	self->m = m;
	*reg(m, 0x10) = BIT(31);
	/* 128 entries, 64 bytes of configuration for each queue */
	*reg(m, 0x20) = 128 | 1 << 24;
	*reg(m, 0x24) = BIT(49 - 32);
	*reg(m, 0x30) = 1 | 96 << 8;
	*reg(m, 0x60) = GRP / 0x100 | WQ / 0x100 << 16;
	m->pasid = 0x12345;
	/* as the last user may have left it */
	m->dev = ON;
	m->wq = ON;
	*reg(m, WQ + 8) = ~0u;
	ASSERT_EQ(0, dsa_start(&self->d, &mock_io, m)) {
		TH_LOG("%s", vfio_why());
	}
}

FIXTURE_TEARDOWN(lib_dsa)
{
	EXPECT_EQ(0, self->m->violations);
	free(self->m);
}

static int copy(struct dsa *d, u32 pasid, u64 dst, u64 src, u32 len,
		struct ptd_record *r)
{
	struct ptd_desc op = {
		.op = PTD_OP_MEMMOVE,
		.pasid = pasid == PTD_NO_PASID ? 0 : PTD_PASID_VALID | pasid,
		.src = src,
		.dst = dst,
		.len = len,
	};

	return dsa_run(d, &op, r);
}

TEST_F(lib_dsa, start)
{
	EXPECT_EQ(ON, self->m->dev);
	EXPECT_EQ(OFF, self->m->wq);
	EXPECT_EQ(96u << 20 | 9, *reg(self->m, GRP + 40));
}

TEST_F(lib_dsa, copies_in_the_space_of_the_pasid)
{
	struct mock *m = self->m;
	struct ptd_record r;
	unsigned int commands;

	memset(m->mem[0], 0x11, 64);
	memset(m->mem[1], 0x22, 64);
	EXPECT_EQ(PTD_ST_OK, copy(&self->d, m->pasid, 0x800, 0, 64, &r));
	EXPECT_EQ(64, r.done);
	EXPECT_EQ(0, memcmp(m->mem[1] + 0x800, m->mem[1], 64));
	EXPECT_EQ(0, m->mem[0][0x800]);

	/* The same PASID again: submit and drain, no more */
	commands = m->commands;
	EXPECT_EQ(PTD_ST_OK, copy(&self->d, m->pasid, 0x900, 0, 64, &r));
	EXPECT_EQ(commands + 1, m->commands);

	EXPECT_EQ(PTD_ST_OK, copy(&self->d, PTD_NO_PASID, 0x800, 0, 64, &r));
	EXPECT_EQ(0x11, m->mem[0][0x800]);
	EXPECT_EQ(0x22, m->mem[1][0x800]);
}

TEST_F(lib_dsa, fills)
{
	struct ptd_desc op = {
		.op = PTD_OP_FILL,
		.dst = 0x100,
		.len = 16,
		.imm = 0x7766554433221100ull,
	};
	struct ptd_record r;

	EXPECT_EQ(PTD_ST_OK, dsa_run(&self->d, &op, &r));
	EXPECT_EQ(0, memcmp(self->m->mem[0] + 0x108, &op.imm, 8));
}

TEST_F(lib_dsa, refused)
{
	struct mock *m = self->m;
	struct ptd_record r;

	EXPECT_EQ(PTD_ST_READ_FAULT, copy(&self->d, 7, 0, 0x40, 64, &r));
	EXPECT_EQ(0x40, r.fault_addr);
	EXPECT_EQ(0, r.done);
	EXPECT_EQ(PTD_ST_WRITE_FAULT,
		  copy(&self->d, m->pasid, 0x123456789000ull, 0, 64, &r));
	EXPECT_EQ(0x123456789000ull, r.fault_addr);

	/* An error does not stay */
	EXPECT_EQ(PTD_ST_OK, copy(&self->d, m->pasid, 0x800, 0, 64, &r));
}

TEST_F(lib_dsa, what_it_cannot)
{
	struct ptd_desc op = { .op = PTD_OP_CRC32, .len = 8 };
	struct ptd_record r;

	EXPECT_EQ(-EOPNOTSUPP, dsa_run(&self->d, &op, &r));
	op.op = PTD_OP_FILL;
	op.flags = PTD_F_PRIV;
	EXPECT_EQ(-EOPNOTSUPP, dsa_run(&self->d, &op, &r));
}

/* A queue that could not be switched on is not taken for one that is */
TEST_F(lib_dsa, command_fails)
{
	struct mock *m = self->m;
	struct ptd_record r;

	EXPECT_EQ(PTD_ST_OK, copy(&self->d, m->pasid, 0x800, 0, 64, &r));
	m->enable_error = 0x26;
	EXPECT_EQ(-EIO, copy(&self->d, 1, 0, 0, 64, &r));
	m->enable_error = 0;
	EXPECT_EQ(PTD_ST_OK, copy(&self->d, m->pasid, 0x800, 0, 64, &r));
}

TEST(not_configurable)
{
	struct mock m = {};
	struct dsa d;

	EXPECT_EQ(-ENXIO, dsa_start(&d, &mock_io, &m));
	EXPECT_EQ(0, m.commands);
}

TEST_HARNESS_MAIN
