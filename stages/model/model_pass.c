/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chunk of rows through the model, forth and back:
 *
 *   inputs x[0] -> cross layers x[l] -> MLP hidden[i] -> trunk -> logits
 *
 * The last of them writes straight into the first H columns of the trunk; the
 * FM fills the D columns beside it, so that one product serves all heads.
 */
#include "stages/model/activation.h"
#include "stages/model/cross.h"
#include "stages/model/fm.h"
#include "stages/model/gemm.h"
#include "stages/model/linear.h"
#include "stages/model/model_priv.h"

#include <string.h>

/* A layer's weight, in parameters or in a gradient. */
static struct matrix
view_weight(const struct dense_layer *l, float *block)
{
    return matrix_view(block + l->weight, l->rows, l->columns);
}

static struct gemm_weights
weights(const struct model *m, const struct dense_layer *l)
{
    struct gemm_weights w = {view_weight(l, m->parameters),
                             m->packed + l->packed};

    return w;
}

static void
pack_layer(struct model *m, struct dense_layer *l, size_t *used)
{
    l->packed = *used;
    *used += gemm_packed_floats(l->rows, l->columns);
    if (m->packed != NULL)
        gemm_pack(m->packed + l->packed, view_weight(l, m->parameters));
}

size_t
pass_pack(struct model *m)
{
    size_t used = 0;

    for (size_t i = 0; i < m->spec.cross_layers; i++)
        pack_layer(m, &m->cross[i], &used);
    for (size_t i = 0; i < m->spec.hidden_count; i++)
        pack_layer(m, &m->mlp[i], &used);
    pack_layer(m, &m->heads, &used);
    m->is_packed = m->packed != NULL;
    return used;
}

struct matrix
pass_gradient(const struct model *m, size_t first, size_t n)
{
    struct matrix shared = {m->inputs + first * m->G, n, m->N, m->G};

    if (m->inputs_gradient == NULL)
        return shared;
    return matrix_view(m->inputs_gradient + first * m->N, n, m->N);
}

static struct matrix
chunk_logits(const struct model *m, float *block, size_t first, size_t n)
{
    size_t width = m->L + m->A;

    return matrix_view(block + first * width, n, width);
}

/* One NUMBER or VECTOR of a chunk into its inputs. */
static void
gather_numeric(const struct model *m, const struct numeric *num,
               struct matrix x, size_t first)
{
    const struct column *c = &m->batch->features[num->feature->column];
    size_t width = num->feature->width;

    assert(c->kind == num->feature->kind);
    for (size_t r = 0; r < x.rows; r++) {
        bool is_present = c->present[first + r] != 0;
        const float *from = c->values + (first + r) * width;
        float *to = matrix_row(x, r) + num->offset;

        if (!is_present)
            memset(to, 0, width * sizeof(*to));
        else if (num->feature->standardize)
            standardize_row(&num->stats, to, from);
        else
            memcpy(to, from, width * sizeof(*to));
        if (num->indicator != NONE)
            matrix_row(x, r)[num->indicator] = is_present ? 0.0F : 1.0F;
    }
}

/* Adds a number's or vector's linear term to the serving logits. */
static void
linear_numeric_forward(const struct model *m, const struct numeric *num,
                       struct matrix x, struct matrix z)
{
    size_t width = num->feature->width;
    size_t stride = width + (num->indicator != NONE);

    for (size_t r = 0; r < x.rows; r++) {
        const float *row = matrix_row(x, r);

        for (size_t l = 0; l < m->L; l++) {
            const float *w = m->parameters + num->linear + l * stride;
            float sum = 0.0F;

            for (size_t i = 0; i < width; i++)
                sum += w[i] * row[num->offset + i];
            if (num->indicator != NONE)
                sum += w[width] * row[num->indicator];
            matrix_row(z, r)[l] += sum;
        }
    }
}

static void
linear_numeric_backward(const struct model *m, const struct numeric *num,
                        struct worker *worker, struct matrix x,
                        struct matrix dz)
{
    size_t width = num->feature->width;
    size_t stride = width + (num->indicator != NONE);

    for (size_t r = 0; r < x.rows; r++) {
        const float *row = matrix_row(x, r);

        for (size_t l = 0; l < m->L; l++) {
            float *dw = worker->gradient + num->linear + l * stride;
            float d = matrix_row(dz, r)[l];

            for (size_t i = 0; i < width; i++)
                dw[i] += d * row[num->offset + i];
            if (num->indicator != NONE)
                dw[width] += d * row[num->indicator];
        }
    }
}

