/* SPDX-License-Identifier: Apache-2.0 */
/* Every loss against finite differences, its formula and its identities. */
#include "stages/model/loss.h"

#include "tests/support/check.h"
#include "tests/support/model_case.h"

enum { K = 4 };

/* What a finite difference of a loss in double may be off by; the float z
 * moves by steps that are exact. */
static const float EPS = 0x1p-8F;
static const double NEAR = 1e-4;

static double
sigmoid(double z)
{
    return 1.0 / (1.0 + exp(-z));
}

static struct soft_loss
soft(enum task_kind kind, enum distill_kind distill, double temperature)
{
    return (struct soft_loss){.kind = kind,
                              .distill = distill,
                              .temperature = temperature,
                              .label_scale = 1.0};
}

static void
check_soft(const struct soft_loss *l, size_t width, float size)
{
    uint64_t state = 9;

    for (int round = 0; round < 20; round++) {
        float z[K];
        float teacher[K];
        float dz[K] = {0};

        for (size_t k = 0; k < K; k++) {
            z[k] = roundf(64.0F * size * case_random(&state)) / 64.0F;
            teacher[k] = size * case_random(&state);
        }
        (void)loss_soft(l, z, teacher, width, 2.0, dz);
        for (size_t k = 0; k < width; k++) {
            float kept = z[k];
            double slope;

            z[k] = kept + EPS;
            slope = loss_soft(l, z, teacher, width, 0.0, NULL);
            z[k] = kept - EPS;
            slope -= loss_soft(l, z, teacher, width, 0.0, NULL);
            z[k] = kept;
            CHECK_NEAR(dz[k], 2.0 * slope / (2.0 * (double)EPS), NEAR);
        }
    }
}

static void
test_soft_losses_equal_finite_differences(void)
{
    static const double temperatures[] = {0.5, 1.0, 4.0};
    struct soft_loss l = {.label_scale = 1.0};

    for (size_t t = 0; t < COUNT(temperatures); t++) {
        l.temperature = temperatures[t];
        for (l.distill = DISTILL_CROSS_ENTROPY;
             l.distill <= DISTILL_PROBABILITY_MSE; l.distill++) {
            l.kind = TASK_BINARY;
            check_soft(&l, 1, 3.0F);
            l.label_scale = 1.7;
            check_soft(&l, 1, 3.0F);
            l.shift = -log(0.1);
            check_soft(&l, 1, 3.0F);
            l.label_scale = 1.0;
            l.kind = TASK_CLASS;
            check_soft(&l, K, 3.0F);
            l.kind = TASK_REGRESSION;
            check_soft(&l, 1, 3.0F);
            l.shift = 0.0;
        }
    }
}

static void
check_hard(enum task_kind kind, size_t width, float outcome, float rate)
{
    float z[K] = {0.5F, -1.25F, 2.0F, 0.0F};
    float dz[K] = {0};

    (void)loss_hard(kind, z, width, outcome, rate, 1.0, dz);
    for (size_t k = 0; k < width; k++) {
        float kept = z[k];
        double slope;

        z[k] = kept + EPS;
        slope = loss_hard(kind, z, width, outcome, rate, 0.0, NULL);
        z[k] = kept - EPS;
        slope -= loss_hard(kind, z, width, outcome, rate, 0.0, NULL);
        z[k] = kept;
        CHECK_NEAR(dz[k], slope / (2.0 * (double)EPS), NEAR);
    }
}

static void
test_hard_losses_equal_finite_differences(void)
{
    check_hard(TASK_BINARY, 1, 0.0F, 1.0F);
    check_hard(TASK_BINARY, 1, 1.0F, 1.0F);
    check_hard(TASK_BINARY, 1, 1.0F, 0.1F);
    check_hard(TASK_CLASS, K, 2.0F, 1.0F);
    check_hard(TASK_CLASS, K, 0.0F, 1.0F);
    check_hard(TASK_REGRESSION, 1, -3.5F, 1.0F);
}

static void
test_gradients_are_added(void)
{
    const float z[1] = {0.0F};
    float dz[1] = {10.0F};

    (void)loss_hard(TASK_BINARY, z, 1, 1.0F, 1.0F, 2.0, dz);
    CHECK_NEAR(dz[0], 9.0, 1e-6);
}

