# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/movietweetings/movietweetings.ndjson.gz, the demo's events.

    python3 tests/support/make_movietweetings.py RATINGS.csv.gz OUT.ndjson.gz

Input: rows in time order, columns time,user,movie,rating,year,genres. Output:
one event a rating, as NDJSON; the same input gives the same bytes. Members of
`past` are what was known before the rating: each uses rows above its own
alone, never the row itself or a later one:

    user_count, movie_count   ratings so far
    user_mean, movie_mean     mean rating so far
    user_bias                 how much higher than the movie's mean before it
                              this user rates
    movie_bias                how much higher than the user's mean before it
                              this movie is rated
    user_taste                user_bias within the genres of this movie

Means are pulled towards the mean of everyone so far, biases and tastes
towards 0, as if SHRINK more ratings had been seen there.
"""

import csv
import gzip
import io
import json
import sys

SHRINK = 5.0
START = 7.0  # the mean of everyone before the first rating
FIELDS = ["time", "user", "movie", "rating", "year", "genres"]


class Side:
    """What the past says about one user, movie, or user in one genre."""

    def __init__(self):
        self.count = 0
        self.total = 0.0
        self.residual = 0.0

    def mean(self, around):
        return (self.total + SHRINK * around) / (self.count + SHRINK)

    def bias(self):
        return self.residual / (self.count + SHRINK)

    def learn(self, rating, residual):
        self.count += 1
        self.total += rating
        self.residual += residual


class Past:
    """Everything before the current row."""

    def __init__(self):
        self.everyone = Side()
        self.users = {}
        self.movies = {}
        self.tastes = {}

    def sides(self, row):
        user = self.users.setdefault(row["user"], Side())
        movie = self.movies.setdefault(row["movie"], Side())
        tastes = [
            self.tastes.setdefault((row["user"], genre), Side())
            for genre in row["genres"].split("|")
            if genre
        ]
        return user, movie, tastes

    def look_then_learn(self, row):
        rating = int(row["rating"])
        mean = self.everyone.mean(START)
        user, movie, tastes = self.sides(row)
        known = sum(t.count for t in tastes)
        taste = sum(t.residual for t in tastes) / (known + SHRINK)
        seen = {
            "user_count": user.count,
            "user_mean": user.mean(mean),
            "user_bias": user.bias(),
            "user_taste": taste,
            "movie_count": movie.count,
            "movie_mean": movie.mean(mean),
            "movie_bias": movie.bias(),
        }
        from_movie = rating - movie.mean(mean)
        from_user = rating - user.mean(mean)
        user.learn(rating, from_movie)
        movie.learn(rating, from_user)
        for side in tastes:
            side.learn(rating, from_movie)
        self.everyone.learn(rating, 0.0)
        return {k: round(v, 2) for k, v in seen.items()}


def make_event(number, row, past):
    return {
        "event_id": f"mt-{number:06d}",
        "timestamp": int(row["time"]),
        "user": row["user"],
        "movie": row["movie"],
        "rating": int(row["rating"]),
        "year": int(row["year"]),
        "genres": [g for g in row["genres"].split("|") if g],
        "past": past.look_then_learn(row),
    }


def main(source, target):
    past = Past()
    with gzip.open(source, "rt", encoding="utf-8", newline="") as f:
        reader = csv.DictReader(f)
        assert reader.fieldnames == FIELDS, reader.fieldnames
        events = [make_event(i, r, past) for i, r in enumerate(reader, 1)]
    text = io.StringIO()
    for event in events:
        json.dump(event, text, separators=(",", ":"))
        text.write("\n")
    with open(target, "wb") as raw:
        with gzip.GzipFile("", "wb", 9, raw, mtime=0) as out:
            out.write(text.getvalue().encode("ascii"))


if __name__ == "__main__":
    main(*sys.argv[1:])
