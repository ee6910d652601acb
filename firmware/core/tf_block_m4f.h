/* Blocks of 16 and of 4 rows for a Cortex-M with a single-precision FPU; included by tf_kernel.c alone.
 *
 * Per multiply-add three cycles are the least: load, multiply, add (a fused one takes three and rounds once).
 * So weights come eight words at a time, products are four or more instructions away from their sums, and the
 * loop takes four inputs a turn: 34 cycles per 8 rows and input, and well below the 1 KB instruction cache. */
#define MUL(r, x) "vmul.f32 s" #r ", s" #r ", s" #x "\n\t"
#define ADD(a, r) "vadd.f32 s" #a ", s" #a ", s" #r "\n\t"

/* s16..s31 are the sums, s0..s7 eight weights or products, s8..s11 four inputs. */
#define EIGHT(x, a0, a1, a2, a3, a4, a5, a6, a7)                                                   \
    "vldmia %[w]!, {s0-s7}\n\t"                                                                    \
    MUL(0, x) MUL(1, x) MUL(2, x) MUL(3, x) MUL(4, x) MUL(5, x) MUL(6, x) MUL(7, x)                \
    ADD(a0, 0) ADD(a1, 1) ADD(a2, 2) ADD(a3, 3) ADD(a4, 4) ADD(a5, 5) ADD(a6, 6) ADD(a7, 7)
#define SIXTEEN(x) EIGHT(x, 16, 17, 18, 19, 20, 21, 22, 23) EIGHT(x, 24, 25, 26, 27, 28, 29, 30, 31)

/* s16..s19 are the sums, s0..s15 the weights or products of four inputs, s20..s23 the inputs. */
#define FOUR(x, r0, r1, r2, r3) MUL(r0, x) MUL(r1, x) MUL(r2, x) MUL(r3, x) \
    ADD(16, r0) ADD(17, r1) ADD(18, r2) ADD(19, r3)

/* FOUR_INPUTS while four are left, then ONE_INPUT for each of the rest. */
#define BLOCK(name, SUMS, INPUTS, INPUT, FOUR_INPUTS, ONE_INPUT)                                    \
    static void name(const float *w, uint32_t count, const float *sum, const float *x, float *out) \
    {                                                                                               \
        __asm__ volatile("vldmia %[sum], " SUMS "\n\t"                                              \
                         "subs %[n], %[n], #4\n\t"                                                  \
                         "blo 2f\n\t"                                                               \
                         ".p2align 3\n"                                                             \
                         "1:\n\t"                                                                   \
                         "vldmia %[x]!, " INPUTS "\n\t" FOUR_INPUTS                                 \
                         "subs %[n], %[n], #4\n\t"                                                  \
                         "bhs 1b\n"                                                                 \
                         "2:\n\t"                                                                   \
                         "adds %[n], %[n], #4\n\t"                                                  \
                         "beq 4f\n"                                                                 \
                         "3:\n\t"                                                                   \
                         "vldmia %[x]!, " INPUT "\n\t" ONE_INPUT                                    \
                         "subs %[n], %[n], #1\n\t"                                                  \
                         "bne 3b\n"                                                                 \
                         "4:\n\t"                                                                   \
                         "vstmia %[out], " SUMS "\n\t"                                              \
                         : [w] "+r"(w), [x] "+r"(x), [n] "+r"(count)                                \
                         : [sum] "r"(sum), [out] "r"(out)                                           \
                         : "cc", "memory", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8",    \
                           "s9", "s10", "s11", "s12", "s13", "s14", "s15", "s16", "s17", "s18",     \
                           "s19", "s20", "s21", "s22", "s23", "s24", "s25", "s26", "s27", "s28",    \
                           "s29", "s30", "s31");                                                    \
    }

BLOCK(block16, "{s16-s31}", "{s8-s11}", "{s8}", SIXTEEN(8) SIXTEEN(9) SIXTEEN(10) SIXTEEN(11), SIXTEEN(8))
BLOCK(block4, "{s16-s19}", "{s20-s23}", "{s20}",
      "vldmia %[w]!, {s0-s15}\n\t" FOUR(20, 0, 1, 2, 3) FOUR(21, 4, 5, 6, 7) FOUR(22, 8, 9, 10, 11)
          FOUR(23, 12, 13, 14, 15),
      "vldmia %[w]!, {s0-s3}\n\t" FOUR(20, 0, 1, 2, 3))
