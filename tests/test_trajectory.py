"""Trajectories: derivatives that match, shapes that are the published ones."""

import numpy as np
import pytest

from tinyfly.trajectory import Circle, FigureEight, Hover, MinimumSnap, Step, Zigzag, sample

RANDOM = MinimumSnap.random(np.random.default_rng(3))


@pytest.mark.parametrize(
    "trajectory", [Hover((1, 2, 3)), Circle(), FigureEight(), FigureEight(ramp_s=0), RANDOM]
)
def test_velocity_and_acceleration_are_the_positions_derivatives(trajectory):
    t = np.linspace(0.013, 5.013, 400)
    h = 1e-5
    (before, slow, _), (after, fast, _) = trajectory.at(t - h), trajectory.at(t + h)
    _, v, a = trajectory.at(t)
    np.testing.assert_allclose((after - before) / (2 * h), v, atol=1e-6)
    np.testing.assert_allclose((fast - slow) / (2 * h), a, atol=1e-4)


def test_the_figure_eight_is_the_papers_and_starts_at_rest():
    eight = FigureEight()
    p, v, _ = eight.at(np.array([0.0]))
    np.testing.assert_array_equal(p[:, 0], [1, 0, 0])
    np.testing.assert_array_equal(v[:, 0], 0)
    t = np.linspace(2, 7.5, 4001)
    p, v, a = eight.at(t)
    np.testing.assert_allclose(p[:, 0], p[:, -1], atol=1e-9)  # one period later
    np.testing.assert_allclose([np.ptp(p[0]), np.ptp(p[1])], [2, 1], atol=1e-5)
    assert np.linalg.norm(a, axis=0).max() == pytest.approx(2.8, abs=0.2)  # published for 5.5 s


def test_minimum_snap_passes_its_points_and_rests_at_the_ends():
    points = np.array([[0, 1, 1, 0.0], [0, 0, 1, 1], [0, 0.5, 0, 0]])
    way = MinimumSnap(points, np.array([1.0, 1.5, 1.2]))
    p, v, a = way.at(np.array([0, 1, 2.5, 3.7]))
    np.testing.assert_allclose(p, points, atol=1e-9)
    np.testing.assert_allclose(v[:, [0, -1]], 0, atol=1e-9)
    np.testing.assert_allclose(a[:, [0, -1]], 0, atol=1e-8)


def test_minimum_snap_of_one_segment_is_the_known_polynomial():
    """Rest to rest in unit time: 35 s^4 - 84 s^5 + 70 s^6 - 20 s^7."""
    s = np.linspace(0, 1, 11)
    p, _, _ = MinimumSnap(np.array([[0, 1], [0, 0], [0, 0.0]]), np.array([1.0])).at(s)
    np.testing.assert_allclose(p[0], 35 * s**4 - 84 * s**5 + 70 * s**6 - 20 * s**7, atol=1e-9)


def test_the_zigzag_keeps_its_speed_and_holds_its_last_corner():
    way = Zigzag(speed_m_s=0.7)
    p, v, _ = way.at(np.linspace(0, 1, 50))
    np.testing.assert_allclose(np.linalg.norm(v, axis=0), 0.7)
    np.testing.assert_allclose(p[:, -1], p[:, -2] + v[:, -2] / 49, atol=1e-9)
    _, v, _ = way.at(np.array([100.0]))
    np.testing.assert_array_equal(v, 0)


def test_a_step_jumps_once():
    p, _, _ = Step((0, 0, 1.0), at_s=0.5).at(np.array([0.49, 0.5]))
    np.testing.assert_array_equal(p[2], [0, 1])


def test_a_sampled_reference_carries_the_accelerations_ahead():
    eight, t = FigureEight(), np.array([3.0, 4.0])
    rows = sample(eight, t, (0.08, 0.16))
    assert rows.shape == (2, 15)
    np.testing.assert_allclose(rows[:, 9:12], eight.at(t + 0.08)[2].T, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(rows[:, 12:], eight.at(t + 0.16)[2].T, rtol=1e-6, atol=1e-6)