/* The inputs of a chunk: rows of the batch's, unless they are the trunk. */
static struct matrix
chunk_inputs(const struct model *m, const struct worker *w, size_t first,
             size_t n)
{
    struct matrix all = {m->inputs + first * m->G, n, m->N, m->G};

    return w->x[0].data == NULL ? all : matrix_rows(w->x[0], 0, n);
}

/*
 * Completes the inputs: numbers beside the embeddings that are there already;
 * and begins the logits with bias and linear term.
 */
static void
gather(struct model *m, struct matrix x, struct matrix z, size_t first)
{
    struct matrix from = matrix_view(m->inputs + first * m->G, x.rows, m->G);
    const float *bias = m->parameters + m->heads.bias;
    size_t linear = m->spec.has_linear ? m->lookup_count : 0;

    for (size_t r = 0; r < z.rows; r++) {
        const float *row = matrix_row(from, r);
        float *to = matrix_row(z, r);

        memcpy(to, bias, z.columns * sizeof(*bias));
        for (size_t i = 0; i < linear; i++) {
            for (size_t l = 0; l < m->L; l++)
                to[l] += row[m->N + i * m->L + l];
        }
        if (matrix_row(x, r) != row)
            memcpy(matrix_row(x, r), row, m->N * sizeof(*row));
    }
    for (size_t i = 0; i < m->numeric_count; i++) {
        gather_numeric(m, &m->numerics[i], x, first);
        if (m->spec.has_linear)
            linear_numeric_forward(m, &m->numerics[i], x, z);
    }
}

void
pass_forward(struct model *m, struct worker *w, size_t first, size_t n)
{
    struct matrix x0 = chunk_inputs(m, w, first, n);
    struct matrix x = x0;
    struct matrix z = chunk_logits(m, m->logits, first, n);
    struct matrix trunk = matrix_rows(w->trunk, 0, n);
    struct gemm_weights heads = weights(m, &m->heads);

    assert(n > 0 && n <= m->chunk_rows);
    gather(m, x, z, first);
    for (size_t i = 0; i < m->spec.cross_layers; i++) {
        struct matrix y = matrix_rows(w->x[i + 1], 0, n);

        struct gemm_weights a = weights(m, &m->cross[i]);

        cross_forward(y, matrix_rows(w->p[i], 0, n), x, x0, &a,
                      m->parameters + m->cross[i].bias);
        x = y;
    }
    for (size_t i = 0; i < m->spec.hidden_count; i++) {
        struct matrix y = matrix_rows(w->hidden[i], 0, n);
        struct gemm_weights a = weights(m, &m->mlp[i]);

        linear_forward(y, x, &a);
        activation_forward(m->spec.activation, y, w->sum[i],
                           m->parameters + m->mlp[i].bias);
        x = y;
    }
    if (m->D > 0)
        fm_forward(matrix_columns(trunk, m->H, m->D),
                   matrix_rows(w->fm_sum, 0, n), x0, m->fm_offsets,
                   m->lookup_count);
    gemm_forth(z, trunk, &heads, 1.0F);
}

static void
add_column_sums(float *restrict to, struct matrix from)
{
    for (size_t r = 0; r < from.rows; r++) {
        const float *restrict row = matrix_row(from, r);

        for (size_t i = 0; i < from.columns; i++)
            to[i] += row[i];
    }
}

/* From here on the auxiliary gradients go into the trunk only. */
static void
scale_auxiliary(const struct model *m, struct matrix dz)
{
    for (size_t t = 0; t < m->task_count; t++) {
        const struct task *task = &m->tasks[t];
        float scale = m->plans[t].objective.gradient_scale;

        for (size_t r = 0; task->auxiliary != NONE && r < dz.rows; r++) {
            float *d = matrix_row(dz, r) + task->auxiliary;

            for (size_t k = 0; k < task->width; k++)
                d[k] *= scale;
        }
    }
}

/* Heads: into the trunk's gradient. */
static void
heads_backward(struct model *m, struct worker *w, struct matrix dz)
{
    struct matrix trunk = matrix_rows(w->trunk, 0, dz.rows);
    struct matrix dtrunk = matrix_rows(w->dtrunk, 0, dz.rows);
    struct gemm_weights heads = weights(m, &m->heads);

    add_column_sums(w->gradient + m->heads.bias, dz);
    gemm_tn(view_weight(&m->heads, w->gradient), dz, trunk, 1.0F);
    if (m->A > 0)
        scale_auxiliary(m, dz);
    gemm_back(dtrunk, dz, &heads, 0.0F);
}

