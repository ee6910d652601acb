/* Blocks of 16 and of 4 rows in portable C; included by tf_kernel.c alone.
 *
 * Sixteen accumulators stay in registers while one input is loaded once for all of them. Written out because
 * compilers at -O2 keep an array of sixteen in memory. */
#define ROWS4(DO) DO(0) DO(1) DO(2) DO(3)
#define ROWS16(DO) \
    ROWS4(DO) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15)

#define LOAD(r) float a##r = sum[r];
#define MULTIPLY_ADD(r) a##r += w[r] * in;
#define STORE(r) out[r] = a##r;

/* One input for every row, then on to the next input's weights. */
#define INPUT(rows, ROWS)          \
    {                              \
        const float in = *x++;     \
        ROWS(MULTIPLY_ADD)         \
        w += rows;                 \
    }

#define BLOCK(name, rows, ROWS)                                                                     \
    static void name(const float *w, uint32_t count, const float *sum, const float *x, float *out) \
    {                                                                                               \
        ROWS(LOAD)                                                                                  \
        if (count & 1u)                                                                             \
            INPUT(rows, ROWS)                                                                       \
        for (const float *end = x + (count & ~1u); x != end;) {                                     \
            INPUT(rows, ROWS)                                                                       \
            INPUT(rows, ROWS)                                                                       \
        }                                                                                           \
        ROWS(STORE)                                                                                 \
    }

BLOCK(block16, 16, ROWS16)
BLOCK(block4, 4, ROWS4)
