"""What a service's tests need from the chassis: a clock to turn, a store in memory."""

from wasl_chassis.testing.fakes import FakeClock, MemoryStore

__all__ = ["FakeClock", "MemoryStore"]
