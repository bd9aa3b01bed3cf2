// SPDX-License-Identifier: GPL-2.0-only
/*
 * SMMUv3 stage 1: four levels of VMSAv8-64 with pages of 4 KiB, and the table
 * of context descriptors that leads to them.  Chapters are those of the Arm
 * SMMU architecture, IHI 0070F.
 *
 * What the kernel binds is that table.  To bind one PASID is to write its
 * descriptor, as a guest's driver does; only the first and the last one, and
 * requests without PASID, go to VFIO_IOMMU_BIND.
 */
#include <endian.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "libvfio.h"

#define DESC_VALID	BIT_ULL(0)
#define DESC_TABLE	BIT_ULL(1)	/* or a page, at the last level */
#define DESC_USER	BIT_ULL(6)
#define DESC_RO		BIT_ULL(7)
#define DESC_ISH	(3ull << 8)
#define DESC_AF		BIT_ULL(10)
#define DESC_NG		BIT_ULL(11)
#define DESC_ADDR	0x0000fffffffff000ull

/* 5.4: context descriptor */
#define CD_T0SZ_48	16ull
#define CD_WALK_WB	(1ull << 8 | 1ull << 10 | 3ull << 12)
#define CD_EPD1		BIT_ULL(30)
#define CD_V		BIT_ULL(31)
#define CD_IPS_44	(4ull << 32)
#define CD_AA64		BIT_ULL(41)
#define CD_S		BIT_ULL(44)
#define CD_R		BIT_ULL(45)
#define CD_A		BIT_ULL(46)
#define CD_ASET		BIT_ULL(47)
#define CD_LEN		64
#define CD_ASID(cd0)	((u16)((cd0) >> 48))
#define MAIR_WB		0xffull

/* 5.2: EATS, full */
#define STE_1_EATS	BIT_ULL(28)

/* Chapter 4: commands */
#define CMD_CFGI_CD	0x05ull
#define CMD_TLBI_ASID	0x11ull
#define CMD_TLBI_VA	0x12ull
#define CMD_ATC_INV	0x40ull
#define CMD_SSV		BIT_ULL(11)
#define CMD_SSID(n)	((u64)(n) << 12)
#define CMD_ASID(n)	((u64)(n) << 48)
#define ATC_SIZE_ALL	52

static u64 word_read(const u64 *p)
{
	return le64toh(__atomic_load_n(p, __ATOMIC_ACQUIRE));
}

static void word_write(u64 *p, u64 val)
{
	__atomic_store_n(p, htole64(val), __ATOMIC_RELEASE);
}

static u64 *desc_at(struct s1_table *t, u64 va, int level, bool build)
{
	u64 table = t->root, *desc, val;
	int l;

	for (l = 0;; l++) {
		desc = (u64 *)guest_va(t->g, table) +
		       (va >> (39 - 9 * l) & 0x1ff);
		val = word_read(desc);
		if (l == level)
			return desc;
		if ((val & (DESC_VALID | DESC_TABLE)) == DESC_VALID)
			return NULL;
		if (!(val & DESC_VALID)) {
			if (!build)
				return NULL;
			val = guest_alloc(t->g, SZ_4K, SZ_4K);
			if (!val)
				return NULL;
			word_write(desc, val | DESC_VALID | DESC_TABLE);
		}
		table = val & DESC_ADDR;
	}
}

static u64 *leaf(struct s1_table *t, u64 va)
{
	u64 *desc;
	int l;

	for (l = 1; l <= 3; l++) {
		desc = desc_at(t, va, l, false);
		if (!desc || !(word_read(desc) & DESC_VALID))
			return NULL;
		if (l == 3 || !(word_read(desc) & DESC_TABLE))
			return desc;
	}
	return NULL;
}

static int smmu_init(struct s1_table *t)
{
	t->asid = ++t->g->asids;
	t->root = guest_alloc(t->g, SZ_4K, SZ_4K);
	return t->root ? 0 : vfio_fail(-ENOMEM, "guest memory is used up");
}

static int smmu_map(struct s1_table *t, u64 va, u64 gpa, u64 page,
		    unsigned int prot)
{
	u64 *desc, val = gpa | DESC_VALID | DESC_AF | DESC_NG | DESC_ISH;
	int level;

	switch (page) {
	case SZ_4K:
		level = 3;
		val |= DESC_TABLE;
		break;
	case SZ_2M:
		level = 2;
		break;
	case SZ_1G:
		level = 1;
		break;
	default:
		return -EINVAL;
	}
	if ((va | gpa) & (page - 1) || !(prot & S1_READ))
		return -EINVAL;
	if (!(prot & S1_WRITE))
		val |= DESC_RO;
	if (prot & S1_USER)
		val |= DESC_USER;

	desc = desc_at(t, va, level, true);
	if (!desc)
		return -ENOMEM;
	word_write(desc, val);
	return 0;
}

