"""A random forest in scikit-learn that prints one JSON line: no deep learning is needed."""

import argparse
import json

from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trees", type=int, default=50)
    parser.add_argument("--max_depth", type=int, default=4)
    parser.add_argument("--criterion", default="gini")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    forest = RandomForestClassifier(
        args.trees, max_depth=args.max_depth, criterion=args.criterion, random_state=args.seed
    )
    points, labels = load_wine(return_X_y=True)
    scores = cross_val_score(forest, points, labels, cv=3, scoring="f1_macro")
    print(json.dumps({"dev_f1": scores.mean(), "spread": scores.std()}))


if __name__ == "__main__":
    main()
