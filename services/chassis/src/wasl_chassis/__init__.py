"""Mechanism shared by the services: delivery, storage, sealing, health. No word of the domain.

One batch of events is one transaction, one publish and one commit;
``docs/architecture/consuming.md`` has the table of outcomes this package implements.
"""
