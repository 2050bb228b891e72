"""Rules, findings, and the alerts that tell somebody."""
