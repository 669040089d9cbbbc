/* SPDX-License-Identifier: Apache-2.0 */
/* Every layer against finite differences and its naive definition. */
#include "stages/model/activation.h"
#include "stages/model/adapter.h"
#include "stages/model/cross.h"
#include "stages/model/fm.h"
#include "stages/model/gemm.h"
#include "stages/model/linear.h"
#include "stages/model/standardize.h"

#include "tests/support/check.h"
#include "tests/support/model_case.h"

#include <stdlib.h>

enum { B = 5, WIDTH = 7, OUT = 4, MOST = 8192 };

static uint64_t state = 3;

static void
fill(float *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        v[i] = case_random(&state);
}

/* The step of a finite difference and what it may be off by: float forward
 * passes leave 1e-7 / EPS, the third derivative adds EPS^2. */
static const float EPS = 1e-2F;
static const double NEAR = 2e-3;

/* A scalar function of some floats: the layer's outputs times fixed numbers. */
typedef double (*scalar_fn)(void);

static void
check_slope(float *w, const float *dw, size_t n, scalar_fn f, const char *what)
{
    for (size_t i = 0; i < n; i++) {
        float kept = w[i];
        double up;
        double down;
        double slope;

        w[i] = kept + EPS;
        up = f();
        w[i] = kept - EPS;
        down = f();
        w[i] = kept;
        slope = (up - down) / (2.0 * (double)EPS);
        if (!(fabs((double)dw[i] - slope) <= NEAR))
            (void)printf("%s[%zu]:\n", what, i);
        CHECK_NEAR(dw[i], slope, NEAR);
    }
}

static double
weigh(struct matrix y, const float *weights)
{
    double sum = 0.0;

    for (size_t r = 0; r < y.rows; r++) {
        for (size_t i = 0; i < y.columns; i++)
            sum += (double)matrix_row(y, r)[i] *
                   (double)weights[r * y.columns + i];
    }
    return sum;
}

/* ---- Products ---- */

/* Compares with three loops, for shapes that take every path. */
static void
check_products(size_t M, size_t N, size_t K)
{
    float a[MOST];
    float b[MOST];
    float at[MOST];
    float bt[MOST];
    float c[3][MOST];

    fill(a, M * K);
    fill(b, K * N);
    for (size_t i = 0; i < M * K; i++)
        at[i % K * M + i / K] = a[i];
    for (size_t i = 0; i < K * N; i++)
        bt[i % N * K + i / N] = b[i];
    for (size_t i = 0; i < M * N; i++)
        c[0][i] = c[1][i] = c[2][i] = 1.0F;
    gemm_nn(matrix_view(c[0], M, N), matrix_view(a, M, K), matrix_view(b, K, N),
            1.0F);
    gemm_nt(matrix_view(c[1], M, N), matrix_view(a, M, K),
            matrix_view(bt, N, K), 1.0F);
    gemm_tn(matrix_view(c[2], M, N), matrix_view(at, K, M),
            matrix_view(b, K, N), 1.0F);
    for (size_t i = 0; i < M * N; i++) {
        double want = 1.0;

        for (size_t k = 0; k < K; k++)
            want += (double)a[i / N * K + k] * (double)b[k * N + i % N];
        CHECK_NEAR(c[0][i], want, 1e-5);
        CHECK_NEAR(c[1][i], want, 1e-5);
        CHECK_NEAR(c[2][i], want, 1e-5);
    }
}

static void
test_gemm_equals_three_loops(void)
{
    struct error err;

    CHECK_INT(gemm_start(&err), STATUS_OK);
    check_products(5, 7, 3);
    check_products(1, 7, 3);
    check_products(7, 1, 3);
    check_products(5, 7, 1);
    check_products(1, 1, 1);
    check_products(1, 1, 6);
    check_products(1, 6, 1);
    check_products(8, 32, 8);
    check_products(9, 40, 16);
    check_products(24, 40, 129);
    check_products(19, 37, 133);
}

typedef void (*weights_fn)(struct matrix c, struct matrix a,
                           const struct gemm_weights *w, float beta);

/* A product of packed weights against that of plain ones, c (rows, N) and
 * a (rows, K). */