static int smmu_unmap(struct s1_table *t, u64 va)
{
	u64 *desc = leaf(t, va);

	if (!desc)
		return -ENOENT;
	word_write(desc, 0);
	return 0;
}

static int smmu_flags(struct s1_table *t, u64 va)
{
	u64 *desc = leaf(t, va), val;
	int flags = S1_READ | S1_ACCESSED;

	if (!desc)
		return -ENOENT;
	val = word_read(desc);
	if (!(val & DESC_RO))
		flags |= S1_WRITE;
	if (val & DESC_USER)
		flags |= S1_USER;
	return flags;
}

int cd_table_init(struct cd_table *ct, struct guest *g, unsigned int fmt,
		  unsigned int cdmax)
{
	unsigned int split = fmt == CD_4K ? 6 : fmt == CD_64K ? 10 : 0;
	u64 size = split ? 8ull << (cdmax - split) : (u64)CD_LEN << cdmax;

	*ct = (struct cd_table){
		.g = g, .fmt = fmt, .split = split, .cdmax = cdmax,
		.s1dss = CD_DSS_SSID0,
	};
	size = size < SZ_4K ? SZ_4K : size;
	ct->base = guest_alloc(g, size, size);
	return ct->base ? 0 : vfio_fail(-ENOMEM, "guest memory is used up");
}

static u64 *cd_find(const struct cd_table *ct, u32 ssid, bool build)
{
	u64 base = ct->base, *l1, val;

	if (ct->split) {
		l1 = (u64 *)guest_va(ct->g, base) + (ssid >> ct->split);
		val = word_read(l1);
		if (!(val & 1)) {
			u64 size = (u64)CD_LEN << ct->split;

			val = build ? guest_alloc(ct->g, size, size) : 0;
			if (!val)
				return NULL;
			word_write(l1, val | 1);
		}
		base = val & DESC_ADDR;
		ssid &= (1u << ct->split) - 1;
	}
	return (u64 *)guest_va(ct->g, base) + ssid * (CD_LEN / 8);
}

u64 *cd_at(struct cd_table *ct, u32 ssid)
{
	return cd_find(ct, ssid, true);
}

int cd_set(struct cd_table *ct, u32 ssid, const struct s1_table *t, u16 asid)
{
	u64 *cd = cd_at(ct, ssid);

	if (!cd)
		return vfio_fail(-ENOMEM, "guest memory is used up");
	word_write(&cd[0], 0);
	word_write(&cd[1], t->root);
	word_write(&cd[3], MAIR_WB);
	word_write(&cd[0], CD_T0SZ_48 | CD_WALK_WB | CD_EPD1 | CD_V |
		   CD_IPS_44 | CD_AA64 | CD_R | CD_A | CD_ASET |
		   (t->demand ? CD_S : 0) | (u64)asid << 48);
	return 0;
}

/* 5.2: stream table entry, stage 1 */
void cd_ste(const struct cd_table *ct, struct vfio_nesting_smmuv3_ste *ste)
{
	ste->ste[0] = htole64(1 | 5 << 1 | ct->fmt << 4 | ct->base |
			      (u64)ct->cdmax << 59);
	/* the walk of the table is write-back, inner shareable */
	ste->ste[1] = htole64(ct->s1dss | 1 << 2 | 1 << 4 | 3 << 6);
}

static void command(union s1_inv_entry *e, u64 w0, u64 w1)
{
	memset(e, 0, sizeof(*e));
	e->smmu.cmd[0] = htole64(w0);
	e->smmu.cmd[1] = htole64(w1);
}

static u64 atc_inv(u32 pasid)
{
	return CMD_ATC_INV | (pasid ? CMD_SSV | CMD_SSID(pasid) : 0);
}

/* A table that has nothing but this, for requests without PASID */
static int smmu_bind_data(const struct s1_table *t, union s1_bind_data *data)
{
	struct cd_table ct;
	int ret = cd_table_init(&ct, t->g, CD_LINEAR, 0);

	if (!ret)
		ret = cd_set(&ct, NEST_RID, t, t->asid);
	if (!ret) {
		cd_ste(&ct, &data->smmu);
		data->smmu.ste[1] |= htole64(STE_1_EATS);
	}
	return ret;
}

