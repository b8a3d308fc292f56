-- Which generation somebody asked to go back from: the same key with another one is another question.

alter table rebuilds
    add column away_from integer; -- the generation that was named; null: whichever answered
