/* SPDX-License-Identifier: MIT */
/*
 * mm/span_tree.c - a treap of taken spans that knows the gaps between them
 *
 * Promise     every operation takes a path of expected length 2 ln n; free space needs no nodes.
 *
 * Picture     page  0       3        7     9                    e
 *                   [ free  ][ taken ][free][ taken ][ free ... ][bound]
 *                            gap 3          gap 2                gap: the rest
 *
 * Idea        A search tree by page, a heap by a hash of the first page: so it is balanced whatever the order
 *             of calls. Each node knows the gap in front of it, and the largest gap in its subtree: so the
 *             lowest (or highest) gap that is large enough is one walk from the root. A new node takes its
 *             place on the way down where its hash says, and the treap below is split around it; where a node
 *             goes, its two subtreaps are merged. Both restore `largest` on their way back.
 *
 * Invariants  S1  in order of pages, spans don't overlap, and gap == page - end of the one before
 *             S2  largest == the largest gap in the node's subtree
 *             S3  a hash is not smaller than its children's
 * Locks       the owner's
 * Failure     nothing is allocated here; what is refused changes nothing
 * Sources     Seidel and Aragon, "Randomized Search Trees", Algorithmica 16 (1996)
 */
#include "mm/span_tree.h"

#include "mm/port.h"

/* ---- shape ------------------------------------------------------------------------------------ */

static uint64_t largest(const struct span_node *n) { return n == NULL ? 0 : n->largest; }

static void update(struct span_node *n)
{
    n->largest = max_u64(n->gap, max_u64(largest(n->left), largest(n->right)));
}

/* Nodes below `page` to *low, the others to *high */
static void split(struct span_node *n, uint64_t page, struct span_node **low, struct span_node **high)
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
static struct span_node *merge(struct span_node *low, struct span_node *high)
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

/* The node at `page`, in this treap, has another gap in front of it: what is above it knows */
static void fix(struct span_node *n, uint64_t page)
{
    ASSERT(n != NULL); /* the node is there */
    if (page != n->page)
        fix(page < n->page ? n->left : n->right, page);
    update(n);
}

static struct span_node *insert(struct span_node *t, struct span_node *node)
{
    if (t == NULL || node->hash > t->hash) {
        split(t, node->page, &node->left, &node->right);
        t = node;
    } else if (node->page < t->page) {
        t->left = insert(t->left, node);
    } else {
        t->right = insert(t->right, node);
    }
    update(t);
    return t;
}

static struct span_node *erase(struct span_node *t, const struct span_node *node)
{
    if (t == node)
        return merge(t->left, t->right);
    if (node->page < t->page)
        t->left = erase(t->left, node);
    else
        t->right = erase(t->right, node);
    update(t);
    return t;
}

/* splitmix64, Steele, Lea and Flood 2014: neighbouring pages get unrelated hashes */
static uint64_t hash(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

/* The lowest node that ends above `page`; NULL: none, or the bound, which ends where it begins */
static struct span_node *from(const struct span_tree *t, uint64_t page)
{
    struct span_node *n = t->root, *best = NULL;

    while (n != NULL)
        if (n->end > page) {
            best = n;
            n = n->left;
        } else {
            n = n->right;
        }
    return best;
}

/* ---- changing --------------------------------------------------------------------------------- */

void span_tree_start(struct span_tree *t, uint64_t first, uint64_t end)
{
    t->bound = (struct span_node){ .page = end, .end = end, .gap = end - first, .hash = hash(end) };
    update(&t->bound);
    t->root = &t->bound;
    t->first = first;
}

/* The node above, perhaps the bound */
static struct span_node *after(struct span_tree *t, uint64_t page)
{
    struct span_node *n = from(t, page);

    return n != NULL ? n : &t->bound;
}

err_t span_insert(struct span_tree *t, struct span_node *node)
{
    struct span_node *next = after(t, node->page);

    if (node->page < t->first || node->end <= node->page || node->end > t->bound.page)
        return ERR_INVAL;
    if (next->page < node->end)
        return ERR_EXISTS;
    node->gap = node->page - (next->page - next->gap);
    node->hash = hash(node->page);
    node->left = node->right = NULL;
    next->gap = next->page - node->end;
    t->root = insert(t->root, node);
    fix(t->root, next->page);
    return ERR_OK;
}

err_t span_resize(struct span_tree *t, struct span_node *node, uint64_t page, uint64_t end)
{
    struct span_node *next = after(t, node->end);

    if (end > next->page || page < node->page - node->gap)
        return ERR_EXISTS;
    if (page != node->page) {
        node->gap += page - node->page; /* modulo 2^64 */
        node->page = page;
        fix(t->root, page);
    }
    if (end != node->end) {
        node->end = end;
        next->gap = next->page - end;
        fix(t->root, next->page);
    }
    return ERR_OK;
}

void span_remove(struct span_tree *t, struct span_node *node)
{
    struct span_node *next = after(t, node->end);

    next->gap += (node->end - node->page) + node->gap;
    t->root = erase(t->root, node);
    fix(t->root, next->page);
}

/* ---- looking ---------------------------------------------------------------------------------- */

struct span_node *span_find(const struct span_tree *t, uint64_t page)
{
    struct span_node *n = t->root;

    while (n != NULL && (page < n->page || page >= n->end))
        n = page < n->page ? n->left : n->right;
    return n;
}

struct span_node *span_from(const struct span_tree *t, uint64_t page)
{
    struct span_node *n = from(t, page);

    return n != &t->bound ? n : NULL;
}

err_t span_room_low(const struct span_tree *t, uint64_t n, uint64_t align, uint64_t *page)
{
    const struct span_node *node = t->root;
    uint64_t                want = n + align - 1;

    if (largest(node) < want)
        return ERR_NOMEM;
    for (;;) {
        if (largest(node->left) >= want)
            node = node->left;
        else if (node->gap >= want)
            break;
        else
            node = node->right;
    }
    *page = align_up(node->page - node->gap, align);
    return ERR_OK;
}

err_t span_room_high(const struct span_tree *t, uint64_t n, uint64_t align, uint64_t *page)
{
    const struct span_node *node = t->root;
    uint64_t                want = n + align - 1;

    if (largest(node) < want)
        return ERR_NOMEM;
    for (;;) {
        if (largest(node->right) >= want)
            node = node->right;
        else if (node->gap >= want)
            break;
        else
            node = node->left;
    }
    *page = align_down(node->page - n, align);
    return ERR_OK;
}

static const char *check(const struct span_tree *t, const struct span_node *n, uint64_t *end)
{
    const char *wrong;

    if (n == NULL)
        return NULL;
    wrong = check(t, n->left, end);
    if (wrong != NULL)
        return wrong;
    if (n->page < *end || n->gap != n->page - *end || (n->end <= n->page && n != &t->bound))
        return "S1: spans overlap, or a gap is wrong";
    if (n->largest != max_u64(n->gap, max_u64(largest(n->left), largest(n->right))))
        return "S2: a largest gap is wrong";
    if ((n->left != NULL && n->left->hash > n->hash) || (n->right != NULL && n->right->hash > n->hash))
        return "S3: hashes are not a heap";
    *end = n->end;
    return check(t, n->right, end);
}

const char *span_tree_check(const struct span_tree *t)
{
    uint64_t end = t->first;

    return check(t, t->root, &end);
}