/* One page, or the whole address space */
static void smmu_inv_entry(const struct s1_table *t, union s1_inv_entry *e,
			   u64 va, u64 npages)
{
	if (npages == 1)
		command(e, CMD_TLBI_VA | CMD_ASID(t->asid), va);
	else
		command(e, CMD_TLBI_ASID | CMD_ASID(t->asid), 0);
}

static u32 smmu_inv_range(const struct s1_table *t, union s1_inv_entry *e,
			  u32 pasid, u64 va, u64 npages)
{
	smmu_inv_entry(t, &e[0], va, npages);
	/* 4.5.1: of one page, or of all */
	command(&e[1], atc_inv(pasid), npages == 1 ? va : ATC_SIZE_ALL);
	return 2;
}

/*
 * A guest's table for each group: what is in it decides what the kernel is
 * asked for.
 */
struct cd_group {
	int fd;
	bool taken;
	bool used;		/* there are descriptors of an earlier group */
	bool bound;		/* the kernel has the table */
	bool blocked;		/* requests without PASID, if nothing is bound */
	unsigned int nr;	/* descriptors */
	struct cd_table ct;
};

struct cd_groups {
	/*
	 * A lock that is taken in turns: who takes it again and again keeps
	 * nobody out.
	 */
	u32 ticket;
	u32 turn;
	bool used;
	struct cd_group group[VFIO_MAX_DEVS];
};

struct cd_groups *cd_groups_alloc(void)
{
	return calloc(1, sizeof(struct cd_groups));
}

void cd_groups_free(struct cd_groups *cds)
{
	free(cds);
}

void cd_groups_lock(const struct vfio_container *c)
{
	u32 mine = __atomic_fetch_add(&c->cds->ticket, 1, __ATOMIC_RELAXED);

	while (__atomic_load_n(&c->cds->turn, __ATOMIC_ACQUIRE) != mine)
		sched_yield();
}

void cd_groups_unlock(const struct vfio_container *c)
{
	__atomic_fetch_add(&c->cds->turn, 1, __ATOMIC_RELEASE);
}

bool cd_groups_used(const struct vfio_container *c)
{
	return c->cds && __atomic_load_n(&c->cds->used, __ATOMIC_RELAXED);
}

static struct cd_group *cd_group(const struct vfio_container *c, int fd)
{
	struct cd_group *grp, *free = NULL;
	int i;

	for (i = 0; i < VFIO_MAX_DEVS; i++) {
		grp = &c->cds->group[i];
		if (grp->taken && grp->fd == fd)
			return grp;
		if (!grp->taken && !free)
			free = grp;
	}
	if (free) {
		free->taken = true;
		free->fd = fd;
	}
	return free;
}

static void cd_group_reset(struct cd_group *grp)
{
	grp->taken = false;
	grp->used = true;
	grp->bound = false;
	grp->blocked = false;
	grp->nr = 0;
}

void cd_group_forget(const struct vfio_container *c, int group_fd)
{
	int i;

	for (i = 0; i < VFIO_MAX_DEVS; i++)
		if (c->cds->group[i].taken && c->cds->group[i].fd == group_fd)
			cd_group_reset(&c->cds->group[i]);
}

/* An empty table: a new one, or what an earlier group left */
static int cd_group_table(struct cd_group *grp, struct guest *g)
{
	struct cd_table *ct = &grp->ct;
	u64 *l1;
	u32 i;

	if (!ct->base || ct->g != g) {
		grp->used = false;
		return cd_table_init(ct, g, g->pasid_bits > 10 ? CD_64K :
				     CD_LINEAR, g->pasid_bits);
	}
	if (!grp->used)
		return 0;
	grp->used = false;
	if (!ct->split) {
		memset(guest_va(g, ct->base), 0, CD_LEN << ct->cdmax);
		return 0;
	}
	l1 = guest_va(g, ct->base);
	for (i = 0; i < 1u << (ct->cdmax - ct->split); i++)
		if (word_read(&l1[i]) & 1)
			memset(guest_va(g, word_read(&l1[i]) & DESC_ADDR), 0,
			       CD_LEN << ct->split);
	return 0;
}

/* What the kernel has to have of it */
static int cd_group_install(const struct vfio_container *c,
			    struct cd_group *grp)
{
	struct vfio_nesting_smmuv3_ste ste;
	const u64 *rid;
	int ret;

