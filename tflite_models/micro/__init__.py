"""How roberta-micro and opt-micro were trained."""