static void
check_same(weights_fn product, size_t rows, size_t N, size_t K,
           const struct gemm_weights *plain, const struct gemm_weights *packed)
{
    float a[MOST];
    float c[2][MOST];

    for (float beta = 0.0F; beta < 2.0F; beta += 1.0F) {
        fill(a, rows * K);
        fill(c[0], rows * N);
        memcpy(c[1], c[0], rows * N * sizeof(float));
        product(matrix_view(c[0], rows, N), matrix_view(a, rows, K), plain,
                beta);
        product(matrix_view(c[1], rows, N), matrix_view(a, rows, K), packed,
                beta);
        CHECK(memcmp(c[0], c[1], rows * N * sizeof(float)) == 0);
    }
}

/* Weights (O, I), packed twice, as they are when they change. */
static void
check_packed(size_t rows, size_t O, size_t I)
{
    float w[MOST];
    size_t floats = gemm_packed_floats(O, I);
    float *copies = aligned_alloc(64, (floats + 16) / 16 * 64);
    struct gemm_weights plain = {matrix_view(w, O, I), NULL};
    struct gemm_weights packed = {matrix_view(w, O, I), copies};

    CHECK(copies != NULL);
    for (int round = 0; round < 2; round++) {
        fill(w, O * I);
        gemm_pack(copies, plain.w);
        check_same(gemm_forth, rows, O, I, &plain, &packed);
        check_same(gemm_back, rows, I, O, &plain, &packed);
    }
    free(copies);
}

static void
test_gemm_with_packed_weights_is_the_same_to_the_bit(void)
{
    CHECK(gemm_packed_floats(64, 40) >= 2 * 64 * 40);
    check_packed(16, 32, 32);
    check_packed(19, 64, 40);
    check_packed(9, 40, 140);
    check_packed(9, 140, 40);
    check_packed(3, 40, 40);
    check_packed(1, 40, 40);
    check_packed(16, 1, 40);
    check_packed(16, 40, 1);
}

static void
test_gemm_with_beta_0_ignores_what_was_there(void)
{
    float a[4] = {1, 2, 3, 4};
    float b[2] = {1, 1};
    float c[4] = {NAN, NAN, NAN, NAN};

    gemm_nn(matrix_view(c, 2, 2), matrix_view(a, 2, 1), matrix_view(b, 1, 2),
            0.0F);
    CHECK_NEAR(c[0], 1.0, 0.0);
    CHECK_NEAR(c[3], 2.0, 0.0);
    c[0] = c[1] = NAN;
    gemm_nt(matrix_view(c, 2, 1), matrix_view(a, 2, 2), matrix_view(b, 1, 2),
            0.0F);
    CHECK_NEAR(c[0], 3.0, 0.0);
    CHECK_NEAR(c[1], 7.0, 0.0);
}

/* ---- Linear ---- */

static struct {
    float x[B * WIDTH], w[OUT * WIDTH], y[B * OUT], weights[B * OUT];
} lin;

static double
linear_value(void)
{
    struct matrix y = matrix_view(lin.y, B, OUT);
    struct gemm_weights w = {matrix_view(lin.w, OUT, WIDTH), NULL};

    linear_forward(y, matrix_view(lin.x, B, WIDTH), &w);
    return weigh(y, lin.weights);
}

static void
test_linear_backward_equals_finite_differences(void)
{
    float dx[B * WIDTH];
    float dw[OUT * WIDTH] = {0};
    float kept;
    struct matrix none = {0};
    struct gemm_weights w = {matrix_view(lin.w, OUT, WIDTH), NULL};

    fill(lin.x, B * WIDTH);
    fill(lin.w, OUT * WIDTH);
    fill(lin.weights, B * OUT);
    linear_backward(matrix_view(dx, B, WIDTH), matrix_view(dw, OUT, WIDTH),
                    matrix_view(lin.weights, B, OUT),
                    matrix_view(lin.x, B, WIDTH), &w);
    check_slope(lin.x, dx, B * WIDTH, linear_value, "dx");
    check_slope(lin.w, dw, OUT * WIDTH, linear_value, "dw");
    kept = dw[3];
    linear_backward(none, matrix_view(dw, OUT, WIDTH),
                    matrix_view(lin.weights, B, OUT),
                    matrix_view(lin.x, B, WIDTH), &w);
    CHECK_NEAR(dw[3], 2.0 * (double)kept, 1e-6); /* accumulated */
}

/* ---- Activations ---- */

static struct {
    enum activation kind;
    float in[B * WIDTH], y[B * WIDTH], sum[B * WIDTH], bias[WIDTH],
        weights[B * WIDTH];
} act;

