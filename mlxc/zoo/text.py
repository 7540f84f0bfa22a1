"""A model card as lines for people."""

from typing import Any

from mlxc.zoo.card import Card

#: Sections in the order of reading, with their titles; the weights are an affair of the store.
SECTIONS = {"ensemble": "mean of several functionals of one form", "exchange": "exact exchange (omega in 1/bohr)",
            "network": "network", "uncertainty": "spread of the members, calibrated", "domain": "trained on",
            "dispersion": "D4 dispersion, asked for (a2 in bohr)",
            "grid": "grid", "training": "training", "benchmark": "benchmark"}


def card_as_text(card: Card) -> str:
    """Everything that a card says, but for the list of its tensors."""
    lines = [f"{card['name']} {card['version']} (kind {card['kind']})", card["description"], "",
             "claims, measured by `mlxc check`", *(f"  {claim}" for claim in card["claims"] or ["none"])]
    for section, title in SECTIONS.items():
        if card[section]:
            lines += ["", title, *_table(card[section], 1)]
    weights = card["weights"]
    return "\n".join([*lines, "", f"weights: {weights['bytes']} bytes, SHA-256 {weights['sha256']}, verified"])


def _table(entries: dict[str, Any], level: int) -> list[str]:
    lines = []
    for key, value in entries.items():
        if isinstance(value, list) and any(isinstance(v, dict) for v in value):
            value = {str(i + 1): v for i, v in enumerate(value)}
        if isinstance(value, dict):
            lines += [f"{'  ' * level}{key}", *_table(value, level + 1)]
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            lines.append(f"{'  ' * level}{key:16s} {shown}")
    return lines
