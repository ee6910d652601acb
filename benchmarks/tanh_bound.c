/* Proves tf_tanh's error bound over all 2^32 floats (about a minute), or over every n-th with an argument.
 * The reference is libm's double tanh, whose own error (below 1e-15) is counted against us. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tf_network.h"

static const double BOUND = 4e-7;

int main(int argc, char **argv)
{
    const uint64_t stride = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    double worst = 0;
    float worst_at = 0, largest = 0;
    uint64_t checked = 0, wrong = 0;

    if (stride == 0)
        return 2;
    for (uint64_t i = 0; i < 1ull << 32; i += stride, checked++) {
        const uint32_t bits = (uint32_t)i;
        float x;

        memcpy(&x, &bits, sizeof x);
        const float y = tf_tanh(x);
        const double error = isnan(x) ? 0 : fabs((double)y - tanh((double)x));

        wrong += !(fabsf(y) <= 1.0f) || (x < 0 && y > 0) || (x > 0 && y < 0) || !(error + 1e-15 <= BOUND);
        if (error > worst)
            worst = error, worst_at = x;
        if (fabsf(y) > largest)
            largest = fabsf(y);
    }
    printf("{\"checked\": %llu, \"wrong\": %llu, \"max_error\": %.3e, \"at\": %.9g, \"bound\": %.0e, \"largest\": %.9g}\n",
           (unsigned long long)checked, (unsigned long long)wrong, worst, (double)worst_at, BOUND, (double)largest);
    return wrong != 0;
}