static double
activation_value(void)
{
    struct matrix y = matrix_view(act.y, B, WIDTH);

    memcpy(act.y, act.in, sizeof(act.y));
    activation_forward(act.kind, y, matrix_view(act.sum, B, WIDTH), act.bias);
    return weigh(y, act.weights);
}

static void
test_activation_backward_equals_finite_differences(void)
{
    for (act.kind = ACTIVATION_RELU; act.kind <= ACTIVATION_IDENTITY;
         act.kind++) {
        float dy[B * WIDTH];
        float dbias[WIDTH] = {0};

        fill(act.in, B * WIDTH);
        fill(act.bias, WIDTH);
        fill(act.weights, B * WIDTH);
        /* Relu has no derivative at 0: keep away from it. */
        for (size_t i = 0; i < B * WIDTH; i++) {
            float sum = act.in[i] + act.bias[i % WIDTH];

            act.in[i] += fabsf(sum) < 0.1F ? 0.3F : 0.0F;
        }
        (void)activation_value();
        memcpy(dy, act.weights, sizeof(dy));
        activation_backward(act.kind, matrix_view(dy, B, WIDTH),
                            matrix_view(act.y, B, WIDTH),
                            matrix_view(act.sum, B, WIDTH), dbias);
        check_slope(act.in, dy, B * WIDTH, activation_value, "dy");
        if (act.kind != ACTIVATION_RELU && act.kind != ACTIVATION_LEAKY_RELU)
            check_slope(act.bias, dbias, WIDTH, activation_value, "dbias");
    }
}

static void
test_activation_values_are_the_usual_ones(void)
{
    static const double want[] = {
        [ACTIVATION_RELU] = 0.0,           [ACTIVATION_TANH] = -0.76159416,
        [ACTIVATION_SIGMOID] = 0.26894142, [ACTIVATION_GELU] = -0.15865525,
        [ACTIVATION_SILU] = -0.26894142,   [ACTIVATION_LEAKY_RELU] = -0.01,
        [ACTIVATION_SOFTMAX] = 0.11920292, [ACTIVATION_IDENTITY] = -1.0,
    };
    const float bias[2] = {-0.5F, 0.5F};

    for (size_t k = 0; k < COUNT(want); k++) {
        float y[2] = {-0.5F, 0.5F};
        float sum[2];

        activation_forward((enum activation)k, matrix_view(y, 1, 2),
                           matrix_view(sum, 1, 2), bias);
        CHECK_NEAR(y[0], want[k], 1e-6);
    }
}

static void
test_activation_keeps_what_is_not_a_number(void)
{
    const float bias[1] = {0.0F};

    for (size_t k = 0; k <= ACTIVATION_IDENTITY; k++) {
        float y[1] = {NAN};
        float sum[1];

        activation_forward((enum activation)k, matrix_view(y, 1, 1),
                           matrix_view(sum, 1, 1), bias);
        CHECK(isnan(y[0]));
    }
}

static void
test_softmax_of_large_sums_is_finite(void)
{
    const float bias[3] = {0.0F, 0.0F, 0.0F};
    float y[3] = {1000.0F, 999.0F, -1000.0F};

    activation_forward(ACTIVATION_SOFTMAX, matrix_view(y, 1, 3),
                       matrix_view(NULL, 0, 0), bias);
    CHECK_NEAR(y[0], 0.73105858, 1e-6);
    CHECK_NEAR(y[2], 0.0, 1e-30);
}

/* ---- Factorization machine ---- */

enum { FIELDS = 3, D = 2 };

static const size_t fields[FIELDS] = {0, 2, 5};
static struct {
    float x[B * WIDTH], y[B * D], sum[B * D], weights[B * D];
} fm;

static double
fm_value(void)
{
    struct matrix y = matrix_view(fm.y, B, D);

    fm_forward(y, matrix_view(fm.sum, B, D), matrix_view(fm.x, B, WIDTH),
               fields, FIELDS);
    return weigh(y, fm.weights);
}

static void
test_fm_forward_sums_all_pairs(void)
{
    fill(fm.x, B * WIDTH);
    (void)fm_value();
    for (size_t r = 0; r < B; r++) {
        for (size_t d = 0; d < D; d++) {
            double want = 0.0;

            for (size_t f = 0; f < FIELDS; f++) {
                for (size_t g = f + 1; g < FIELDS; g++)
                    want += (double)fm.x[r * WIDTH + fields[f] + d] *
                            (double)fm.x[r * WIDTH + fields[g] + d];
            }
            CHECK_NEAR(fm.y[r * D + d], want, 1e-6);
        }
    }
}

