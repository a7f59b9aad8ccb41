"""Seeds: independent, repeatable, different."""

from dataclasses import astuple

from gn_study.studies.seeds import Seeds


def test_every_drawn_thing_has_its_own_seed() -> None:
    assert Seeds.of(3) == Seeds.of(3)
    drawn = [value for seed in range(20) for value in astuple(Seeds.of(seed))]
    assert len(set(drawn)) == len(drawn)
