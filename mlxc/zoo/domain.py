"""Whether a system lies inside what a functional was trained on."""

from collections.abc import Iterable

from mlxc.zoo.card import Card


def outside_domain(card: Card, elements: Iterable[str], charge: int, spin: int) -> list[str]:
    """Sentences that name what the training data did not hold; empty inside the domain.

    Args:
        card: the functional's card.
        elements: symbols of the atoms, ghosts left out.
        charge: total charge, e.
        spin: 2S, number of unpaired electrons.
    """
    name, domain = card["name"], card["domain"]
    found = []
    if new := sorted(set(elements) - set(domain["elements"])):
        found.append(f"{name} was not trained on {', '.join(new)} (trained on {', '.join(domain['elements'])})")
    if charge not in domain["charges"]:
        found.append(f"{name} was not trained on charge {charge:+d} (trained on {_listed(domain['charges'], '+d')})")
    if spin not in domain["spins"]:
        found.append(f"{name} was not trained on {spin} unpaired electrons "
                     f"(trained on {_listed(domain['spins'], 'd')})")
    return found


def _listed(numbers: list[int], form: str) -> str:
    return ", ".join(format(number, form) if number else "0" for number in sorted(numbers))
