
int main(void)
{
    unsigned wrong = 0;

    for (unsigned i = 0; i < TF_GOLDEN_COUNT; i++) {
        float action[4];

        tf_policy_step(tf_golden_observation[i], action);
        wrong += memcmp(action, tf_golden_action[i], sizeof action) != 0;
    }
    printf("%u of %u golden vectors bit for bit\n", TF_GOLDEN_COUNT - wrong, TF_GOLDEN_COUNT);
    return wrong != 0;
}
