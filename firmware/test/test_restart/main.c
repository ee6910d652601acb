/* Faults on a Cortex-M: each ends in a restart that knows its cause. One program, started three times. */
#include "board.h"
#include "console.h"
#include "startup.h"
#include "tf_messages.h"

static void report(const char *name, int good)
{
    say(name);
    say(good ? ":PASS\n" : ":FAIL: not so\n");
}

__attribute__((noinline)) static void undefined_instruction(void)
{
    __asm volatile("udf #0");
}

/* Calls itself, on purpose, until the stack is through the bottom of RAM. */
#pragma GCC diagnostic ignored "-Winfinite-recursion"
__attribute__((noinline)) static unsigned dig(unsigned depth)
{
    volatile unsigned room[64];

    room[depth % 64u] = depth;
    return dig(depth + 1u) + room[0];
}

static unsigned cost_of_a_loop(void)
{
    const unsigned before = board_cost();

    for (volatile unsigned i = 0; i < 1000u; i++)
        ;
    return board_cost() - before;
}

void tf_main_receive(uint8_t byte)
{
    (void)byte;
}

int main(void)
{
    const tf_restart_t record = tf_startup_record();

    board_init();
    if (record.boots == 1u) {
        report("first_start_is_power_on", record.cause == TF_CAUSE_POWER_ON);
        undefined_instruction();
    }
    if (record.boots == 2u) {
        const uint32_t place = (uint32_t)(uintptr_t)&undefined_instruction & ~1u;

        report("an_undefined_instruction_restarts_with_cause_fault", record.cause == TF_CAUSE_FAULT);
        report("and_its_place_is_known", record.fault_pc - place < 16u);
        (void)dig(0);
    }
    if (record.boots == 3u) {
        const unsigned first = cost_of_a_loop(), second = cost_of_a_loop();
        const uint32_t then = board_time_us();

        report("a_stack_overflow_restarts_with_cause_fault", record.cause == TF_CAUSE_FAULT);
        report("the_probe_counts", first > 1000u && second - first + 1000u <= 2000u);
        while (board_time_us() == then)
            ;
        report("time_passes", board_time_us() - then < 1000u);
        report("the_stack_has_a_high_water_mark", tf_stack_bytes() > 16u && tf_stack_bytes() < 4096u);
        tf_restart(TF_CAUSE_REQUEST);
    }
    report("a_requested_restart_says_so", record.cause == TF_CAUSE_REQUEST);
    say("done\n");
    end();
    return 0;
}
