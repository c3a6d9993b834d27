/* SPDX-License-Identifier: MIT */
/*
 * mm/kva_tree.c - a treap of taken spans that knows the gaps between them
 *
 * The theory is at the top of mm/kva.c. Two operations do all the shaping: split() cuts a treap into
 * the nodes below a page and the rest, merge() puts two such treaps together. Both touch a path of
 * expected length 2 ln n, and both restore `largest` on their way back.
 */
#include "mm/kva_tree.h"

#include "mm/frame.h"
#include "mm/port.h"

#define KIND_END (~0u)

struct kva_node {
    uint64_t         page, end;
    uint64_t         gap;     /* K1 */
    uint64_t         largest; /* K2 */
    struct kva_node *left, *right;
    uint64_t         hash;    /* K3 */
    unsigned         kind;
};

/* ---- node pages ------------------------------------------------------------------------------- */

#define SLAB_NODES 56

struct kva_slab {
    struct kva_slab *next, **link; /* list of slabs with a free node; link is NULL when full */
    uint64_t         free;         /* bit i: node i is free                                    */
    pfn_t            frame;
    struct kva_node  node[SLAB_NODES];
};

_Static_assert(sizeof(struct kva_slab) <= PAGE_SIZE, "a slab is a page");

#define SLAB_EMPTY (((uint64_t)1 << SLAB_NODES) - 1)

static void slab_list(struct kva_tree *t, struct kva_slab *s)
{
    s->next = t->slabs;
    s->link = &t->slabs;
    if (s->next != NULL)
        s->next->link = &s->next;
    t->slabs = s;
}

static void slab_unlist(struct kva_slab *s)
{
    *s->link = s->next;
    if (s->next != NULL)
        s->next->link = s->link;
    s->link = NULL;
}

static err_t node_new(struct kva_tree *t, struct kva_node **out)
{
    struct kva_slab *s = t->slabs;
    unsigned         i;

    if (s == NULL) {
        pfn_t frame;
        err_t err = frame_alloc(0, &frame);

        if (err != ERR_OK)
            return err;
        s = port_ptr(pfn_to_pa(frame));
        s->frame = frame;
        s->free = SLAB_EMPTY;
        slab_list(t, s);
    }
    i = (unsigned)__builtin_ctzll(s->free);
    s->free &= s->free - 1;
    if (s->free == 0)
        slab_unlist(s);
    *out = &s->node[i];
    return ERR_OK;
}

static void node_free(struct kva_tree *t, struct kva_node *n)
{
    struct kva_slab *s = (struct kva_slab *)align_down((uintptr_t)n, PAGE_SIZE);

    if (s->free == 0)
        slab_list(t, s);
    s->free |= (uint64_t)1 << (n - s->node);
    if (s->free == SLAB_EMPTY) {
        err_t err;

        slab_unlist(s);
        err = frame_free(s->frame);
        ASSERT(err == ERR_OK);
    }
}

/* ---- shape ------------------------------------------------------------------------------------ */

static uint64_t largest(const struct kva_node *n) { return n == NULL ? 0 : n->largest; }

static void update(struct kva_node *n)
{
    n->largest = max_u64(n->gap, max_u64(largest(n->left), largest(n->right)));
}

/* Nodes below `page` to *low, the others to *high */
static void split(struct kva_node *n, uint64_t page, struct kva_node **low, struct kva_node **high)
{
    if (n == NULL) {
        *low = *high = NULL;
    } else if (n->page < page) {
        split(n->right, page, &n->right, high);
        *low = n;
        update(n);
    } else {
        split(n->left, page, low, &n->left);
        *high = n;
        update(n);
    }
}

/* Every node of `low` lies below every node of `high`. */
static struct kva_node *merge(struct kva_node *low, struct kva_node *high)
{
    if (low == NULL)
        return high;
    if (high == NULL)
        return low;
    if (low->hash >= high->hash) {
        low->right = merge(low->right, high);
        update(low);
        return low;
    }
    high->left = merge(low, high->left);
    update(high);
    return high;
}

/* The lowest node of the treap has another gap in front of it now. */
static void set_first_gap(struct kva_node *n, uint64_t gap)
{
    if (n->left != NULL)
        set_first_gap(n->left, gap);
    else
        n->gap = gap;
    update(n);
}

static const struct kva_node *first(const struct kva_node *n)
{
    while (n->left != NULL)
        n = n->left;
    return n;
}

