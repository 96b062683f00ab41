"""The page of one decision's evidence: verdicts, curves with attribution along them, bodies, and counterfactual.

* ``page``: the page as HTML, from ``EvidenceContent``;
* ``curves``: charts of the angles that findings are of, with attribution painted along them;
* ``concept_chart``: concepts as signed bars;
* ``moments``: the body at the moments of findings, and beside the counterfactual walk;
* ``sentences``: what a finding, a counterfactual and the faithfulness come to, in words;
* ``terminal_summary``: the same of one decision, in at most five sentences.
"""
