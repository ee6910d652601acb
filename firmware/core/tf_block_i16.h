/* Four rows of int16 or int8 weights times int16 inputs; included by tf_kernel_i16.c alone.
 *
 * block16 takes the inputs in pairs, block8 in fours: sum[r] += w x. Armv7E-M does two multiply-adds in one SMLAD;
 * int8 weights lie as w0 w2 w1 w3, so that SXTB16 makes the pairs w0 w1 and w2 w3 of them. */
#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__) && defined(__OPTIMIZE__) && !defined(TF_PORTABLE_KERNEL)
/* r4, r5: two pairs of inputs; r8..r11: weights. PER_TURN inputs a turn, PER_STEP in each of the rest. All registers
 * are in use: nothing can be inlined around it, gcc is told to want no frame pointer, and an unoptimised build, which
 * wants more, takes the C below. */
#ifdef __clang__
#define ALONE __attribute__((noinline))
#else
#define ALONE __attribute__((noinline, optimize("omit-frame-pointer")))
#endif

#define BLOCK(name, weight_t, PER_TURN, PER_STEP, TURN, STEP)                                       \
    ALONE static void name(const weight_t *w, const int16_t *x, uint32_t inputs, int32_t sum[4])    \
    {                                                                                               \
        int32_t s0 = sum[0], s1 = sum[1], s2 = sum[2], s3 = sum[3];                                 \
                                                                                                    \
        __asm__ volatile("subs %[n], %[n], #" PER_TURN "\n\t"                                       \
                         "blo 2f\n\t"                                                               \
                         ".p2align 3\n"                                                             \
                         "1:\n\t" TURN                                                              \
                         "subs %[n], %[n], #" PER_TURN "\n\t"                                       \
                         "bhs 1b\n"                                                                 \
                         "2:\n\t"                                                                   \
                         "adds %[n], %[n], #" PER_TURN "\n\t"                                       \
                         "beq 4f\n"                                                                 \
                         "3:\n\t" STEP                                                              \
                         "subs %[n], %[n], #" PER_STEP "\n\t"                                       \
                         "bne 3b\n"                                                                 \
                         "4:\n\t"                                                                   \
                         : [w] "+r"(w), [x] "+r"(x), [n] "+r"(inputs), [s0] "+r"(s0), [s1] "+r"(s1),\
                           [s2] "+r"(s2), [s3] "+r"(s3)                                             \
                         :                                                                          \
                         : "cc", "memory", "r4", "r5", "r8", "r9", "r10", "r11");                   \
        sum[0] = s0, sum[1] = s1, sum[2] = s2, sum[3] = s3;                                         \
    }

#define PAIR(pair)                         \
    "ldmia %[w]!, {r8-r11}\n\t"            \
    "smlad %[s0], r8, " pair ", %[s0]\n\t"  \
    "smlad %[s1], r9, " pair ", %[s1]\n\t"  \
    "smlad %[s2], r10, " pair ", %[s2]\n\t" \
    "smlad %[s3], r11, " pair ", %[s3]\n\t"
#define TWO_PAIRS "ldmia %[x]!, {r4-r5}\n\t" PAIR("r4") PAIR("r5")

/* r10: the first pair of a row's weights; the second takes the place of all four. */
#define ROW(s, w)                            \
    "sxtb16 r10, " w "\n\t"                  \
    "sxtb16 " w ", " w ", ror #8\n\t"        \
    "smlad %[" s "], r10, r4, %[" s "]\n\t"  \
    "smlad %[" s "], " w ", r5, %[" s "]\n\t"
#define FOUR_INPUTS                                                     \
    "ldmia %[x]!, {r4-r5}\n\t"                                          \
    "ldmia %[w]!, {r8-r9}\n\t" ROW("s0", "r8") ROW("s1", "r9")          \
    "ldmia %[w]!, {r8-r9}\n\t" ROW("s2", "r8") ROW("s3", "r9")

BLOCK(block16, int16_t, "16", "2", TWO_PAIRS TWO_PAIRS TWO_PAIRS TWO_PAIRS, "ldmia %[x]!, {r4}\n\t" PAIR("r4"))
BLOCK(block8, int8_t, "16", "4", FOUR_INPUTS FOUR_INPUTS FOUR_INPUTS FOUR_INPUTS, FOUR_INPUTS)
#else
/* Two rows at a time: a Cortex-M0 has eight registers to hold pointers, inputs and sums. */
static void two_rows16(const int16_t *w, const int16_t *x, uint32_t inputs, int32_t sum[2])
{
    int32_t s0 = sum[0], s1 = sum[1];

    for (const int16_t *end = x + inputs; x != end; x += 2, w += 8) {
        const int32_t x0 = x[0], x1 = x[1];

        s0 += w[0] * x0;
        s0 += w[1] * x1;
        s1 += w[2] * x0;
        s1 += w[3] * x1;
    }
    sum[0] = s0, sum[1] = s1;
}

static void two_rows8(const int8_t *w, const int16_t *x, uint32_t inputs, int32_t sum[2])
{
    int32_t s0 = sum[0], s1 = sum[1];

    for (const int16_t *end = x + inputs; x != end; x += 4, w += 16) {
        const int32_t x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3];

        s0 += w[0] * x0 + w[2] * x1 + w[1] * x2 + w[3] * x3;
        s1 += w[4] * x0 + w[6] * x1 + w[5] * x2 + w[7] * x3;
    }
    sum[0] = s0, sum[1] = s1;
}

static void block16(const int16_t *w, const int16_t *x, uint32_t inputs, int32_t sum[4])
{
    two_rows16(w, x, inputs, sum);
    two_rows16(w + 4, x, inputs, sum + 2);
}

static void block8(const int8_t *w, const int16_t *x, uint32_t inputs, int32_t sum[4])
{
    two_rows8(w, x, inputs, sum);
    two_rows8(w + 8, x, inputs, sum + 2);
}
#endif
