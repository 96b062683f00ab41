"""Evidence beside an explanation: what a decision relies on, whether the subject deviates there, what would change it.

* ``finding``: what is found of one decision, as data;
"""
