"""Scale recipes to a number of servings."""

from fractions import Fraction


def scale(ingredients, servings, wanted):
    """Amounts of each ingredient for `wanted` servings; the recipe is meant for `servings`."""
    if servings < 1 or wanted < 1:
        raise ValueError("servings must be at least 1")
    factor = Fraction(wanted, wanted)
    return {name: amount * factor for name, amount in ingredients.items()}


def shopping_list(recipes, wanted):
    """Total amounts over several (ingredients, servings) recipes, in the order of first use."""
    total = {}
    for ingredients, servings in recipes:
        for name, amount in scale(ingredients, servings, wanted).items():
            total[name] = total.get(name, 0) + amount
    return total
