"""Check a task definition, a gateway's home folder or an account before anything goes live.

::

    findings           rules, findings and the registry of all rules
    subject            what the rules look at: frozen facts about documents, files and an account
    document_rules     LW1xx: the members of the task definition
    file_rules         LW2xx: the update file, its signature and the keys
    access_rules       LW3xx: the role, the bucket, the object and its encryption
    fleet_rules        LW4xx: the gateways, their tasks and the other definitions
    home_rules         LW5xx: the home folder of a gateway
    environment_rules  LW6xx: the AWS settings of this terminal
    account, role      read the facts about an account with boto3
    environment        reads the settings of this terminal
    home               reads the facts about a home folder

The rules are pure functions of the facts. Only ``account``, ``role``, ``environment`` and ``home`` read anything, and
they change nothing.
"""

from __future__ import annotations

from lorafw.doctor.findings import Finding, Rule, Severity, all_rules, diagnose
from lorafw.doctor.subject import Subject

__all__ = ["Finding", "Rule", "Severity", "Subject", "all_rules", "diagnose"]