/* splitmix64, Steele, Lea and Flood 2014: neighbouring pages get unrelated hashes */
static uint64_t hash(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

/* ---- operations ------------------------------------------------------------------------------- */

err_t kva_tree_start(struct kva_tree *t, uint64_t first_page, uint64_t end)
{
    struct kva_node *n;
    err_t            err;

    *t = (struct kva_tree){ 0 };
    err = node_new(t, &n);
    if (err != ERR_OK)
        return err;
    *n = (struct kva_node){ .page = end, .end = end, .gap = end - first_page, .hash = hash(end), .kind = KIND_END };
    update(n);
    t->root = n;
    return ERR_OK;
}

/* The lowest node with a gap of n pages in front of it */
static const struct kva_node *lowest_gap(const struct kva_node *node, uint64_t n)
{
    while (node != NULL && node->largest >= n) {
        if (largest(node->left) >= n)
            node = node->left;
        else if (node->gap >= n)
            return node;
        else
            node = node->right;
    }
    return NULL;
}

err_t kva_tree_place(struct kva_tree *t, uint64_t n, uint64_t align, unsigned kind, uint64_t *page)
{
    const struct kva_node *after = lowest_gap(t->root, n + align - 1); /* there, it fits wherever the gap begins */
    struct kva_node       *node, *low, *high;
    uint64_t               gap_start, at, next;
    err_t                  err;

    if (after == NULL)
        return ERR_NOMEM;
    gap_start = after->page - after->gap;
    next = after->page;
    at = align_up(gap_start, align);
    err = node_new(t, &node);
    if (err != ERR_OK)
        return err;
    *node = (struct kva_node){ .page = at, .end = at + n, .gap = at - gap_start, .hash = hash(at), .kind = kind };
    update(node);
    split(t->root, at, &low, &high);
    set_first_gap(high, next - node->end);
    t->root = merge(merge(low, node), high);
    *page = at;
    return ERR_OK;
}

err_t kva_tree_resize(struct kva_tree *t, uint64_t page, uint64_t end)
{
    struct kva_node *low, *node, *high;
    uint64_t         next;
    err_t            err = ERR_OK;

    split(t->root, page, &low, &high);
    split(high, page + 1, &node, &high);
    ASSERT(node != NULL);
    next = first(high)->page;
    if (end > next) {
        err = ERR_EXISTS;
    } else {
        node->end = end;
        set_first_gap(high, next - end);
    }
    t->root = merge(merge(low, node), high);
    return err;
}

void kva_tree_remove(struct kva_tree *t, uint64_t page)
{
    struct kva_node *low, *node, *high;

    split(t->root, page, &low, &high);
    split(high, page + 1, &node, &high);
    ASSERT(node != NULL);
    set_first_gap(high, first(high)->gap + (node->end - node->page) + node->gap);
    t->root = merge(low, high);
    node_free(t, node);
}

bool kva_tree_find(const struct kva_tree *t, uint64_t page, struct kva_span *out)
{
    const struct kva_node *n = t->root;

    while (n != NULL && (page < n->page || page >= n->end))
        n = page < n->page ? n->left : n->right;
    if (n == NULL)
        return false;
    *out = (struct kva_span){ n->page, n->end, n->kind };
    return true;
}

static bool each(const struct kva_node *n, bool (*fn)(void *arg, const struct kva_span *s), void *arg)
{
    const struct kva_span *span;

    if (n == NULL)
        return true;
    span = &(struct kva_span){ n->page, n->end, n->kind };
    return each(n->left, fn, arg) && (n->kind == KIND_END || fn(arg, span)) && each(n->right, fn, arg);
}

void kva_tree_each(const struct kva_tree *t, bool (*fn)(void *arg, const struct kva_span *s), void *arg)
{
    (void)each(t->root, fn, arg);
}

static const char *check(const struct kva_node *n, uint64_t *end)
{
    const char *wrong;

    if (n == NULL)
        return NULL;
    wrong = check(n->left, end);
    if (wrong != NULL)
        return wrong;
    if (n->page < *end || n->gap != n->page - *end || (n->end <= n->page && n->kind != KIND_END))
        return "K1: spans overlap, or a gap is wrong";
    if (n->largest != max_u64(n->gap, max_u64(largest(n->left), largest(n->right))))
        return "K2: a largest gap is wrong";
    if ((n->left != NULL && n->left->hash > n->hash) || (n->right != NULL && n->right->hash > n->hash))
        return "K3: hashes are not a heap";
    *end = n->end;
    return check(n->right, end);
}

const char *kva_tree_check(const struct kva_tree *t)
{
    const struct kva_node *lowest = first(t->root);
    uint64_t               end = lowest->page - lowest->gap;

    return check(t->root, &end);
}

void kva_tree_end(struct kva_tree *t)
{
    ASSERT(t->root->kind == KIND_END && t->root->left == NULL && t->root->right == NULL);
    node_free(t, t->root);
    t->root = NULL;
}
