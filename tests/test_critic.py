"""The critic: costates from privileged features, mirrored as the states are."""

import numpy as np
from rollouts import CRAZYFLIE, rollout_of

from tinyfly import task as tasks
from tinyfly.critic import CostateCritic
from tinyfly.physics import POSITION, RATE, ROTATION, VELOCITY


def test_critic_learns_costates_that_are_linear_in_its_features():
    rollout, weights = rollout_of(tasks.crazyflie(CRAZYFLIE), n=64)
    rollout.forward(weights, 20)
    critic = CostateCritic(rollout, np.random.default_rng(0), 64)
    features = np.concatenate([critic.features(t) for t in range(20)], 2)
    true = np.random.default_rng(1).standard_normal(critic.matrix.shape).astype(np.float32)

    def costates(x):
        return np.einsum("jpr,jpn->rn", critic.costate_basis, true @ x)

    for _ in range(30):
        critic.fit(features, costates(features))
    wanted = costates(critic.features(20))
    assert np.square(critic.predict(20) - wanted).mean() < 0.05 * np.square(wanted).mean()


def test_the_critic_foresees_the_mirror_image_for_the_mirror_image():
    rollout, weights = rollout_of(tasks.crazyflie(CRAZYFLIE))
    rollout.forward(weights, 20)
    critic, t, e = CostateCritic(rollout, np.random.default_rng(0), 64), 7, rollout.episodes
    critic.matrix = np.random.default_rng(1).standard_normal(critic.matrix.shape).astype(np.float32)
    found = critic.predict(t)

    def mirror(m, polar, axial, rotations, motors):
        for x in polar:
            x *= np.tile(m.polar, len(x) // 3)[:, None]
        for x in axial:
            x *= m.axial[:, None]
        for x in rotations:
            x *= m.rotation[:, None]
        for x in motors:
            x[:] = x[m.motors]

    x, seen, actor = rollout.physics.state[t], rollout.actor.input[t], rollout.actor
    for m in rollout.symmetry.found:
        world = [x[POSITION], x[VELOCITY], e.force, rollout.integrated[t], seen[18:21], seen[25:]]
        turning = [x[RATE], e.torque, seen[21:24]]
        motors = [rollout.physics.rotor[t], actor.actions[actor.slots + t - 1], e.imbalance]
        mirror(m, world, turning, [x[ROTATION]], motors)
        image = found.copy()
        mirror(m, [image[3:9], image[22:31]], [image[0:3], image[31:]], [image[9:18]], [image[18:22]])
        np.testing.assert_allclose(critic.predict(t), image, atol=1e-4 * np.abs(image).max())
        mirror(m, world, turning, [x[ROTATION]], motors)  # and back
