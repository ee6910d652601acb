"""tinyfly: teach a quadrotor to fly in about a second, and prove the policy in the chip that will fly it."""

__version__ = "0.1.0"