	if (!grp->nr) {
		ret = nest_table_op(c, grp->fd, grp->blocked ?
				    VFIO_BIND_OP_BLOCK : VFIO_BIND_OP_UNBIND);
		if (!ret)
			grp->bound = false;
		return ret;
	}
	rid = cd_find(&grp->ct, NEST_RID, false);
	grp->ct.s1dss = rid && word_read(rid) & CD_V ? CD_DSS_SSID0 :
			grp->blocked ? CD_DSS_END : CD_DSS_STAGE2;
	cd_ste(&grp->ct, &ste);
	ste.ste[1] |= htole64(STE_1_EATS);
	ret = nest_bind_table(c, grp->fd, &ste);
	if (!ret)
		grp->bound = true;
	return ret;
}

/*
 * Nothing of a descriptor is cached; @was is its word 0.  Each is over before
 * the next begins: the device would ask for what the SMMU still has, and the
 * SMMU walk by the descriptor that it still has.
 */
static int cd_group_flush(const struct vfio_container *c, struct cd_group *grp,
			  u32 pasid, u64 was)
{
	union s1_inv_entry e[3];
	u32 n = 0;

	/* Of both levels: its leaf may be new */
	command(&e[n++], CMD_CFGI_CD | CMD_SSID(pasid), 0);
	if (was & CD_V) {
		command(&e[n++], CMD_TLBI_ASID | CMD_ASID(CD_ASID(was)), 0);
		command(&e[n++], atc_inv(pasid), ATC_SIZE_ALL);
	}
	return nest_inval_in_order(c, grp->fd, NEST_RID, &s1_smmu_ops, e, n);
}

/* The descriptor of @pasid has changed; @was is word 0 of the old one */
static int cd_group_update(const struct vfio_container *c,
			   struct cd_group *grp, u32 pasid, u64 was)
{
	bool was_bound = grp->bound;
	int ret;

	if (pasid == NEST_RID || !grp->bound || !grp->nr) {
		ret = cd_group_install(c, grp);
		if (ret || !was_bound || !grp->bound)
			return ret;
		/* The entry is what it was, or nearly so */
	}
	return cd_group_flush(c, grp, pasid, was);
}

/* What a descriptor was, to be undone */
struct cd_undo {
	struct cd_group *grp;
	u64 *cd;
	u64 word[4];
	bool blocked;
};

static void cd_save(struct cd_undo *undo, struct cd_group *grp, u64 *cd)
{
	undo->grp = grp;
	undo->cd = cd;
	undo->blocked = grp->blocked;
	if (cd)
		memcpy(undo->word, cd, sizeof(undo->word));
}

static void cd_restore(struct cd_undo *undo)
{
	struct cd_group *grp = undo->grp;

	grp->blocked = undo->blocked;
	if (!undo->cd)
		return;
	grp->nr -= !!(word_read(undo->cd) & CD_V);
	grp->nr += !!(le64toh(undo->word[0]) & CD_V);
	word_write(&undo->cd[0], 0);
	memcpy(undo->cd + 1, undo->word + 1,
	       sizeof(undo->word) - sizeof(undo->word[0]));
	word_write(&undo->cd[0], le64toh(undo->word[0]));
}

/* One group: on failure the descriptor is as before */
static int cd_bind_one(const struct vfio_container *c, int fd, u32 pasid,
		       const struct s1_table *t, struct cd_undo *undo)
{
	struct cd_group *grp = cd_group(c, fd);
	bool was_bound;
	u64 *cd;
	int ret;

	if (!grp)
		return vfio_fail(-ENOSPC, "more than %d groups",
				 VFIO_MAX_DEVS);
	ret = cd_group_table(grp, t->g);
	if (ret)
		return ret;
	cd = cd_find(&grp->ct, pasid, true);
	if (!cd)
		return vfio_fail(-ENOMEM, "guest memory is used up");
	cd_save(undo, grp, cd);
	was_bound = grp->bound;
	grp->nr += !(le64toh(undo->word[0]) & CD_V);
	if (pasid == NEST_RID)
		grp->blocked = false;
	cd_set(&grp->ct, pasid, t, t->asid);
	ret = cd_group_update(c, grp, pasid, le64toh(undo->word[0]));
	if (!ret)
		return 0;
	cd_restore(undo);
	/* The SMMU may have seen it meanwhile */
	if (was_bound)
		cd_group_flush(c, grp, pasid, CD_V | CMD_ASID(t->asid));
	else if (!grp->nr && !grp->blocked)
		cd_group_forget(c, fd);
	return ret;
}

