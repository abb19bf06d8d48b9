"""Decisions as pure functions: what runs where, under which name and address, reached by whom.

Nothing here imports pulumi, an SDK, ``os`` or the network; ``tests/unit/test_imports.py`` holds it to that.
"""

from planning.plan import Plan, ServicePlan, plan

__all__ = ["Plan", "ServicePlan", "plan"]
