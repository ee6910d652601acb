"""The deliberate mistakes of `make prove`, which runs seldom: that each can still be made is seen here."""

import tomllib

from native import exporter

LISTED = tomllib.loads((exporter.CORE.parent / "proof" / "mutants.toml").read_text())["mutant"]


def test_every_mutant_has_its_one_place_in_the_core():
    for mutant in LISTED:
        text = (exporter.CORE / f"tf_{mutant['file']}.c").read_text()
        assert text.count(mutant["old"]) == 1, mutant["what"]
