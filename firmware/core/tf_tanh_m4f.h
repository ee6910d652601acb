/* tf_tanh of two values at a time for a Cortex-M with a single-precision FPU; included by tf_tanh.c alone.
 *
 * The operations of tf_tanh, one for one; two values take turns so that no result is wanted at once, and a
 * piece's four coefficients come in one load. s0, s1: x; s2, s3: |x| * 8, then t; s4, s5: piece, then result. */
static void tanh_pairs(float *x, uint32_t pairs)
{
    const float limit = TF_TANH_BELOW_LIMIT;
    const float pieces = TF_TANH_PIECES_PER_UNIT;
    uint32_t row0, row1;

    __asm__ volatile(
        ".p2align 3\n"
        "1:\n\t"
        "vldmia %[x], {s0-s1}\n\t"
        "vabs.f32 s2, s0\n\t"
        "vabs.f32 s3, s1\n\t"
        "vcmp.f32 s2, %[limit]\n\t"
        "vmrs APSR_nzcv, fpscr\n\t"
        "it pl\n\t" /* not less, or NaN */
        "vmovpl.f32 s2, %[limit]\n\t"
        "vcmp.f32 s3, %[limit]\n\t"
        "vmrs APSR_nzcv, fpscr\n\t"
        "it pl\n\t"
        "vmovpl.f32 s3, %[limit]\n\t"
        "vmul.f32 s2, s2, %[pieces]\n\t"
        "vmul.f32 s3, s3, %[pieces]\n\t"
        "vcvt.s32.f32 s4, s2\n\t"
        "vcvt.s32.f32 s5, s3\n\t"
        "vmov %[row0], %[row1], s4, s5\n\t"
        "vcvt.f32.s32 s4, s4\n\t"
        "vcvt.f32.s32 s5, s5\n\t"
        "add %[row0], %[table], %[row0], lsl #4\n\t"
        "add %[row1], %[table], %[row1], lsl #4\n\t"
        "vsub.f32 s2, s2, s4\n\t"
        "vsub.f32 s3, s3, s5\n\t"
        "vldmia %[row0], {s6-s9}\n\t"
        "vldmia %[row1], {s10-s13}\n\t"
        "vmul.f32 s4, s9, s2\n\t"
        "vmul.f32 s5, s13, s3\n\t"
        "vadd.f32 s4, s4, s8\n\t"
        "vadd.f32 s5, s5, s12\n\t"
        "vmul.f32 s4, s4, s2\n\t"
        "vmul.f32 s5, s5, s3\n\t"
        "vadd.f32 s4, s4, s7\n\t"
        "vadd.f32 s5, s5, s11\n\t"
        "vmul.f32 s4, s4, s2\n\t"
        "vmul.f32 s5, s5, s3\n\t"
        "vadd.f32 s4, s4, s6\n\t"
        "vadd.f32 s5, s5, s10\n\t"
        "vcmp.f32 s0, #0\n\t"
        "vmrs APSR_nzcv, fpscr\n\t"
        "it mi\n\t" /* less than zero, not NaN */
        "vnegmi.f32 s4, s4\n\t"
        "vcmp.f32 s1, #0\n\t"
        "vmrs APSR_nzcv, fpscr\n\t"
        "it mi\n\t"
        "vnegmi.f32 s5, s5\n\t"
        "vstmia %[x]!, {s4-s5}\n\t"
        "subs %[n], %[n], #1\n\t"
        "bne 1b\n\t"
        : [x] "+r"(x), [n] "+r"(pairs), [row0] "=&r"(row0), [row1] "=&r"(row1)
        : [table] "r"(tf_tanh_table), [limit] "t"(limit), [pieces] "t"(pieces)
        : "cc", "memory", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12",
          "s13");
}