/* MLP: from dy, the gradient of its output, into dx. */
static void
mlp_backward(struct model *m, struct worker *w, struct matrix x0,
             struct matrix dy, struct matrix dx)
{
    size_t crosses = m->spec.cross_layers;
    size_t n = dy.rows;

    for (size_t i = m->spec.hidden_count; i-- > 0;) {
        struct gemm_weights a = weights(m, &m->mlp[i]);
        struct matrix x = x0;
        struct matrix to = dx;

        if (i > 0) {
            x = matrix_rows(w->hidden[i - 1], 0, n);
            to = matrix_rows(w->dhidden[i - 1], 0, n);
        } else if (crosses > 0) {
            x = matrix_rows(w->x[crosses], 0, n);
        }
        activation_backward(m->spec.activation, dy,
                            matrix_rows(w->hidden[i], 0, n), w->sum[i],
                            w->gradient + m->mlp[i].bias);
        linear_backward(to, view_weight(&m->mlp[i], w->gradient), dy, x, &a);
        dy = to;
    }
}

static void
add_rows(struct matrix to, struct matrix from)
{
    for (size_t r = 0; r < to.rows; r++) {
        float *restrict t = matrix_row(to, r);
        const float *restrict f = matrix_row(from, r);

        for (size_t i = 0; i < to.columns; i++)
            t[i] += f[i];
    }
}

/* Cross layers: dx in place, from their output to the inputs. */
static void
crosses_backward(struct model *m, struct worker *w, struct matrix x0,
                 struct matrix dx)
{
    size_t n = dx.rows;
    struct matrix dx0 = matrix_rows(w->dx0, 0, n);

    for (size_t r = 0; r < n; r++)
        memset(matrix_row(dx0, r), 0, m->N * sizeof(float));
    for (size_t i = m->spec.cross_layers; i-- > 0;) {
        struct cross_back c = {
            .p = matrix_rows(w->p[i], 0, n),
            .x = i > 0 ? matrix_rows(w->x[i], 0, n) : x0,
            .x0 = x0,
            .w = weights(m, &m->cross[i]),
            .dw = view_weight(&m->cross[i], w->gradient),
            .dbias = w->gradient + m->cross[i].bias,
            .dp = matrix_rows(w->dp, 0, n),
        };

        cross_backward(dx, dx0, &c);
    }
    add_rows(dx, dx0);
}

/* Finds the largest gradient by its bits, which order as the absolute values
 * do, infinities and NaN above all. */
static uint32_t
largest_bits(struct matrix m, uint32_t largest)
{
    for (size_t r = 0; r < m.rows; r++) {
        const float *row = matrix_row(m, r);

        for (size_t i = 0; i < m.columns; i++) {
            uint32_t bits;

            memcpy(&bits, &row[i], sizeof(bits));
            bits &= 0x7FFFFFFFU;
            largest = bits > largest ? bits : largest;
        }
    }
    return largest;
}

void
pass_backward(struct model *m, struct worker *w, size_t first, size_t n)
{
    struct matrix dz = chunk_logits(m, m->logits_gradient, first, n);
    struct matrix dx = pass_gradient(m, first, n);
    struct matrix dtrunk = matrix_rows(w->dtrunk, 0, n);
    struct matrix x = chunk_inputs(m, w, first, n);
    struct matrix wanted = dx;

    assert(n > 0 && n <= m->chunk_rows);
    if (m->lookup_count == 0 && m->spec.cross_layers == 0)
        wanted.data = NULL; /* nothing before the MLP learns */
    for (size_t i = 0; m->spec.has_linear && i < m->numeric_count; i++)
        linear_numeric_backward(m, &m->numerics[i], w, x, dz);
    heads_backward(m, w, dz);
    if (m->spec.hidden_count > 0) {
        mlp_backward(m, w, x, matrix_columns(dtrunk, 0, m->H), wanted);
    } else {
        for (size_t r = 0; r < n; r++)
            memcpy(matrix_row(dx, r), matrix_row(dtrunk, r),
                   m->N * sizeof(float));
    }
    if (m->spec.cross_layers > 0)
        crosses_backward(m, w, x, dx);
    if (m->D > 0)
        fm_backward(dx, matrix_columns(dtrunk, m->H, m->D),
                    matrix_rows(w->fm_sum, 0, n), x, m->fm_offsets,
                    m->lookup_count);
    if (wanted.data != NULL)
        w->largest = largest_bits(dx, w->largest);
}