static void
test_fm_backward_equals_finite_differences(void)
{
    float dx[B * WIDTH] = {0};

    fill(fm.x, B * WIDTH);
    fill(fm.weights, B * D);
    (void)fm_value();
    fm_backward(matrix_view(dx, B, WIDTH), matrix_view(fm.weights, B, D),
                matrix_view(fm.sum, B, D), matrix_view(fm.x, B, WIDTH), fields,
                FIELDS);
    check_slope(fm.x, dx, B * WIDTH, fm_value, "dx");
}

/* ---- Cross ---- */

static struct {
    float x[B * WIDTH], x0[B * WIDTH], w[WIDTH * WIDTH], bias[WIDTH],
        y[B * WIDTH], p[B * WIDTH], weights[B * WIDTH];
} cr;

static double
cross_value(void)
{
    struct matrix y = matrix_view(cr.y, B, WIDTH);
    struct gemm_weights w = {matrix_view(cr.w, WIDTH, WIDTH), NULL};

    cross_forward(y, matrix_view(cr.p, B, WIDTH), matrix_view(cr.x, B, WIDTH),
                  matrix_view(cr.x0, B, WIDTH), &w, cr.bias);
    return weigh(y, cr.weights);
}

static void
test_cross_backward_equals_finite_differences(void)
{
    float dy[B * WIDTH];
    float dx0[B * WIDTH] = {0};
    float dw[WIDTH * WIDTH] = {0};
    float dbias[WIDTH] = {0};
    float dp[B * WIDTH];
    struct cross_back c = {
        .p = matrix_view(cr.p, B, WIDTH),
        .x = matrix_view(cr.x, B, WIDTH),
        .x0 = matrix_view(cr.x0, B, WIDTH),
        .w = {matrix_view(cr.w, WIDTH, WIDTH), NULL},
        .dw = matrix_view(dw, WIDTH, WIDTH),
        .dbias = dbias,
        .dp = matrix_view(dp, B, WIDTH),
    };

    fill(cr.x, B * WIDTH);
    fill(cr.x0, B * WIDTH);
    fill(cr.w, WIDTH * WIDTH);
    fill(cr.bias, WIDTH);
    fill(cr.weights, B * WIDTH);
    (void)cross_value();
    memcpy(dy, cr.weights, sizeof(dy));
    cross_backward(matrix_view(dy, B, WIDTH), matrix_view(dx0, B, WIDTH), &c);
    check_slope(cr.x, dy, B * WIDTH, cross_value, "dx");
    check_slope(cr.x0, dx0, B * WIDTH, cross_value, "dx0");
    check_slope(cr.w, dw, WIDTH * WIDTH, cross_value, "dw");
    check_slope(cr.bias, dbias, WIDTH, cross_value, "dbias");
}

/* ---- Standardizing ---- */

static void
test_standardize_merges_batches_into_one_mean_and_variance(void)
{
    double mean[2] = {0};
    double variance[2] = {0};
    double count[1] = {0};
    float shift[2];
    float scale[2];
    struct standardize s = {2, mean, variance, count, shift, scale};
    const float values[] = {1, 10, 2, 10, 99, 99, 4, 10, 5, 20};
    const uint8_t present[] = {1, 1, 0, 1, 1};
    float out[2];

    standardize_prepare(&s);
    standardize_row(&s, out, values);
    CHECK_NEAR(out[0], 0.0, 0.0); /* nothing is known yet */
    standardize_learn(&s, values, present, 2);
    standardize_learn(&s, values + 4, present + 2, 1); /* missing */
    standardize_learn(&s, values + 6, present + 3, 2);
    CHECK_NEAR(count[0], 4.0, 0.0);
    CHECK_NEAR(mean[0], 3.0, 1e-12);
    CHECK_NEAR(variance[0], 2.5, 1e-12);
    CHECK_NEAR(mean[1], 12.5, 1e-12);
    CHECK_NEAR(variance[1], 18.75, 1e-12);
    standardize_prepare(&s);
    standardize_row(&s, out, values + 8);
    CHECK_NEAR(out[0], 2.0 / sqrt(2.5), 1e-6);
}