static void
test_losses_have_their_textbook_values(void)
{
    const float z[K] = {1.0F, 2.0F, 0.5F, -1.0F};
    const float t[K] = {0.0F, 1.0F, 1.0F, 0.0F};
    struct soft_loss l = soft(TASK_BINARY, DISTILL_LOGIT_MSE, 1.0);
    double total = exp(1.0) + exp(2.0) + exp(0.5) + exp(-1.0);

    CHECK_NEAR(loss_hard(TASK_BINARY, z, 1, 0.0F, 1.0F, 0.0, NULL),
               -log(1.0 - sigmoid(1.0)), 1e-12);
    CHECK_NEAR(loss_hard(TASK_CLASS, z, K, 3.0F, 1.0F, 0.0, NULL),
               -log(exp(-1.0) / total), 1e-12);
    CHECK_NEAR(loss_hard(TASK_REGRESSION, z, 1, 4.0F, 1.0F, 0.0, NULL), 9.0,
               1e-12);
    CHECK_NEAR(loss_soft(&l, z, t, 1, 0.0, NULL), 1.0, 1e-12);
    l.distill = DISTILL_PROBABILITY_MSE;
    CHECK_NEAR(loss_soft(&l, z, t, 1, 0.0, NULL), pow(sigmoid(1.0) - 0.5, 2.0),
               1e-12);
    l.kind = TASK_CLASS;
    l.distill = DISTILL_LOGIT_MSE;
    CHECK_NEAR(loss_soft(&l, z, t, K, 0.0, NULL), 1.0 + 1.0 + 0.25 + 1.0,
               1e-12);
}

static void
test_large_logits_stay_finite_and_exact(void)
{
    const float high[2] = {1e4F, -1e4F};
    const float low[1] = {-1e4F};
    struct soft_loss l = soft(TASK_CLASS, DISTILL_KL, 1.0);
    float dz[2] = {0};

    CHECK_NEAR(loss_hard(TASK_BINARY, high, 1, 1.0F, 1.0F, 0.0, NULL), 0.0,
               0.0);
    CHECK_NEAR(loss_hard(TASK_BINARY, low, 1, 1.0F, 1.0F, 0.0, NULL), 1e4, 0.0);
    CHECK_NEAR(loss_hard(TASK_CLASS, high, 2, 1.0F, 1.0F, 0.0, NULL), 2e4, 0.0);
    CHECK_NEAR(loss_soft(&l, high, high, 2, 1.0, dz), 0.0, 0.0);
    CHECK_NEAR(dz[0], 0.0, 0.0);
}

static void
test_kl_of_the_teacher_itself_is_0_and_its_gradient_is_cross_entropys(void)
{
    uint64_t state = 4;

    for (int kind = TASK_BINARY; kind <= TASK_CLASS; kind++) {
        size_t width = kind == TASK_CLASS ? K : 1;
        struct soft_loss ce =
            soft((enum task_kind)kind, DISTILL_CROSS_ENTROPY, 3.0);
        struct soft_loss kl = ce;
        float z[K];
        float t[K];
        float a[K] = {0};
        float b[K] = {0};

        kl.distill = DISTILL_KL;
        for (size_t k = 0; k < K; k++) {
            z[k] = 3.0F * case_random(&state);
            t[k] = 3.0F * case_random(&state);
        }
        CHECK_NEAR(loss_soft(&kl, t, t, width, 0.0, NULL), 0.0, 1e-12);
        CHECK(loss_soft(&kl, z, t, width, 1.0, a) > 0.0);
        (void)loss_soft(&ce, z, t, width, 1.0, b);
        for (size_t k = 0; k < width; k++)
            CHECK_NEAR(a[k], b[k], 0.0);
    }
}

static void
test_t_squared_keeps_the_gradient_when_t_grows(void)
{
    const float z[1] = {2.0F};
    const float t[1] = {-1.0F};
    struct soft_loss l = soft(TASK_BINARY, DISTILL_KL, 100.0);
    float dz[1] = {0};

    (void)loss_soft(&l, z, t, 1, 1.0, dz);
    /* (z_s - z_t) / 4, to the fourth order in 1 / T; without the factor it
     * would be 10^4 times smaller. */
    CHECK_NEAR(dz[0], 3.0 / 4.0, 1e-4);
}