static int cd_unbind_one(const struct vfio_container *c, int fd, u32 pasid,
			 bool block)
{
	struct cd_group *grp = cd_group(c, fd);
	struct cd_undo undo;
	bool was_bound;
	u64 *cd = NULL;
	int ret;

	if (!grp)
		return vfio_fail(-ENOSPC, "more than %d groups",
				 VFIO_MAX_DEVS);
	if (grp->nr)
		cd = cd_find(&grp->ct, pasid, false);
	if (cd && !(word_read(cd) & CD_V))
		cd = NULL;
	/* The kernel knows whether there is anything if we do not */
	if (!cd && pasid != NEST_RID && (block || grp->nr || grp->blocked)) {
		ret = block ? 0 : -ENOENT;
		goto out;
	}
	if (!cd && pasid == NEST_RID && !block && grp->nr && !grp->blocked) {
		ret = -ENOENT;
		goto out;
	}

	cd_save(&undo, grp, cd);
	was_bound = grp->bound;
	if (pasid == NEST_RID)
		grp->blocked = block;
	if (cd) {
		word_write(&cd[0], 0);
		grp->nr--;
	}
	ret = cd_group_update(c, grp, pasid, cd ? le64toh(undo.word[0]) : 0);
	if (ret) {
		cd_restore(&undo);
		if (was_bound)
			cd_group_flush(c, grp, pasid, 0);
	}
out:
	if (!grp->nr && !grp->blocked)
		cd_group_forget(c, fd);
	return ret;
}

/* The groups that @group_fd means; returns how many */
static int cd_targets(const struct vfio_container *c, int group_fd,
		      int fds[VFIO_MAX_DEVS])
{
	int i;

	if (group_fd != NEST_ALL_GROUPS) {
		fds[0] = group_fd;
		return 1;
	}
	for (i = 0; i < c->nr_groups; i++)
		fds[i] = c->groups[i].fd;
	return i;
}

static int smmu_bind(const struct vfio_container *c, int group_fd, u32 pasid,
		     const struct s1_table *t)
{
	struct cd_undo undo[VFIO_MAX_DEVS];
	int fds[VFIO_MAX_DEVS], i, nr, done = 0, ret = 0;

	if (pasid >> t->g->pasid_bits)
		return -ERANGE;
	cd_groups_lock(c);
	__atomic_store_n(&c->cds->used, true, __ATOMIC_RELAXED);
	nr = cd_targets(c, group_fd, fds);
	for (i = 0; i < nr && !ret; i++) {
		ret = cd_bind_one(c, fds[i], pasid, t, &undo[done]);
		if (!ret)
			done++;
		/* Of several groups one may be leaving */
		else if (ret == -ENOENT && nr > 1)
			ret = 0;
	}
	for (i = 0; ret && i < done; i++) {
		cd_restore(&undo[i]);
		cd_group_update(c, undo[i].grp, pasid,
				CD_V | CMD_ASID(t->asid));
	}
	cd_groups_unlock(c);
	return ret ? ret : done ? 0 : -ENOENT;
}

int cd_unbind(const struct vfio_container *c, int group_fd, u32 pasid,
	      bool block)
{
	int fds[VFIO_MAX_DEVS], i, nr, done = 0, ret = 0;

	cd_groups_lock(c);
	nr = cd_targets(c, group_fd, fds);
	for (i = 0; i < nr && !ret; i++) {
		ret = cd_unbind_one(c, fds[i], pasid, block);
		if (!ret)
			done++;
		else if (ret == -ENOENT && nr > 1)
			ret = 0;
	}
	cd_groups_unlock(c);
	return ret ? ret : done ? 0 : -ENOENT;
}

const struct s1_ops s1_smmu_ops = {
	.name = "SMMUv3 stage 1",
	.format = VFIO_NESTING_FORMAT_SMMUV3,
	.feature = VFIO_NESTING_FEATURE_BIND_PASID_TABLE,
	.data_len = sizeof(struct vfio_nesting_smmuv3_ste),
	.inv_len = sizeof(struct vfio_nesting_smmuv3_cmd),
	.whole = true,
	.stalls = true,
	.init = smmu_init,
	.map = smmu_map,
	.unmap = smmu_unmap,
	.flags = smmu_flags,
	.bind_data = smmu_bind_data,
	.inv_entry = smmu_inv_entry,
	.bind = smmu_bind,
	.inv_range = smmu_inv_range,
};