static void
test_standardize_cuts_what_is_far_away(void)
{
    double mean[1] = {0};
    double variance[1] = {0};
    double count[1] = {0};
    float shift[1];
    float scale[1];
    struct standardize s = {1, mean, variance, count, shift, scale};
    const float same[] = {7, 7, 7};
    const uint8_t present[] = {1, 1, 1};
    const float far[] = {8.0F};
    float out[1];

    standardize_learn(&s, same, present, 3);
    standardize_prepare(&s);
    standardize_row(&s, out, far);
    CHECK_NEAR(out[0], STANDARDIZE_MAX, 0.0);
    standardize_row(&s, out, same);
    CHECK_NEAR(out[0], 0.0, 0.0);
}

/* ---- Student adapter ---- */

enum { LOGITS = 3, SEEN = 2 * LOGITS, UNITS = 5 };

static float adapter_w[(SEEN + LOGITS + 1) * UNITS + LOGITS];
static float adapter_x[SEEN];
static float adapter_weights[LOGITS];

static struct adapter
adapter_of(float *w)
{
    return (struct adapter){.I = SEEN,
                            .K = LOGITS,
                            .H = UNITS,
                            .w0 = w,
                            .b0 = w + SEEN * UNITS,
                            .w1 = w + (SEEN + 1) * UNITS,
                            .b1 = w + (SEEN + LOGITS + 1) * UNITS};
}

static double
adapter_value(void)
{
    struct adapter a = adapter_of(adapter_w);
    float z_a[LOGITS];
    float hidden[UNITS];
    double sum = 0.0;

    adapter_forward(&a, z_a, hidden, adapter_x);
    for (size_t k = 0; k < LOGITS; k++)
        sum += (double)z_a[k] * (double)adapter_weights[k];
    return sum;
}

static void
test_adapter_backward_equals_finite_differences_and_adds(void)
{
    struct adapter a = adapter_of(adapter_w);
    float dw[COUNT(adapter_w)] = {0};
    struct adapter d = adapter_of(dw);
    float z_a[LOGITS];
    float hidden[UNITS];

    fill(adapter_w, COUNT(adapter_w));
    fill(adapter_x, SEEN);
    fill(adapter_weights, LOGITS);
    adapter_forward(&a, z_a, hidden, adapter_x);
    adapter_backward(&d, &a, adapter_weights, hidden, adapter_x);
    check_slope(adapter_w, dw, COUNT(adapter_w), adapter_value, "adapter");
    adapter_backward(&d, &a, adapter_weights, hidden, adapter_x);
    for (size_t i = 0; i < COUNT(dw); i++)
        dw[i] /= 2.0F;
    check_slope(adapter_w, dw, COUNT(adapter_w), adapter_value, "twice");
}

static void
test_an_adapter_whose_last_layer_is_0_answers_as_its_last_inputs(void)
{
    struct adapter a = adapter_of(adapter_w);
    float z_a[LOGITS];
    float hidden[UNITS];

    fill(adapter_w, COUNT(adapter_w));
    memset(a.w1, 0, LOGITS * UNITS * sizeof(*a.w1));
    memset(a.b1, 0, LOGITS * sizeof(*a.b1));
    adapter_forward(&a, z_a, hidden, adapter_x);
    for (size_t k = 0; k < LOGITS; k++)
        CHECK_NEAR(z_a[k], adapter_x[SEEN - LOGITS + k], 0.0);
    a.I = LOGITS;
    adapter_forward(&a, z_a, hidden, adapter_x);
    for (size_t k = 0; k < LOGITS; k++)
        CHECK_NEAR(z_a[k], adapter_x[k], 0.0);
}

int
main(void)
{
    RUN(test_gemm_equals_three_loops);
    RUN(test_gemm_with_packed_weights_is_the_same_to_the_bit);
    RUN(test_gemm_with_beta_0_ignores_what_was_there);
    RUN(test_linear_backward_equals_finite_differences);
    RUN(test_activation_backward_equals_finite_differences);
    RUN(test_activation_values_are_the_usual_ones);
    RUN(test_activation_keeps_what_is_not_a_number);
    RUN(test_softmax_of_large_sums_is_finite);
    RUN(test_fm_forward_sums_all_pairs);
    RUN(test_fm_backward_equals_finite_differences);
    RUN(test_cross_backward_equals_finite_differences);
    RUN(test_standardize_merges_batches_into_one_mean_and_variance);
    RUN(test_standardize_cuts_what_is_far_away);
    RUN(test_adapter_backward_equals_finite_differences_and_adds);
    RUN(test_an_adapter_whose_last_layer_is_0_answers_as_its_last_inputs);
    return check_report();
}