static void
test_label_scale_stops_at_1(void)
{
    const float z[1] = {0.0F};
    const float t[1] = {1.0F};
    struct soft_loss l = soft(TASK_BINARY, DISTILL_CROSS_ENTROPY, 1.0);
    float dz[1] = {0};

    l.label_scale = 5.0;
    (void)loss_soft(&l, z, t, 1, 1.0, dz);
    CHECK_NEAR(dz[0], 0.5 - 1.0, 1e-7);
    l.label_scale = 0.5;
    dz[0] = 0.0F;
    (void)loss_soft(&l, z, t, 1, 1.0, dz);
    CHECK_NEAR(dz[0], 0.5 - 0.5 * sigmoid(1.0), 1e-7);
}

static void
test_sampling_correction_makes_the_logit_calibrated(void)
{
    /* True odds 1:99; negatives kept at 1 in 10 give odds 10:99. The served
     * logit log(1/99) must be where the loss over the kept rows is least. */
    const float z[1] = {(float)log(1.0 / 99.0)};
    float dz[1] = {0};

    (void)loss_hard(TASK_BINARY, z, 1, 1.0F, 0.1F, 10.0, dz);
    (void)loss_hard(TASK_BINARY, z, 1, 0.0F, 0.1F, 99.0, dz);
    CHECK_NEAR(dz[0], 0.0, 1e-5);
}

static void
test_cross_debias_compares_logits_as_the_sample_shows_them(void)
{
    /* Rec-Distill with its rates of positives at 1: 1 / (1 + r e^-z), of the
     * student's z and of the teacher's. */
    const float z[1] = {-4.0F};
    const float t[1] = {-5.0F};
    double r = 0.01;
    double q = 1.0 / (1.0 + r * exp(5.0));
    double p = 1.0 / (1.0 + r * exp(4.0));
    struct soft_loss l = soft(TASK_BINARY, DISTILL_CROSS_ENTROPY, 1.0);
    float shown[1] = {0};
    float served[1] = {0};

    l.shift = -log(r);
    CHECK_NEAR(loss_soft(&l, z, t, 1, 1.0, shown),
               -q * log(p) - (1.0 - q) * log(1.0 - p), 1e-12);
    CHECK_NEAR(shown[0], p - q, 1e-7);
    l.shift = 0.0;
    (void)loss_soft(&l, z, t, 1, 1.0, served);
    CHECK(shown[0] > 15.0F * served[0]);
}

static void
test_cross_debias_and_hard_loss_agree_on_a_perfect_teacher(void)
{
    /* Rows kept at a rate, of which the teacher knows the odds: the hard
     * losses of all of them push a logit as the soft ones do. */
    const float z[1] = {-3.0F};
    const float t[1] = {(float)log(1.0 / 99.0)};
    struct soft_loss l = soft(TASK_BINARY, DISTILL_CROSS_ENTROPY, 1.0);
    float by_hard[1] = {0};
    float by_soft[1] = {0};

    (void)loss_hard(TASK_BINARY, z, 1, 1.0F, 0.1F, 100.0, by_hard);
    (void)loss_hard(TASK_BINARY, z, 1, 0.0F, 0.1F, 990.0, by_hard);
    l.shift = -log((double)0.1F);
    (void)loss_soft(&l, z, t, 1, 1090.0, by_soft);
    CHECK_NEAR(by_soft[0], by_hard[0], 1e-3);
}

int
main(void)
{
    RUN(test_soft_losses_equal_finite_differences);
    RUN(test_hard_losses_equal_finite_differences);
    RUN(test_gradients_are_added);
    RUN(test_losses_have_their_textbook_values);
    RUN(test_large_logits_stay_finite_and_exact);
    RUN(test_kl_of_the_teacher_itself_is_0_and_its_gradient_is_cross_entropys);
    RUN(test_t_squared_keeps_the_gradient_when_t_grows);
    RUN(test_label_scale_stops_at_1);
    RUN(test_sampling_correction_makes_the_logit_calibrated);
    RUN(test_cross_debias_compares_logits_as_the_sample_shows_them);
    RUN(test_cross_debias_and_hard_loss_agree_on_a_perfect_teacher);
    return check_report();
}
