"""Public tables that come inside PyPI packages, none of seaborn's.

Usage, with the Python of a project: python public_tables.py NAME PACKAGES TABLE.csv
"""

import re
import sys
from pathlib import Path

MOST_ROWS, TARGET = 50_000, "target"
# The package that holds a table, its file there, the target, and columns that give it away.
TABLES: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "diabetes": ("scikit-learn", "diabetes", "target", ()),
    "breast_cancer": ("scikit-learn", "breast_cancer", "target", ()),
    "wine": ("scikit-learn", "wine", "target", ()),
    "digits": ("scikit-learn", "digits", "target", ()),
    "Hitters": ("ISLP", "data/Hitters.csv", "Salary", ()),
    "Carseats": ("ISLP", "data/Carseats.csv", "Sales", ()),
    "Wage": ("ISLP", "data/Wage.csv", "wage", ("logwage",)),
    "Bikeshare": ("ISLP", "data/Bikeshare.csv", "bikers", ("casual", "registered")),
    "OJ": ("ISLP", "data/OJ.csv", "Purchase", ()),
    "Default": ("ISLP", "data/Default.csv", "default", ()),
    "ACTG175": ("lifelines", "datasets/ACTG175.csv", "cens", ("pidnum", "days")),
    "phishing": ("river", "datasets/phishing.csv.gz", "is_phishing", ()),
    "segment": ("river", "datasets/segment.csv.zip", "category", ()),
    "gapminder": ("causaldata", "gapminder/gapminder.csv", "lifeExp", ()),
    "restaurants": (
        "causaldata",
        "restaurant_inspections/restaurant_data.csv",
        "inspection_score",
        (),
    ),
    "scorecard": ("causaldata", "scorecard/scorecard.dta", "earnings_med", ("unitid",)),
}


def main() -> None:
    """Write a table as CSV, without rows that lack the target, which is called TARGET."""
    import pandas as pd

    name, packages, csv = sys.argv[1:]
    package, path, target, given_away = TABLES[name]
    if package == "scikit-learn":
        from sklearn import datasets

        rows = getattr(datasets, f"load_{path}")(as_frame=True).frame
    else:
        file = Path(packages) / package / path
        rows = (pd.read_stata if file.suffix == ".dta" else pd.read_csv)(file)
    unnamed = [column for column in rows if re.match("Unnamed|rownames", column)]
    rows = rows.drop(columns=[*given_away, *unnamed]).dropna(subset=[target])
    rows.rename(columns={target: TARGET}).head(MOST_ROWS).to_csv(csv, index=False)


if __name__ == "__main__":
    main()
